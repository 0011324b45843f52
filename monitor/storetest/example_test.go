package storetest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/monitor/storetest"
)

// A store's author runs the suite in a test of the store's own package.
func ExampleTestStore() {
	// func TestMyStore(t *testing.T) {
	test := func(t *testing.T) {
		storetest.TestStore(t, storetest.Harness{
			Open: func(*testing.T) monitor.Store {
				return monitor.NewMemoryStore() // your store
			},
			InBubble: true,
		})
	}
	_ = test
}

// Two entries are to be written together. However the process dies, the next one
// must find both, or know what to complete.
func ExampleCrashing() {
	ctx := context.Background()
	scenario := func(store monitor.Store) {
		if _, err := store.Put(ctx, "plan", []byte("both"), 0); err != nil {
			return
		}
		_, _ = store.Put(ctx, "user", []byte("ann"), 0)
	}
	for _, moment := range storetest.Moments() {
		for writes := 0; ; writes++ {
			behind := monitor.NewMemoryStore()
			store := storetest.Crashing(behind, writes, moment)
			scenario(store)
			entries, _ := behind.List(ctx, "")
			select {
			case <-store.Crashed():
				fmt.Printf("%d writes, %s: %d entries\n", writes, moment, len(entries))
				continue
			default:
			}
			break
		}
	}
	// Output:
	// 0 writes, before the write: 0 entries
	// 1 writes, before the write: 1 entries
	// 0 writes, after the write: 1 entries
	// 1 writes, after the write: 2 entries
}
