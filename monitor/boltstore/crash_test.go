package boltstore_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/monitor/boltstore"
)

// crashingStore has the path of the store in which a child of the test writes
// until it is killed.
const crashingStore = "PRESENCEBRIDGE_CRASHING_STORE"

// TestMain makes the program that tests also the one that is killed.
func TestMain(m *testing.M) {
	if path := os.Getenv(crashingStore); path != "" {
		fmt.Fprintln(os.Stderr, writeForEver(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeForEver changes a few entries over and over, deletes one now and then, and
// prints every write once the store has reported it as done: the key, the
// revision and the count that it wrote, or - for what it has deleted.
func writeForEver(path string) error {
	ctx := context.Background()
	s, err := boltstore.Open(path, nil)
	if err != nil {
		return err
	}
	entries, err := s.List(ctx, "")
	if err != nil {
		return err
	}
	current := map[string]monitor.Entry{}
	for _, e := range entries {
		current[e.Key] = e
	}
	for i := 0; ; i++ {
		key := "key/" + strconv.Itoa(i%5)
		e := current[key]
		if i%7 == 6 && e.Revision != 0 {
			if err := s.Delete(ctx, key, e.Revision); err != nil {
				return err
			}
			fmt.Printf("%s %d -\n", key, e.Revision)
			delete(current, key)
			continue
		}
		e.Value = count(number(e.Value) + 1)
		if e.Revision, err = s.Put(ctx, key, e.Value, e.Revision); err != nil {
			return err
		}
		fmt.Printf("%s %d %d\n", key, e.Revision, number(e.Value))
		current[key] = e
	}
}

// count returns a value that says a number at its beginning and again at its end,
// over more than a page.
func count(n int) []byte {
	text := strconv.Itoa(n)
	return []byte(text + " " + strings.Repeat(".", 5000) + " " + text)
}

func number(value []byte) int {
	fields := strings.Fields(string(value))
	if len(fields) != 3 || fields[0] != fields[2] {
		return 0
	}
	n, _ := strconv.Atoi(fields[0])
	return n
}

// acknowledged is the last write of a key that was reported as done.
type acknowledged struct {
	revision uint64
	count    string
}

// runAndKill lets a child write, kills it when it has reported that many writes,
// and notes all that it has reported until then.
func runAndKill(t *testing.T, path string, writes int, done map[string]acknowledged) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	child := exec.CommandContext(t.Context(), self)
	child.Env = append(os.Environ(), crashingStore+"="+path)
	child.Stderr = os.Stderr
	stdout, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	lines := bufio.NewScanner(stdout)
	reported := 0
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		require.Len(t, fields, 3, "a line that was not written whole would be the child's last, and is not reported")
		revision, err := strconv.ParseUint(fields[1], 10, 64)
		require.NoError(t, err)
		done[fields[0]] = acknowledged{revision, fields[2]}
		if reported++; reported == writes {
			require.NoError(t, child.Process.Kill())
		}
	}
	require.NoError(t, lines.Err())
	require.Error(t, child.Wait())
	require.GreaterOrEqual(t, reported, writes, "the child has ended by itself")
}

// A process that is killed while it writes leaves every write that was reported
// as done, and at most the one after it.
func TestKilledProcessLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	done := map[string]acknowledged{}
	for round, writes := range []int{1, 2, 10, 25, 3, 40} {
		runAndKill(t, path, writes, done)

		s := open(t, path)
		entries, err := s.List(t.Context(), "")
		require.NoError(t, err)
		found := map[string]monitor.Entry{}
		for _, e := range entries {
			found[e.Key] = e
		}
		unreported := 0
		for key, last := range done {
			e, exists := found[key]
			n := strconv.Itoa(number(e.Value))
			switch {
			case !exists && last.count == "-":
			case exists && e.Revision == last.revision && n == last.count:
			default:
				unreported++
				next := "1"
				if before, err := strconv.Atoi(last.count); err == nil {
					next = strconv.Itoa(before + 1)
				}
				wasDeleted := !exists && last.count != "-"
				wasWritten := exists && e.Revision > last.revision && n == next
				assert.True(t, wasDeleted || wasWritten, "round %d: %s was reported as %+v and is revision %d, count %s", round, key, last, e.Revision, n)
			}
			delete(found, key)
		}
		assert.LessOrEqual(t, unreported+len(found), 1, "round %d: one write can have been done and not reported", round)
		require.NoError(t, s.Close())
		// What the next child begins with.
		for _, e := range entries {
			done[e.Key] = acknowledged{e.Revision, strconv.Itoa(number(e.Value))}
		}
		for key := range done {
			if !contains(entries, key) {
				delete(done, key)
			}
		}
	}
}

func contains(entries []monitor.Entry, key string) bool {
	for _, e := range entries {
		if e.Key == key {
			return true
		}
	}
	return false
}
