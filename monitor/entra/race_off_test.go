//go:build !race

package entra_test

const slowedDown = false
