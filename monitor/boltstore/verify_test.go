package boltstore

import (
	"bytes"
	"encoding/binary"
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
	page := os.Getpagesize()
	path := filepath.Join(tb.TempDir(), "store")
	s, err := Open(path, nil)
	require.NoError(tb, err)
	for i := range 12 {
		key := "monitors/" + strconv.Itoa(i)
		revision, err := s.Put(tb.Context(), key, []byte(strings.Repeat(key, page/40)), 0)
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

// Each of these would lose entries, or never end, if bbolt were let at it.
func TestPagesThatContradictEachOtherAreFound(t *testing.T) {
	sound, pageSize, transaction := database(t)
	pages := len(sound) / int(pageSize)
	of := func(content []byte, kind uint16) []byte {
		for id := 2; id < pages; id++ {
			page := content[id*int(pageSize):][:pageSize]
			if binary.NativeEndian.Uint64(page) == uint64(id) && binary.NativeEndian.Uint16(page[8:]) == kind && inUse(sound, pageSize, transaction, id) {
				return page
			}
		}
		t.Fatal("there is no such page")
		return nil
	}
	identifier := func(page []byte) uint64 { return binary.NativeEndian.Uint64(page) }
	for name, c := range map[string]struct {
		damage func(content []byte)
		reason string
	}{
		"a page in use is free as well": {func(content []byte) {
			list := of(content, freelistPage)
			n := binary.NativeEndian.Uint16(list[10:])
			binary.NativeEndian.PutUint16(list[10:], n+1)
			binary.NativeEndian.PutUint64(list[pageHeader+8*int(n):], identifier(of(content, leafPage)))
		}, "belongs to two"},
		"a free page is forgotten": {func(content []byte) {
			list := of(content, freelistPage)
			binary.NativeEndian.PutUint16(list[10:], binary.NativeEndian.Uint16(list[10:])-1)
		}, "is neither free nor in use"},
		"a free page does not exist": {func(content []byte) {
			binary.NativeEndian.PutUint64(of(content, freelistPage)[pageHeader:], uint64(pages))
		}, "does not exist"},
		"more pages are free than are listed": {func(content []byte) {
			list := of(content, freelistPage)
			binary.NativeEndian.PutUint16(list[10:], manyFree)
			binary.NativeEndian.PutUint64(list[pageHeader:], 1<<60)
		}, "lists more free pages than it can"},
		"a page is below itself": {func(content []byte) {
			branch := of(content, branchPage)
			binary.NativeEndian.PutUint64(branch[pageHeader+8:], identifier(branch))
		}, "belongs to two"},
		"two branches lead to one page": {func(content []byte) {
			branch := of(content, branchPage)
			copy(branch[pageHeader+elementHeader+8:][:8], branch[pageHeader+8:])
		}, "belongs to two"},
		"a page is longer than the file": {func(content []byte) {
			binary.NativeEndian.PutUint32(of(content, leafPage)[12:], 1<<31)
		}, "belongs to two"},
		"a page says that it is another": {func(content []byte) {
			binary.NativeEndian.PutUint64(of(content, leafPage), 1)
		}, "says that it is 1"},
		"a branch has no children": {func(content []byte) {
			binary.NativeEndian.PutUint16(of(content, branchPage)[10:], 0)
		}, "it is of no known kind"},
		"a leaf has lost an element": {func(content []byte) {
			leaf := of(content, leafPage)
			binary.NativeEndian.PutUint16(leaf[10:], binary.NativeEndian.Uint16(leaf[10:])-1)
		}, "not where it says"},
		"a leaf has lost all elements": {func(content []byte) {
			binary.NativeEndian.PutUint16(of(content, leafPage)[10:], 0)
		}, "not as empty as it says"},
		"a leaf has more elements than fit": {func(content []byte) {
			binary.NativeEndian.PutUint16(of(content, leafPage)[10:], manyFree)
		}, "too short for its elements"},
		"a key is before those of its branch": {func(content []byte) {
			branch := of(content, branchPage)
			count := int(binary.NativeEndian.Uint16(branch[10:]))
			last := pageHeader + (count-1)*elementHeader
			key := last + int(binary.NativeEndian.Uint32(branch[last:]))
			branch[key+int(binary.NativeEndian.Uint32(branch[last+4:]))-1]++
		}, "keys that belong elsewhere"},
	} {
		t.Run(name, func(t *testing.T) {
			content := bytes.Clone(sound)
			c.damage(content)
			err := verify(bytes.NewReader(content), int64(len(content)), pageSize, transaction)
			assert.ErrorContains(t, err, c.reason)
		})
	}
}

// inUse says whether a page is part of the sound database: one that is not can be
// overwritten.
func inUse(sound []byte, pageSize int64, transaction uint64, id int) bool {
	content := bytes.Clone(sound)
	binary.NativeEndian.PutUint64(content[id*int(pageSize):], 1)
	return verify(bytes.NewReader(content), int64(len(content)), pageSize, transaction) != nil
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
