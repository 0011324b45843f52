//go:build !race

package main

// slowedDown: the race detector runs, and everything takes ten times as long.
const slowedDown = false
