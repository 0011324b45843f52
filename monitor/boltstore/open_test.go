package boltstore_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/monitor/boltstore"
)

func TestSecondProcessIsRefusedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "store")
		s := open(t, path)
		for _, wait := range []time.Duration{0, time.Millisecond, 5 * time.Second} {
			began := time.Now()
			_, err := boltstore.Open(path, &boltstore.Options{LockTimeout: wait})
			require.ErrorIs(t, err, monitor.ErrStoreInUse)
			assert.ErrorContains(t, err, "stop it, or give each a file of its own")
			if wait == 0 {
				wait = time.Second
			}
			assert.LessOrEqual(t, time.Since(began), wait)
			assert.GreaterOrEqual(t, time.Since(began), wait-100*time.Millisecond)
		}
		put(t, s, "a", "the first goes on", 0)

		go func() {
			time.Sleep(500 * time.Millisecond)
			_ = s.Close()
		}()
		open(t, path) // within the second that it waits
	})
}

// Those who make a store at the same time make one, and one has it.
func TestStoreIsMadeOnce(t *testing.T) {
	for range 10 {
		path := filepath.Join(t.TempDir(), "store")
		var opened atomic.Pointer[boltstore.Store]
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				s, err := boltstore.Open(path, &boltstore.Options{LockTimeout: time.Millisecond})
				if err != nil {
					assert.ErrorIs(t, err, monitor.ErrStoreInUse)
					return
				}
				_, err = s.Put(t.Context(), "a", []byte("1"), 0)
				assert.NoError(t, err)
				assert.True(t, opened.CompareAndSwap(nil, s), "two have it open")
			})
		}
		group.Wait()
		// Each of them may have kept the others from it, by reading it for a moment.
		s := opened.Load()
		if s == nil {
			continue
		}
		require.NoError(t, s.Close())
		entries, err := open(t, path).List(t.Context(), "")
		require.NoError(t, err)
		assert.Len(t, entries, 1)
	}
}

func TestOpenSaysWhatIsWrongWithThePath(t *testing.T) {
	dir := t.TempDir()
	_, err := boltstore.Open("", nil)
	require.ErrorContains(t, err, "the path of the file is missing")
	_, err = boltstore.Open(filepath.Join(dir, "store"), &boltstore.Options{LockTimeout: -1})
	require.ErrorContains(t, err, "Options.LockTimeout is -1ns")
	_, err = boltstore.Open(filepath.Join(dir, "missing", "store"), nil)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "its directory must exist: create it")
	_, err = boltstore.Open(dir, nil)
	require.ErrorContains(t, err, "it is not a file")
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, files)
}

func TestOpenSaysThatItMayNot(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may")
	}
	path := filepath.Join(t.TempDir(), "store")
	require.NoError(t, open(t, path).Close())
	require.NoError(t, os.Chmod(path, 0))
	_, err := boltstore.Open(path, nil)
	require.ErrorIs(t, err, fs.ErrPermission)
	assert.ErrorContains(t, err, "let the user of this process read and write")
}

func TestPathMayBeRelative(t *testing.T) {
	t.Chdir(t.TempDir())
	s := open(t, "store")
	put(t, s, "a", "1", 0)
	require.NoError(t, s.Close())
	assert.FileExists(t, "store")
	open(t, "store")
}

// A link that leads nowhere stands for a file system without links: what was
// made beside it cannot be given its name.
func TestStoreIsMadeInItsPlaceWhereItCannotBeMovedThere(t *testing.T) {
	dir := t.TempDir()
	path, target := filepath.Join(dir, "store"), filepath.Join(dir, "target")
	if err := os.Symlink(target, path); err != nil {
		t.Skip(err)
	}
	s := open(t, path)
	put(t, s, "a", "1", 0)
	info, err := os.Stat(target)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode())
	require.NoError(t, s.Close())
	entries, err := open(t, path).List(t.Context(), "")
	require.NoError(t, err)
	assert.Len(t, entries, 1)
}

func TestEmptyFileBecomesAStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	put(t, open(t, path), "a", "1", 0)
}

func TestDatabaseThatWasJustMadeBecomesAStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	db, err := bbolt.Open(path, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	put(t, open(t, path), "a", "1", 0)
}

// edit changes the database behind a store that has two entries.
func edit(t *testing.T, change func(tx *bbolt.Tx) error) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "store")
	s := open(t, path)
	put(t, s, "monitors/1", "one", 0)
	put(t, s, "monitors/2", "two", 0)
	require.NoError(t, s.Close())
	db, err := bbolt.Open(path, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(change))
	require.NoError(t, db.Close())
	return path
}

// refuse checks that a file is refused, again and again, and left as it is.
func refuse(t *testing.T, path, reason string) {
	t.Helper()
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	for range 2 {
		_, err = boltstore.Open(path, nil)
		require.ErrorIs(t, err, monitor.ErrStoreUnreadable)
		require.ErrorContains(t, err, reason)
		require.ErrorContains(t, err, path)
	}
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(before, after), "the file has changed")
}

func TestWhatIsNoSoundStoreIsRefused(t *testing.T) {
	const restore = "restore the file from a backup"
	about, entries := []byte("presencebridge"), []byte("entries")
	for name, c := range map[string]struct {
		change func(tx *bbolt.Tx) error
		reason string
	}{
		"another program's": {func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucket([]byte("theirs"))
			return errors.Join(err, tx.DeleteBucket(about))
		}, "it is a database of another program; " + restore},
		"a newer version's": {func(tx *bbolt.Tx) error {
			return tx.Bucket(about).Put([]byte("format"), []byte("2"))
		}, "it has format 2, and this version reads 1; install the version that wrote it"},
		"no format": {func(tx *bbolt.Tx) error {
			return tx.Bucket(about).Delete([]byte("format"))
		}, "its format is not a number"},
		"no entries": {func(tx *bbolt.Tx) error {
			return tx.DeleteBucket(entries)
		}, "its entries are missing"},
		"another value": {func(tx *bbolt.Tx) error {
			data := bytes.Clone(tx.Bucket(entries).Get([]byte("monitors/1")))
			data[len(data)-1]++
			return tx.Bucket(entries).Put([]byte("monitors/1"), data)
		}, `the entry "monitors/1" is damaged; ` + restore},
		"another revision": {func(tx *bbolt.Tx) error {
			data := bytes.Clone(tx.Bucket(entries).Get([]byte("monitors/1")))
			data[7]++
			return tx.Bucket(entries).Put([]byte("monitors/1"), data)
		}, `the entry "monitors/1" is damaged`},
		"moved": {func(tx *bbolt.Tx) error {
			return tx.Bucket(entries).Put([]byte("monitors/3"), bytes.Clone(tx.Bucket(entries).Get([]byte("monitors/1"))))
		}, `the entry "monitors/3" is damaged`},
		"short": {func(tx *bbolt.Tx) error {
			return tx.Bucket(entries).Put([]byte("monitors/1"), []byte("short"))
		}, `the entry "monitors/1" is damaged`},
		"a bucket among the entries": {func(tx *bbolt.Tx) error {
			_, err := tx.Bucket(entries).CreateBucket([]byte("bucket"))
			return err
		}, `the entry "bucket" is damaged`},
		"the count went back": {func(tx *bbolt.Tx) error {
			return tx.Bucket(entries).SetSequence(1)
		}, `the entry "monitors/2" has the revision 2, and the last one given was 1`},
	} {
		t.Run(name, func(t *testing.T) { refuse(t, edit(t, c.change), c.reason) })
	}
}

func TestFileThatIsNoDatabaseIsRefused(t *testing.T) {
	for _, content := range []string{"x", "hello\n", strings.Repeat("hello ", 1000), strings.Repeat("hello ", 10_000), strings.Repeat("\x00", 1<<16)} {
		path := filepath.Join(t.TempDir(), "store")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		refuse(t, path, "restore the file from a backup")
	}
}

// filled returns the bytes of a file with many entries, and the revision of each.
func filled(t *testing.T) (content []byte, revisions map[string]uint64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store")
	s := open(t, path)
	revisions = map[string]uint64{}
	for _, key := range strings.Split("abcdefghijklmnopqrst", "") {
		revisions[key] = put(t, s, key, strings.Repeat(key, 3000), 0)
	}
	require.NoError(t, s.Close())
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	return content, revisions
}

func TestFileThatWasCutShortIsRefused(t *testing.T) {
	content, _ := filled(t)
	used := len(bytes.TrimRight(content, "\x00"))
	for size := used - os.Getpagesize(); size > 0; size -= os.Getpagesize() {
		path := filepath.Join(t.TempDir(), "store")
		require.NoError(t, os.WriteFile(path, content[:size], 0o600))
		refuse(t, path, "restore the file from a backup")
	}
}

// What is damaged is either what nothing needs, and then every entry is there and
// stays when others are written, or the file is refused.
func TestDamageIsNoticedOrDoesNotMatter(t *testing.T) {
	content, revisions := filled(t)
	pageSize := os.Getpagesize()
	pages := len(content) / pageSize
	dir := t.TempDir()
	sound := func(rt *rapid.T, s monitor.Store, newest bool) {
		entries, err := s.List(t.Context(), "")
		require.NoError(rt, err)
		found := map[string]uint64{}
		for _, e := range entries {
			require.Equal(rt, strings.Repeat(e.Key, 3000), string(e.Value))
			found[e.Key] = e.Revision
		}
		for key, revision := range revisions {
			if newest || key != "t" {
				require.Equal(rt, revision, found[key], key)
			}
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		page := rapid.IntRange(0, pages-1).Draw(rt, "page")
		damaged := bytes.Clone(content)
		at := damaged[page*pageSize : (page+1)*pageSize]
		switch rapid.SampledFrom([]string{"bit", "bit", "bit", "zeros", "another page"}).Draw(rt, "with") {
		case "bit":
			// The first bytes say what the others mean.
			at[rapid.OneOf(rapid.IntRange(0, 95), rapid.IntRange(0, pageSize-1)).Draw(rt, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
		case "zeros":
			clear(at)
		default:
			copy(at, content[rapid.IntRange(2, pages-1).Draw(rt, "from")*pageSize:][:pageSize])
		}
		path := filepath.Join(dir, "store")
		_ = os.Remove(path)
		require.NoError(rt, os.WriteFile(path, damaged, 0o600))
		for range 2 {
			s, err := boltstore.Open(path, nil)
			if err != nil {
				require.ErrorIs(rt, err, monitor.ErrStoreUnreadable)
				after, err := os.ReadFile(path)
				require.NoError(rt, err)
				require.True(rt, bytes.Equal(damaged, after), "the file was changed")
				return
			}
			// Of the two pages that say where everything is, the newer one may be
			// gone: then the last write is.
			sound(rt, s, page > 1)
			_, err = s.Put(t.Context(), "new", []byte(strings.Repeat("new", 3000)), revisionOf(rt, s, "new"))
			require.NoError(rt, err)
			sound(rt, s, page > 1)
			require.NoError(rt, s.Close())
		}
	})
}

func revisionOf(rt *rapid.T, s monitor.Store, key string) uint64 {
	entries, err := s.List(context.Background(), key)
	require.NoError(rt, err)
	for _, e := range entries {
		if e.Key == key {
			return e.Revision
		}
	}
	return 0
}

func TestPanicOfTheDatabaseIsAnErrorAndTheEndOfIt(t *testing.T) {
	for name, writes := range map[string]bool{"reading": false, "writing": true} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store")
			s := open(t, path)
			put(t, s, "a", "1", 0)
			err := boltstore.Panic(s, writes, "page 7 has no flags")
			require.ErrorIs(t, err, monitor.ErrStoreUnreadable)
			require.ErrorContains(t, err, "bbolt panicked: page 7 has no flags")
			_, err = s.List(t.Context(), "")
			require.ErrorIs(t, err, monitor.ErrStoreUnreadable)
			_, err = s.Put(t.Context(), "b", nil, 0)
			require.ErrorIs(t, err, monitor.ErrStoreUnreadable)
			require.NoError(t, s.Close())

			entries, err := open(t, path).List(t.Context(), "")
			require.NoError(t, err)
			assert.Len(t, entries, 1, "what was half done is not there")
		})
	}
}

func TestPanicShowsNoValue(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store"))
	err := boltstore.Panic(s, false, struct{ token string }{"hunter2"})
	require.ErrorIs(t, err, monitor.ErrStoreUnreadable)
	assert.NotContains(t, err.Error(), "hunter2")
}
