package micollabtest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/micollab/micollabtest"
	"github.com/presencebridge/presencebridge/presence"
)

var ann, bob = presence.User{TeamsID: "ann"}, presence.User{TeamsID: "bob"}

func TestFaultsApplyInTheirOrderAndEnd(t *testing.T) {
	d := micollabtest.NewDriver(ann)
	d.Fail(2, presence.ErrThrottled)
	d.Fail(1, presence.ErrForbidden)
	for _, want := range []error{presence.ErrThrottled, presence.ErrThrottled, presence.ErrForbidden, nil} {
		assert.ErrorIs(t, d.SetStatus(t.Context(), ann, presence.StatusBusy), want)
	}
	assert.Len(t, d.History(), 1, "a call that failed took no effect")

	d.Fail(0, presence.ErrUnavailable)
	for range 5 {
		_, err := d.Status(t.Context(), ann)
		assert.ErrorIs(t, err, presence.ErrUnavailable)
	}
	_, err := d.StatusesOf(t.Context(), []presence.User{ann})
	assert.ErrorIs(t, err, presence.ErrUnavailable)
	assert.True(t, d.Set(ann, presence.StatusAway), "no fault applies to the user's own change")
	d.Recover()
	status, err := d.Status(t.Context(), ann)
	require.NoError(t, err)
	assert.Equal(t, presence.StatusAway, status)
}

func TestDelayEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := micollabtest.NewDriver(ann)
		d.Delay(time.Minute)
		start := time.Now()
		require.NoError(t, d.SetStatus(t.Context(), ann, presence.StatusBusy))
		assert.Equal(t, time.Minute, time.Since(start))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, d.SetStatus(ctx, ann, presence.StatusAway), context.DeadlineExceeded)
		status, _ := d.Peek(ann)
		assert.Equal(t, presence.StatusBusy, status)
	})
}

func TestHistoryTellsWhoWrote(t *testing.T) {
	d := micollabtest.NewDriver(ann)
	var seen []micollabtest.Write
	d.OnChange(func(w micollabtest.Write) {
		seen = append(seen, w)
		d.Peek(ann) // no lock is held
	})
	require.NoError(t, d.SetStatus(t.Context(), ann, presence.StatusBusy))
	require.True(t, d.Set(ann, presence.StatusAway))
	require.False(t, d.Set(bob, presence.StatusAway))
	require.ErrorIs(t, d.SetStatus(t.Context(), bob, presence.StatusAway), presence.ErrNotFound)

	h := d.History()
	require.Len(t, h, 2)
	assert.Equal(t, seen, h)
	assert.Equal(t, presence.StatusBusy, h[0].Status)
	assert.False(t, h[0].Outside)
	assert.True(t, h[1].Outside)
}

func TestUsersComeAndGo(t *testing.T) {
	d := micollabtest.NewDriver(ann)
	require.True(t, d.Set(ann, presence.StatusBusy))
	d.Add(ann, bob)
	status, known := d.Peek(ann)
	assert.True(t, known)
	assert.Equal(t, presence.StatusBusy, status)
	status, known = d.Peek(bob)
	assert.True(t, known)
	assert.Equal(t, micollabtest.InitialStatus, status)
	d.Remove(ann)
	_, err := d.Status(t.Context(), ann)
	assert.ErrorIs(t, err, presence.ErrNotFound)
}
