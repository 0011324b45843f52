// Package verify finds out why presence is wrong.
package verify
