package watch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
)

// watching runs Watch and returns what it has told, and a function that returns
// its error once it has ended.
func watching(ctx context.Context, h *Hub, prefix string) (told func() []string, ended func() error) {
	var keys []string
	result := make(chan error, 1)
	go func() { result <- h.Watch(ctx, prefix, func(key string) { keys = append(keys, key) }) }()
	told = func() []string {
		synctest.Wait()
		got := keys
		keys = nil
		return got
	}
	return told, func() error { return <-result }
}

func TestChangesAreToldToWhoeverWatchesThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var h Hub
		h.Changed("a/0") // nobody watches yet
		a, endA := watching(ctx, &h, "a/")
		all, endAll := watching(ctx, &h, "")
		assert.Equal(t, []string{""}, a())
		assert.Equal(t, []string{""}, all())

		h.Changed("b/1")
		h.Changed("a/2")
		assert.Equal(t, []string{"a/2"}, a())
		got := all()
		slices.Sort(got)
		assert.Equal(t, []string{"a/2", "b/1"}, got)

		cancel()
		assert.ErrorIs(t, endA(), context.Canceled)
		assert.ErrorIs(t, endAll(), context.Canceled)
		assert.Empty(t, h.watchers)
	})
}

func TestWatcherThatIsSlowMissesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var h Hub
		proceed := make(chan struct{})
		var keys []string
		go func() {
			_ = h.Watch(ctx, "", func(key string) {
				keys = append(keys, key)
				<-proceed
			})
		}()
		synctest.Wait()
		for range 3 {
			for i := range 10 {
				h.Changed(fmt.Sprint(i))
			}
		}
		close(proceed)
		synctest.Wait()
		assert.Equal(t, strings.Split(",0,1,2,3,4,5,6,7,8,9", ","), keys, "told once, since nothing was told before it had changed again")
	})
}

func TestClosedHubEndsWatching(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := errors.New("closed")
		var h Hub
		_, before := watching(t.Context(), &h, "")
		synctest.Wait()
		h.Close(closed)
		assert.ErrorIs(t, before(), closed)
		_, after := watching(t.Context(), &h, "")
		assert.ErrorIs(t, after(), closed)
	})
}

func TestContextThatHasEndedTellsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var h Hub
	err := h.Watch(ctx, "", func(string) { t.Error("told") })
	assert.ErrorIs(t, err, context.Canceled)
	assert.Empty(t, h.watchers)
}
