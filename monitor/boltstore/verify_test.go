package boltstore

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
)

// database returns a database of several pages and what verify is told of it.
func database(tb testing.TB) (content []byte, pageSize int64, transaction uint64) {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "store")
	s, err := Open(path, nil)
	require.NoError(tb, err)
	for i := range 12 {
		key := "monitors/" + strconv.Itoa(i)
		revision, err := s.Put(tb.Context(), key, []byte(strings.Repeat(key, 100)), 0)
		require.NoError(tb, err)
		if i%3 == 0 {
			require.NoError(tb, s.Delete(tb.Context(), key, revision))
		}
	}
	require.NoError(tb, s.transaction(false, func(tx *bbolt.Tx) error {
		pageSize, transaction = int64(tx.DB().Info().PageSize), uint64(tx.ID())
		return nil
	}))
	require.NoError(tb, s.Close())
	content, err = os.ReadFile(path)
	require.NoError(tb, err)
	return content, pageSize, transaction
}

func TestSoundDatabaseIsVerified(t *testing.T) {
	content, pageSize, transaction := database(t)
	require.NoError(t, verify(bytes.NewReader(content), int64(len(content)), pageSize, transaction))
	assert.Error(t, verify(bytes.NewReader(content), int64(len(content))/2, pageSize, transaction))
	assert.Error(t, verify(bytes.NewReader(nil), 0, pageSize, transaction))
}

// FuzzVerify writes anything anywhere into a database. verify may find it sound
// or not, but comes to an end.
func FuzzVerify(f *testing.F) {
	content, pageSize, transaction := database(f)
	f.Add(uint32(0), []byte{})
	for at := 0; at < len(content); at += int(pageSize) {
		f.Add(uint32(at), []byte{0xff})
		f.Add(uint32(at+8), []byte{branchPage, 0, 1, 0, 0xff, 0xff})
		f.Add(uint32(at+pageHeader), bytes.Repeat([]byte{0xff}, 16))
	}
	f.Fuzz(func(_ *testing.T, at uint32, patch []byte) {
		damaged := bytes.Clone(content)
		copy(damaged[int(at)%len(damaged):], patch)
		_ = verify(bytes.NewReader(damaged), int64(len(damaged)), pageSize, transaction)
	})
}

// FuzzDecode feeds records that nobody has encoded, and changes one that was.
func FuzzDecode(f *testing.F) {
	f.Add("a", []byte{}, uint64(1))
	f.Add("a", encode("a", 7, []byte("value")), uint64(7))
	f.Fuzz(func(t *testing.T, key string, data []byte, revision uint64) {
		if got, value, err := decode([]byte(key), data); err == nil && !bytes.Equal(encode(key, got, value), data) {
			t.Errorf("%x gives the revision %d and the value %x", data, got, value)
		}
		record := encode(key, revision, data)
		got, value, err := decode([]byte(key), record)
		if err != nil || got != revision || !bytes.Equal(value, data) {
			t.Errorf("%x gives the revision %d, the value %x and %v", record, got, value, err)
		}
		record[int(revision%uint64(len(record)))] ^= 1
		if _, _, err := decode([]byte(key), record); err == nil {
			t.Errorf("a change of a bit is not noticed in %x", record)
		}
	})
}
