//go:build unix

package boltstore

import (
	"errors"
	"fmt"
	"os"
)

// syncDirectory has the name of a new file written to the disk: syncing the file
// does not.
func syncDirectory(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync the directory: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("sync the directory: %w", err)
	}
	return nil
}
