package monitor

import (
	"slices"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

const (
	// silentGrace is how long after its creation or adoption a subscription is
	// not suspected of silence: twice the longest delay that Microsoft documents
	// for a notification (learn.microsoft.com/graph/change-notifications-overview).
	silentGrace = 2 * time.Minute
	// renewSpacing is how long after a renewal, which re-authorizes too, a
	// request for re-authorization is not followed by another: Microsoft asks not
	// to send both within ten minutes of each other
	// (learn.microsoft.com/graph/change-notifications-lifecycle-events).
	renewSpacing = 10 * time.Minute
	// settleMost is how many times Settle an ever changing set of users can
	// put off its subscription.
	settleMost = 10
)

// action is what the upkeep does next.
type action string

const (
	actionWait   action = ""
	actionRecall action = "recall"
	actionAdopt  action = "adopt"
	actionCreate action = "create"
	actionRenew  action = "renew"
	actionDelete action = "delete"
	// actionLose admits that the subscription is gone; it sends nothing.
	actionLose action = "lose"
)

// actionRemember is what fails beside the steps: it is no step of its own.
const actionRemember = "remember"

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
	// asked: somebody has said whom to watch, if only nobody. Before that, no
	// users does not mean that what an earlier run left is unwanted.
	asked bool

	// recall: the memory is yet to be read.
	recall bool
	// remembered is what the memory is to hold: the present subscription or,
	// while there is none, the one that an earlier run left. unfit is why the
	// latter cannot be used, whomever it watches; empty if it can.
	remembered Remembered
	unfit      string

	// subscription is the one that exists; without an id there is none. Its
	// users are sorted.
	subscription presence.Subscription
	heardFrom    time.Time // since when its notifications arrive here
	renewedAt    time.Time // or created; zero if it was adopted and not yet renewed
	renewAt      time.Time
	// reauthorize: the service has asked for it. removed: it has ended the
	// subscription. vanished: it does not know it any more, as a look has found.
	// silent: nothing was heard that should have been.
	reauthorize, removed, vanished, silent bool
	// seenAt is when the service last confirmed that it exists.
	seenAt time.Time
	// lostAt is when one was last found gone without our doing, and lostCause how.
	lostAt    time.Time
	lostCause string

	// withoutSince is since when there are users and no subscription.
	withoutSince time.Time

	heardAt time.Time
	misses  int

	// cause is why the former subscription is gone; empty before the first.
	cause string

	failures int
	err      error
	failedAt time.Time
	// failingSince is when the first of the failures in a row was.
	failingSince time.Time
	retryAt      time.Time
	unsupported  bool
}

// next decides on the next step. It is a pure function: everything it knows is
// in s, and looking twice changes nothing.
func next(now time.Time, s *state) step {
	exists := s.subscription.ID != ""
	switch {
	case s.recall:
		return step{do: actionRecall, at: s.retryAt}
	case s.unsupported:
		return step{}
	case !exists && s.left(now):
		return inherit(s)
	case !exists && len(s.users) == 0:
		return step{}
	case !exists:
		return step{do: actionCreate, at: latest(s.settledAt, s.retryAt), reason: s.cause}
	case s.removed:
		return step{do: actionLose, reason: ReasonRemoved}
	case s.vanished:
		return step{do: actionLose, reason: ReasonNotFound}
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

// left reports whether an earlier run left a subscription that may still exist.
func (s *state) left(now time.Time) bool {
	ends := s.remembered.ExpiresAt
	return s.remembered.SubscriptionID != "" && (ends.IsZero() || now.Before(ends))
}

// inherit returns what becomes of a subscription that an earlier run left.
func inherit(s *state) step {
	due := latest(s.settledAt, s.retryAt)
	switch {
	case !s.asked:
		return step{}
	case len(s.users) == 0:
		return step{do: actionDelete, at: due, reason: ReasonNoUsers}
	case s.unfit != "":
		return step{do: actionDelete, at: due, reason: s.unfit}
	case !s.watchedByRemembered():
		return step{do: actionDelete, at: due, reason: ReasonUsersChanged}
	default:
		return step{do: actionAdopt, at: due}
	}
}

// watchedByRemembered reports whether the remembered subscription watches
// exactly whom this one would.
func (s *state) watchedByRemembered() bool { return UsersDigest(s.users) == s.remembered.Users }

// removal returns the step that deletes a subscription which is not the one
// that is wanted.
func removal(s *state) (step, bool) {
	switch {
	case s.silent:
		return step{do: actionDelete, reason: ReasonSilent}, true
	case len(s.users) == 0:
		return step{do: actionDelete, at: s.settledAt, reason: ReasonNoUsers}, true
	case !sameUsers(s.users, s.subscription.UserIDs):
		return step{do: actionDelete, at: s.settledAt, reason: ReasonUsersChanged}, true
	default:
		return step{}, false
	}
}

// sameUsers reports whether two sorted sets are the same. Most often they are one
// slice: every look at the plan asks, so it must not compare 650 ids each time.
func sameUsers(a, b []string) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0] || slices.Equal(a, b))
}

// setUsers takes over another sorted set of users.
func (s *state) setUsers(now time.Time, users []string, settle time.Duration) {
	now = wall(now)
	if !now.Before(s.settledAt) {
		s.changingSince = now
	}
	s.users, s.asked = users, true
	s.settledAt = earliest(now.Add(settle), s.changingSince.Add(settleMost*settle))
	s.noteWithout(now)
}

// noteWithout keeps since when users have no subscription.
func (s *state) noteWithout(now time.Time) {
	switch {
	case s.subscription.ID != "" || len(s.users) == 0:
		s.withoutSince = time.Time{}
	case s.withoutSince.IsZero():
		s.withoutSince = wall(now)
	}
}

// recalled takes over what the memory holds.
func (s *state) recalled(r Remembered, unfit string) {
	s.recall, s.remembered, s.unfit = false, r, unfit
}

// created takes over a subscription that was just created.
func (s *state) created(now time.Time, sub presence.Subscription, renewAt time.Time, r Remembered) {
	now = wall(now)
	s.subscription, s.heardFrom, s.renewedAt, s.renewAt, s.seenAt = sub, now, now, renewAt, now
	s.remembered, s.unfit = r, ""
	s.noteWithout(now)
	s.reauthorize, s.removed, s.vanished, s.silent, s.misses, s.cause = false, false, false, false, 0, ""
}

// adopted takes over a subscription that an earlier run left.
func (s *state) adopted(now time.Time, sub presence.Subscription, r Remembered) {
	s.created(now, sub, wall(now), r)
	s.renewedAt, s.seenAt = time.Time{}, time.Time{}
}

// renewed takes over the new end of the subscription.
func (s *state) renewed(now, expiresAt, renewAt time.Time) {
	s.subscription.ExpiresAt, s.renewedAt, s.renewAt, s.seenAt = expiresAt, wall(now), renewAt, wall(now)
	s.remembered.ExpiresAt = expiresAt
}

// gone forgets the subscription and keeps why.
func (s *state) gone(now time.Time, cause string) {
	s.subscription, s.remembered, s.unfit = presence.Subscription{}, Remembered{}, ""
	s.noteWithout(now)
	s.heardFrom, s.seenAt = time.Time{}, time.Time{}
	s.reauthorize, s.removed, s.vanished, s.silent, s.misses, s.cause = false, false, false, false, 0, cause
}

// lost notes that the subscription is gone, which is not our doing; a look may
// have found it before.
func (s *state) lost(now time.Time, cause string) {
	if !s.vanished {
		s.lostAt, s.lostCause = wall(now), cause
	}
}

// looked takes over what the service says of a subscription: that it is there, or
// that it is not. The answer may be about one that has been replaced meanwhile.
func (s *state) looked(now time.Time, id string, exists bool) {
	switch {
	case s.subscription.ID != id || s.vanished:
	case exists:
		s.seenAt = wall(now)
	default:
		s.vanished, s.lostAt, s.lostCause = true, wall(now), ReasonNotFound
	}
}

// heard notes a notification of the present subscription, which is proof that
// it delivers.
func (s *state) heard(now time.Time) {
	s.heardAt, s.misses, s.silent = wall(now), 0, false
}

// missed notes a bulk read that found what no notification brought, and reports
// whether the subscription is thereby found silent.
func (s *state) missed(now time.Time, userIDs []string, silentAfter int) bool {
	if s.subscription.ID == "" || s.silent || silentAfter < 0 || now.Before(s.heardFrom.Add(silentGrace)) {
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
	if s.failures == 0 {
		s.failingSince = now
	}
	s.failures++
	s.err, s.failedAt, s.retryAt = err, now, now.Add(wait)
}

// succeeded forgets failures.
func (s *state) succeeded() {
	s.failures, s.err = 0, nil
	s.failedAt, s.failingSince, s.retryAt = time.Time{}, time.Time{}, time.Time{}
}

// rest forgets failures when there is nothing left to do: with nobody to watch,
// no success would ever end them.
func (s *state) rest(planned step) {
	if planned.do == actionWait && s.asked && !s.unsupported {
		s.succeeded()
	}
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
