package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge/monitor"
)

func put(t tb, s monitor.Store, key, value string, revision uint64) uint64 {
	t.Helper()
	next, err := s.Put(t.Context(), key, []byte(value), revision)
	if err != nil {
		t.Fatalf("Put(%q, %.20q, %d): %v", key, value, revision, err)
	}
	if next == 0 || next == revision {
		t.Errorf("Put(%q, %.20q, %d) gives the revision %d", key, value, revision, next)
	}
	return next
}

func del(t tb, s monitor.Store, key string, revision uint64) {
	t.Helper()
	if err := s.Delete(t.Context(), key, revision); err != nil {
		t.Fatalf("Delete(%q, %d): %v", key, revision, err)
	}
}

func list(t tb, s monitor.Store, prefix string) []monitor.Entry {
	t.Helper()
	entries, err := s.List(t.Context(), prefix)
	if err != nil {
		t.Fatalf("List(%q): %v", prefix, err)
	}
	return entries
}

// expect compares the whole store with entries in the order of their keys.
func expect(t tb, s monitor.Store, want ...monitor.Entry) {
	t.Helper()
	if got := list(t, s, ""); !slices.EqualFunc(got, want, same) {
		t.Errorf("the store has %s instead of %s", describe(got), describe(want))
	}
}

func same(a, b monitor.Entry) bool {
	return a.Key == b.Key && a.Revision == b.Revision && bytes.Equal(a.Value, b.Value)
}

func entry(key, value string, revision uint64) monitor.Entry {
	return monitor.Entry{Key: key, Value: []byte(value), Revision: revision}
}

func describe(entries []monitor.Entry) string {
	texts := make([]string, 0, len(entries))
	for _, e := range entries {
		texts = append(texts, fmt.Sprintf("%.20s@%d=%.20q", e.Key, e.Revision, e.Value))
	}
	return "[" + strings.Join(texts, " ") + "]"
}

func refused(t tb, what string, err error) {
	t.Helper()
	if !errors.Is(err, monitor.ErrRevision) {
		t.Errorf("%s gives %v instead of monitor.ErrRevision", what, err)
	}
}

func listsNothing(t tb, s *subject) {
	expect(t, s)
	if entries := list(t, s, "a/"); len(entries) != 0 {
		t.Errorf("an empty store lists %s", describe(entries))
	}
}

func listsWhatIsPut(t tb, s *subject) {
	var want []monitor.Entry
	for i, value := range []string{"", "a", "\x00\xff", strings.Repeat("long", 10_000)} {
		key := "key/" + strconv.Itoa(i)
		want = append(want, entry(key, value, put(t, s, key, value, 0)))
		expect(t, s, want...)
	}
	for i := range want {
		want[i].Value = append(want[i].Value, " changed"...)
		want[i].Revision = put(t, s, want[i].Key, string(want[i].Value), want[i].Revision)
		expect(t, s, want...)
	}
}

func createsOnce(t tb, s *subject) {
	first := put(t, s, "a", "first", 0)
	_, err := s.Put(t.Context(), "a", []byte("second"), 0)
	refused(t, "creating an entry that exists", err)
	expect(t, s, entry("a", "first", first))
}

func refusesOldRevisions(t tb, s *subject) {
	ctx := t.Context()
	first := put(t, s, "a", "1", 0)
	second := put(t, s, "a", "2", first)
	_, err := s.Put(ctx, "a", []byte("3"), first)
	refused(t, "writing with an old revision", err)
	_, err = s.Put(ctx, "a", []byte("3"), second+1000)
	refused(t, "writing with a revision that was never given", err)
	_, err = s.Put(ctx, "b", []byte("3"), second)
	refused(t, "changing an entry that does not exist", err)
	refused(t, "deleting with an old revision", s.Delete(ctx, "a", first))
	refused(t, "deleting with no revision", s.Delete(ctx, "a", 0))
	refused(t, "deleting an entry that does not exist", s.Delete(ctx, "b", second))
	refused(t, "deleting, with no revision, an entry that does not exist", s.Delete(ctx, "b", 0))
	expect(t, s, entry("a", "2", second))
}

func deletes(t tb, s *subject) {
	a, b := put(t, s, "a", "1", 0), put(t, s, "b", "1", 0)
	del(t, s, "a", a)
	expect(t, s, entry("b", "1", b))
	refused(t, "deleting twice", s.Delete(t.Context(), "a", a))
	_, err := s.Put(t.Context(), "a", []byte("2"), a)
	refused(t, "changing an entry that was deleted", err)
	again := put(t, s, "a", "3", 0)
	expect(t, s, entry("a", "3", again), entry("b", "1", b))
}

func neverRepeatsRevisions(t tb, s *subject) {
	seen := map[uint64]bool{}
	note := func(revision uint64) uint64 {
		t.Helper()
		if seen[revision] {
			t.Errorf("the revision %d comes again", revision)
		}
		seen[revision] = true
		return revision
	}
	for range 5 {
		revision := note(put(t, s, "a", "same", 0))
		revision = note(put(t, s, "a", "same", revision))
		del(t, s, "a", revision)
		refused(t, "deleting an entry of a former life", s.Delete(t.Context(), "a", revision))
	}
}

func listsByPrefix(t tb, s *subject) {
	keys := []string{"a", "a-b", "a/", "a/0", "a/1", "a/10", "a/2", "a0", "b/1"}
	for _, key := range []string{"b/1", "a/2", "a/10", "a", "a-b", "a/1", "a0", "a/0"} {
		put(t, s, key, key, 0)
	}
	for _, prefix := range append(keys, "", "a/1/", "c", "A", "a b") {
		var want []string
		for _, key := range keys {
			if key != "a/" && strings.HasPrefix(key, prefix) { // "a/" is a prefix only
				want = append(want, key)
			}
		}
		var got []string
		for _, e := range list(t, s, prefix) {
			got = append(got, e.Key)
			if string(e.Value) != e.Key {
				t.Errorf("List(%q) gives the key %q the value %q", prefix, e.Key, e.Value)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("List(%q) gives the keys %q instead of %q", prefix, got, want)
		}
	}
}

func copiesValues(t tb, s *subject) {
	value := []byte("value")
	revision, err := s.Put(t.Context(), "a", value, 0)
	if err != nil {
		t.Fatalf("Put: %v", err)
	}
	value[0] = 'X'
	expect(t, s, entry("a", "value", revision))
	for _, e := range list(t, s, "a") {
		if len(e.Value) > 0 {
			e.Value[0] = 'X'
		}
		_ = append(e.Value[:len(e.Value):len(e.Value)], 'X')
	}
	expect(t, s, entry("a", "value", revision))
}

// goodKeys and badKeys are at both sides of the limits.
func goodKeys() []string {
	return []string{"-", "0", "a", "a-b/c-1", "a//b", strings.Repeat("k", monitor.MaxKeyLength)}
}

func badKeys() []string {
	return []string{"", "/", "/a", "a/", "A", "a b", "a_b", "a.b", "ä", "a\x00", "a\n", "*", ">", strings.Repeat("k", monitor.MaxKeyLength+1)}
}

func limitsKeys(t tb, s *subject) {
	for _, key := range goodKeys() {
		del(t, s, key, put(t, s, key, "value", 0))
	}
	for _, key := range badKeys() {
		if _, err := s.Put(t.Context(), key, nil, 0); err == nil {
			t.Errorf("Put with the key %.20q gives no error", key)
		}
		if err := s.Delete(t.Context(), key, 1); err == nil || errors.Is(err, monitor.ErrRevision) {
			t.Errorf("Delete with the key %.20q gives %v, as if a store could have it", key, err)
		}
	}
	expect(t, s)
}

func limitsValues(t tb, s *subject) {
	longest := strings.Repeat("v", monitor.MaxValueLength)
	revision := put(t, s, "a", longest, 0)
	expect(t, s, entry("a", longest, revision))
	if _, err := s.Put(t.Context(), "a", []byte(longest+"v"), revision); err == nil || errors.Is(err, monitor.ErrRevision) {
		t.Errorf("Put with a value that is too long gives %v", err)
	}
	expect(t, s, entry("a", longest, revision))
}

// together calls f at the same time for 0 to n-1.
func together(n int, f func(i int)) {
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { f(i) })
	}
	group.Wait()
}

func createsOneOfMany(t tb, s *subject) {
	var mu sync.Mutex
	var done []monitor.Entry
	together(16, func(i int) {
		value := strconv.Itoa(i)
		revision, err := s.Put(t.Context(), "a", []byte(value), 0)
		switch {
		case err == nil:
			mu.Lock()
			done = append(done, entry("a", value, revision))
			mu.Unlock()
		case !errors.Is(err, monitor.ErrRevision):
			t.Errorf("Put: %v", err)
		}
	})
	if len(done) != 1 {
		t.Errorf("%d of 16 have created the same entry", len(done))
	}
	expect(t, s, done...)
}

func losesNoIncrement(t tb, s *subject) {
	const writers, each = 8, 10
	put(t, s, "count", "0", 0)
	increment := func() error {
		// Of those that try at the same time one succeeds, so that nobody fails
		// more often than there are increments.
		for range writers*each + 1 {
			entries, err := s.List(t.Context(), "count")
			if err != nil {
				return err
			}
			if len(entries) != 1 {
				return fmt.Errorf("List gives %s", describe(entries))
			}
			n, err := strconv.Atoi(string(entries[0].Value))
			if err != nil {
				return err
			}
			_, err = s.Put(t.Context(), "count", []byte(strconv.Itoa(n+1)), entries[0].Revision)
			if !errors.Is(err, monitor.ErrRevision) {
				return err
			}
		}
		return errors.New("every Put gives monitor.ErrRevision")
	}
	together(writers, func(int) {
		for range each {
			if err := increment(); err != nil {
				t.Errorf("increment: %v", err)
				return
			}
		}
	})
	for _, e := range list(t, s, "count") {
		if string(e.Value) != strconv.Itoa(writers*each) {
			t.Errorf("after %d increments the count is %s", writers*each, e.Value)
		}
	}
}

func obeysContexts(t tb, s *subject) {
	revision := put(t, s, "a", "1", 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, listErr := s.List(ctx, "")
	_, putErr := s.Put(ctx, "a", []byte("2"), revision)
	_, acquireErr := s.Acquire(ctx, "lease", "ann", time.Hour)
	for name, err := range map[string]error{
		"List":    listErr,
		"Put":     putErr,
		"Delete":  s.Delete(ctx, "a", revision),
		"Watch":   s.Watch(ctx, "", func(string) {}),
		"Acquire": acquireErr,
		"Release": s.Release(ctx, "lease", "ann"),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a context that has ended gives %v instead of context.Canceled", name, err)
		}
	}
	expect(t, s, entry("a", "1", revision))
	if _, err := s.Acquire(t.Context(), "lease", "bob", time.Hour); err != nil {
		t.Errorf("a lease that was not given is held: %v", err)
	}
}

func outlivesRestart(t tb, s *subject) {
	kept := put(t, s, "kept", "1", 0)
	changed := put(t, s, "changed", "1", 0)
	changed = put(t, s, "changed", "2", changed)
	deleted := put(t, s, "deleted", "1", 0)
	deleted = put(t, s, "deleted", "2", deleted)
	del(t, s, "deleted", deleted)

	after := s.restart()
	expect(t, after, entry("changed", "2", changed), entry("kept", "1", kept))
	put(t, after, "changed", "3", changed)
	if again := put(t, after, "deleted", "3", 0); again == deleted {
		t.Errorf("after the restart the revision %d comes again", again)
	}
}
