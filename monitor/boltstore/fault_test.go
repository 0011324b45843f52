//go:build unix

package boltstore_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/monitor/boltstore"
)

// A page of a mapped file that is cut off cannot be read: the system sends a
// signal, which would end the process.
func TestFaultOfTheMappingIsAnError(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "store"))
	file, err := os.Create(filepath.Join(dir, "mapped"))
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	require.NoError(t, file.Truncate(1<<16))
	memory, err := syscall.Mmap(int(file.Fd()), 0, 1<<16, syscall.PROT_READ, syscall.MAP_SHARED)
	require.NoError(t, err)
	defer func() { require.NoError(t, syscall.Munmap(memory)) }()
	require.NoError(t, file.Truncate(0))

	var sum byte
	err = boltstore.Fault(s, func() { sum += memory[1<<15] })
	require.ErrorIs(t, err, monitor.ErrStoreUnreadable)
}
