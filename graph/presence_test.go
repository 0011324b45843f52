package graph

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/presencebridge/presencebridge/presence"
)

func TestPresenceIsReadInWhateverCase(t *testing.T) {
	for body, want := range map[string]presence.Presence{
		`{"@odata.context":"x","id":"` + ann + `","availability":"DoNotDisturb","activity":"Presenting","statusMessage":null,"outOfOfficeSettings":{"message":null,"isOutOfOffice":true},"sequenceNumber":"A0129311063"}`: {UserID: ann, Availability: presence.DoNotDisturb, Activity: presence.ActivityPresenting, OutOfOffice: true, SequenceNumber: "A0129311063"},
		`{"id":"` + ann + `","availability":"busy","activity":"inACall"}`:                                                              {UserID: ann, Availability: presence.Busy, Activity: presence.ActivityInACall},
		`{"id":"` + ann + `","availability":"Hol\u006fgram","activity":"Levitating","outOfOfficeSettings":null,"sequenceNumber":null}`: {UserID: ann, Availability: "Hologram", Activity: "Levitating"},
		`{"id":"` + strings.ToUpper(ann) + `","availability":null,"activity":null}`:                                                    {UserID: ann},
		`{"id":null,"availability":"\u0041way","activity":"Away"}`:                                                                     {UserID: ann, Availability: presence.Away, Activity: presence.ActivityAway},
	} {
		c, _ := newTestClient(t, answer(200, body), nil)
		got, err := c.Presence(t.Context(), ann)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
}

func TestWhatCannotBeSetIsNotSent(t *testing.T) {
	busy := presence.Session{Availability: presence.Busy, Activity: presence.ActivityInACall}
	for name, call := range map[string]func(context.Context, *Client) error{
		"combination": func(ctx context.Context, c *Client) error {
			return c.SetPresence(ctx, ann, presence.Session{Availability: presence.Busy, Activity: presence.ActivityBusy}, time.Hour)
		},
		"no session": func(ctx context.Context, c *Client) error {
			return c.SetPresence(ctx, ann, presence.Session{}, time.Hour)
		},
		"too short": func(ctx context.Context, c *Client) error { return c.SetPresence(ctx, ann, busy, 5*time.Minute-1) },
		"too long":  func(ctx context.Context, c *Client) error { return c.SetPresence(ctx, ann, busy, 4*time.Hour+1) },
		"principal name": func(ctx context.Context, c *Client) error {
			return c.SetPresence(ctx, "ann@contoso.test", busy, time.Hour)
		},
		"path":              func(ctx context.Context, c *Client) error { return c.ClearPresence(ctx, "../x") },
		"dots":              func(ctx context.Context, c *Client) error { return c.ClearPresence(ctx, "..") },
		"nobody":            func(ctx context.Context, c *Client) error { return c.ClearPreferredPresence(ctx, "") },
		"nobody's presence": func(ctx context.Context, c *Client) error { _, err := c.Presence(ctx, ""); return err },
		"user of no name":   func(ctx context.Context, c *Client) error { _, err := c.User(ctx, "."); return err },
		"user with a path":  func(ctx context.Context, c *Client) error { _, err := c.User(ctx, "a/b"); return err },
		"no mail":           func(ctx context.Context, c *Client) error { _, err := c.UserByMail(ctx, " "); return err },
		"no subscription":   func(ctx context.Context, c *Client) error { return c.DeleteSubscription(ctx, "") },
		"look at nothing":   func(ctx context.Context, c *Client) error { _, err := c.Subscription(ctx, "a/b"); return err },
		"renewal to nowhere": func(ctx context.Context, c *Client) error {
			_, err := c.RenewSubscription(ctx, "s", presence.SubscriptionRenewal{})
			return err
		},
		"preferred": func(ctx context.Context, c *Client) error {
			return c.SetPreferredPresence(ctx, ann, presence.Busy, presence.ActivityInACall, 0)
		},
		"preferred for no time": func(ctx context.Context, c *Client) error {
			return c.SetPreferredPresence(ctx, ann, presence.Busy, presence.ActivityBusy, -time.Hour)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, w := newTestClient(t, answer(200, ""), nil)
			require.ErrorIs(t, call(t.Context(), c), presence.ErrInvalid)
			assert.Empty(t, w.all())
		})
	}
}

func TestSessionLifetimeMayBeAsLongAndAsShortAsTheBounds(t *testing.T) {
	for lifetime, want := range map[time.Duration]string{MinSessionLifetime: "PT5M", MaxSessionLifetime: "PT4H", 90*time.Minute + 999*time.Millisecond: "PT1H30M"} {
		c, w := newTestClient(t, answer(200, ""), nil)
		for _, s := range presence.Sessions() {
			require.NoError(t, c.SetPresence(t.Context(), ann, s, lifetime))
		}
		for _, r := range w.all() {
			assert.Contains(t, r.Body, `"`+want+`"`)
		}
	}
}

// presences answers a bulk read: every user that was asked for is Available,
// but for what change makes of it.
func presences(change func(id string) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var request struct{ IDs []string }
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &request); err != nil || len(request.IDs) > MaxBulkUsers {
			answer(400, graphError("BadRequest", "x"))(w, r)
			return
		}
		items := make([]string, 0, len(request.IDs))
		for _, id := range request.IDs {
			item := `{"id":"` + id + `","availability":"Available","activity":"Available"}`
			if change != nil {
				item = change(id)
			}
			if item != "" {
				items = append(items, item)
			}
		}
		answer(200, `{"@odata.context":"x","value":[`+strings.Join(items, ",")+`]}`)(w, r)
	}
}

func manyIDs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%08d-0000-0000-0000-000000000000", i)
	}
	return ids
}

func userIDs(all []presence.Presence) []string {
	ids := make([]string, len(all))
	for i, p := range all {
		ids[i] = p.UserID
	}
	slices.Sort(ids)
	return ids
}

func TestBulkReadTakesAnyNumberOfUsersAndReadsEachOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ids := manyIDs(rapid.IntRange(0, 2000).Draw(rt, "users"))
		again := rapid.SliceOfN(rapid.SampledFrom(append(ids, "")), 0, 50).Draw(rt, "again")
		again = slices.DeleteFunc(again, func(s string) bool { return s == "" })
		c, w := newTestClient(t, presences(nil), nil)
		got, err := c.Presences(t.Context(), append(slices.Clone(ids), again...))
		require.NoError(rt, err)
		require.Equal(rt, ids, userIDs(got))
		require.Len(rt, w.all(), (len(ids)+MaxBulkUsers-1)/MaxBulkUsers)
	})
}

func TestBulkReadLeavesOutWhatItCannotUse(t *testing.T) {
	ids := manyIDs(8)
	c, _ := newTestClient(t, presences(func(id string) string {
		switch id {
		case ids[0]:
			return `{"availability":"Busy","activity":"Busy"}`
		case ids[1]:
			return `{"id":"` + id + `","availability":7,"activity":"Busy"}`
		case ids[2]:
			return `{"id":"` + bob + `","availability":"Busy","activity":"Busy"}`
		case ids[3]:
			return `null`
		case ids[4]:
			return `"text"`
		case ids[5]:
			return ``
		case ids[6]:
			return `{"id":"` + id + `","availability":"Busy","activity":"InACall"},{"id":"` + id + `","availability":"Away","activity":"Away"}`
		default:
			return `{"id":"` + id + `"}`
		}
	}), nil)
	got, err := c.Presences(t.Context(), ids)
	require.NoError(t, err)
	assert.Equal(t, []presence.Presence{
		{UserID: ids[6], Availability: presence.Busy, Activity: presence.ActivityInACall},
		{UserID: ids[7]},
	}, got, "nothing of the item before is left in the next")
}

func TestBulkReadSpeaksOfUsersAsItsCallerDoes(t *testing.T) {
	asked := strings.ToUpper(ann)
	c, _ := newTestClient(t, presences(func(id string) string {
		return `{"id":"` + strings.ToLower(id) + `","availability":"Busy","activity":"Busy"}`
	}), nil)
	got, err := c.Presences(t.Context(), []string{asked})
	require.NoError(t, err)
	assert.Equal(t, []string{asked}, userIDs(got))
}

func TestFailedPartOfABulkReadDoesNotSpoilTheRest(t *testing.T) {
	ids := manyIDs(3 * MaxBulkUsers)
	failing := ids[MaxBulkUsers : 2*MaxBulkUsers]
	good := presences(nil)
	c, _ := newTestClient(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), failing[0]) {
			answer(500, "")(w, r)
			return
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		good(w, r)
	}, nil)
	got, err := c.Presences(t.Context(), append([]string{"no id"}, ids...))
	assert.Equal(t, append(slices.Clone(ids[:MaxBulkUsers]), ids[2*MaxBulkUsers:]...), userIDs(got))
	var partial *PartialError
	require.ErrorAs(t, err, &partial)
	assert.Equal(t, append([]string{"no id"}, failing...), partial.Unread)
	assert.ErrorIs(t, err, presence.ErrUnavailable)
	assert.ErrorIs(t, err, presence.ErrInvalid)
	assert.ErrorContains(t, err, "651 users")
}

func TestPartialErrorAsksForTheLongestWait(t *testing.T) {
	e := &PartialError{Err: fmt.Errorf("x: %w", &Error{}), Unread: []string{ann}}
	_, ok := presence.RetryAfter(e)
	assert.False(t, ok)
	e.Err = joined(&Error{}, &Error{retryAfter: time.Second}, joined(&Error{retryAfter: time.Minute}), &Error{retryAfter: 2 * time.Second})
	wait, _ := presence.RetryAfter(e)
	assert.Equal(t, time.Minute, wait)
}

func TestBulkReadHasFewRequestsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		good := presences(nil)
		c, w := newTestClient(t, func(w http.ResponseWriter, r *http.Request) {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second)
			now.Add(-1)
			good(w, r)
		}, func(o *Options) { o.MaxInFlight = 3 })
		started := time.Now()
		_, err := c.Presences(t.Context(), manyIDs(9*MaxBulkUsers))
		require.NoError(t, err)
		assert.Len(t, w.all(), 9)
		assert.EqualValues(t, 3, most.Load())
		assert.Equal(t, 3*time.Second, time.Since(started))
	})
}
