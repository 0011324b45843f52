package monitor

import (
	"slices"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

const (
	// silentGrace is how long after its creation a subscription is not
	// suspected of silence: twice the longest delay that Microsoft documents
	// for a notification (learn.microsoft.com/graph/change-notifications-overview).
	silentGrace = 2 * time.Minute
	// renewSpacing keeps repeated requests for re-authorization from becoming
	// as many renewals.
	renewSpacing = time.Minute
	// settleMost is how many times Settle an ever changing set of users can
	// put off its subscription.
	settleMost = 10
)

// action is what the upkeep does next.
type action string

const (
	actionWait   action = ""
	actionCreate action = "create"
	actionRenew  action = "renew"
	actionDelete action = "delete"
	// actionLose admits that the subscription is gone; it sends nothing.
	actionLose action = "lose"
)

// step is one action and when it is due: the zero time is at once. A step that
// waits has no time; it lasts until the state changes.
type step struct {
	do     action
	at     time.Time
	reason string
}

// due reports whether the step is to be done now.
func (s step) due(now time.Time) bool { return s.do != actionWait && !s.at.After(now) }

// state is all that the next step depends on. Times carry no monotonic reading:
// they are compared with those of the service, and a machine that was suspended
// must see them pass.
type state struct {
	// users are whom to watch, sorted. changingSince and settledAt say from
	// when until when a change of them is left to settle.
	users                    []string
	changingSince, settledAt time.Time

	// subscription is the one that exists; without an id there is none. Its
	// users are sorted.
	subscription presence.Subscription
	createdAt    time.Time
	renewedAt    time.Time // or created
	renewAt      time.Time
	// reauthorize: the service has asked for it. removed: it has ended the
	// subscription. silent: nothing was heard that should have been.
	reauthorize, removed, silent bool

	heardAt time.Time
	misses  int

	// cause is why the former subscription is gone; empty before the first.
	cause string

	failures    int
	err         error
	failedAt    time.Time
	retryAt     time.Time
	unsupported bool
}

// next decides on the next step. It is a pure function: everything it knows is
// in s, and looking twice changes nothing.
func next(now time.Time, s *state) step {
	exists := s.subscription.ID != ""
	switch {
	case s.unsupported, !exists && len(s.users) == 0:
		return step{}
	case !exists:
		return step{do: actionCreate, at: latest(s.settledAt, s.retryAt), reason: s.cause}
	case s.removed:
		return step{do: actionLose, reason: ReasonRemoved}
	case !now.Before(s.subscription.ExpiresAt):
		return step{do: actionLose, reason: ReasonExpired}
	}

	renew := step{do: actionRenew, at: s.renewAt}
	if s.reauthorize {
		renew.at = earliest(s.renewAt, s.renewedAt.Add(renewSpacing))
	}
	chosen := renew
	// A renewal that is due goes first, although the subscription is about to
	// be deleted: where deleting keeps failing, what exists must not expire.
	if remove, wanted := removal(s); wanted && !renew.due(now) && !remove.at.After(renew.at) {
		chosen = remove
	}
	chosen.at = latest(chosen.at, s.retryAt)
	if chosen.at.After(s.subscription.ExpiresAt) {
		return step{do: actionLose, at: s.subscription.ExpiresAt, reason: ReasonExpired}
	}
	return chosen
}

// removal returns the step that deletes a subscription which is not the one
// that is wanted.
func removal(s *state) (step, bool) {
	switch {
	case s.silent:
		return step{do: actionDelete, reason: ReasonSilent}, true
	case len(s.users) == 0:
		return step{do: actionDelete, at: s.settledAt, reason: ReasonNoUsers}, true
	case !slices.Equal(s.users, s.subscription.UserIDs):
		return step{do: actionDelete, at: s.settledAt, reason: ReasonUsersChanged}, true
	default:
		return step{}, false
	}
}

// setUsers takes over another sorted set of users.
func (s *state) setUsers(now time.Time, users []string, settle time.Duration) {
	now = wall(now)
	if !now.Before(s.settledAt) {
		s.changingSince = now
	}
	s.users = users
	s.settledAt = earliest(now.Add(settle), s.changingSince.Add(settleMost*settle))
}

// created takes over a subscription that was just created.
func (s *state) created(now time.Time, sub presence.Subscription, renewAt time.Time) {
	now = wall(now)
	s.subscription, s.createdAt, s.renewedAt, s.renewAt = sub, now, now, renewAt
	s.reauthorize, s.removed, s.silent, s.misses, s.cause = false, false, false, 0, ""
}

// renewed takes over the new end of the subscription.
func (s *state) renewed(now, expiresAt, renewAt time.Time) {
	s.subscription.ExpiresAt, s.renewedAt, s.renewAt = expiresAt, wall(now), renewAt
}

// gone forgets the subscription and keeps why.
func (s *state) gone(cause string) {
	s.subscription = presence.Subscription{}
	s.reauthorize, s.removed, s.silent, s.misses, s.cause = false, false, false, 0, cause
}

// heard notes a notification of the present subscription, which is proof that
// it delivers.
func (s *state) heard(now time.Time) {
	s.heardAt, s.misses, s.silent = wall(now), 0, false
}

// missed notes a bulk read that found what no notification brought, and reports
// whether the subscription is thereby found silent.
func (s *state) missed(now time.Time, userIDs []string, silentAfter int) bool {
	if s.subscription.ID == "" || s.silent || silentAfter < 0 || now.Before(s.createdAt.Add(silentGrace)) {
		return false
	}
	watched := func(id string) bool {
		_, found := slices.BinarySearch(s.subscription.UserIDs, id)
		return found
	}
	if !slices.ContainsFunc(userIDs, watched) {
		return false
	}
	s.misses++
	s.silent = s.misses >= silentAfter
	return s.silent
}

// failed notes a failed step, and when to try again.
func (s *state) failed(now time.Time, err error, wait time.Duration) {
	now = wall(now)
	s.failures++
	s.err, s.failedAt, s.retryAt = err, now, now.Add(wait)
}

// succeeded forgets failures.
func (s *state) succeeded() {
	s.failures, s.err, s.failedAt, s.retryAt = 0, nil, time.Time{}, time.Time{}
}

// renewalTime returns when to renew: at two thirds of the life that is left,
// give or take a twentieth, so that the monitors of many customers who started
// together do not stay together. r is between 0 and 1.
func renewalTime(now, expiresAt time.Time, r float64) time.Time {
	left := expiresAt.Sub(now)
	share := 2.0 / 3 * (0.95 + 0.1*r)
	return wall(now).Add(time.Duration(share * float64(left)))
}

// wall strips the monotonic reading, which stands still while a machine is
// suspended.
func wall(t time.Time) time.Time { return t.Round(0) }

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
