package presencebridge

import (
	"fmt"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// TeamsChanged tells the bridge that the Teams presence of users, by Entra
// object id, has changed. Their presence is read; nothing is concluded from the
// notification itself. It does not block. Users who are not in the roster are
// passed over.
func (b *Bridge) TeamsChanged(userIDs ...string) {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range userIDs {
		if p := b.people[id]; p != nil {
			p.notifiedAt, p.toldAt, p.missedAt = now, now, time.Time{}
			b.markLocked(p, ofTeams, Cause{Trigger: TriggerNotification, ReceivedAt: now}, true)
		}
	}
}

// TeamsGap tells the bridge that notifications for users may have been lost:
// their presence is read in bulk. Without users it means everybody. The reason
// goes into the log. It does not block.
func (b *Bridge) TeamsGap(reason string, userIDs ...string) {
	b.opts.Logger.Info("notifications of Teams may have been lost", "bridge", b.opts.Name, "reason", reason, "users", len(userIDs))
	b.lookAt(TriggerGap, userIDs, ofTeams)
}

// PhoneChanged tells the bridge that an endpoint of CloudLink, or of the
// principal with that id, has changed. The user's lines are read. It does not
// block. Endpoints of nobody in the roster are passed over.
func (b *Bridge) PhoneChanged(endpointID, principalID string) {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	id, ok := b.endpoints[endpointID]
	if !ok {
		id, ok = b.principal[principalID]
	}
	if p := b.people[id]; ok && p != nil {
		b.markLocked(p, ofLines, Cause{Trigger: TriggerNotification, ReceivedAt: now}, true)
	}
}

// StatusChanged tells the bridge that the MiCollab status of the user with that
// CloudLink principal id has changed. It is read, and if the bridge controls it,
// set right. It does not block.
func (b *Bridge) StatusChanged(principalID string) {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.people[b.principal[principalID]]; p != nil {
		b.markLocked(p, ofStatus, Cause{Trigger: TriggerNotification, ReceivedAt: now}, true)
	}
}

// CloudLinkGap tells the bridge that notifications of CloudLink may have been
// lost: all lines and statuses are read. It does not block.
func (b *Bridge) CloudLinkGap(reason string) {
	b.opts.Logger.Info("notifications of CloudLink may have been lost", "bridge", b.opts.Name, "reason", reason)
	b.lookAt(TriggerGap, nil, ofLines, ofStatus)
}

// Refresh reads everything about a user anew. The user is named by Entra object
// id or e-mail address; an unknown one gives an error that matches ErrUnknownUser.
func (b *Bridge) Refresh(user string) error {
	b.mu.Lock()
	p, err := b.findLocked(user)
	if err != nil {
		b.mu.Unlock()
		return err
	}
	id := p.user.TeamsID
	b.mu.Unlock()
	b.look(TriggerRequest, id)
	return nil
}

// look asks for all readings of users.
func (b *Bridge) look(trigger Trigger, ids ...string) {
	if len(ids) > 0 {
		b.lookAt(trigger, ids, ofTeams, ofLines, ofStatus)
	}
}

// lookAt asks for readings of users, or of everybody, and decides about them
// at once as far as nothing has to be read.
func (b *Bridge) lookAt(trigger Trigger, ids []string, kinds ...int) {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	mark := func(p *person) {
		for _, kind := range kinds {
			// One request reads many presences, but only one telephone: those of
			// everybody must not hold up the one that just rang.
			b.markLocked(p, kind, Cause{Trigger: trigger, ReceivedAt: now}, len(ids) > 0 || kind == ofTeams)
		}
		b.evaluateLocked(p, now)
	}
	if len(ids) == 0 {
		for _, p := range b.people {
			mark(p)
		}
		return
	}
	for _, id := range ids {
		if p := b.people[id]; p != nil {
			mark(p)
		}
	}
}

// findLocked finds a person by Entra object id, e-mail address or CloudLink
// principal id.
func (b *Bridge) findLocked(user string) (*person, error) {
	if p := b.people[user]; p != nil {
		return p, nil
	}
	if p := b.people[b.emails[presence.NormalizeEmail(user)]]; p != nil {
		return p, nil
	}
	if p := b.people[b.principal[user]]; p != nil {
		return p, nil
	}
	for _, e := range b.roster.Excluded {
		if e.ID == user || e.Email != "" && e.Email == presence.NormalizeEmail(user) {
			return nil, fmt.Errorf("%w: %s is left out (%s): %s", ErrUnknownUser, user, e.Reason, e.Detail)
		}
	}
	return nil, fmt.Errorf("%w: %q is neither an Entra object id nor the e-mail address of anybody on both sides", ErrUnknownUser, user)
}
