//go:build race

package entra_test

// slowedDown: the race detector runs, and everything takes ten times as long.
const slowedDown = true
