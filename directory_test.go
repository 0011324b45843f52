package presencebridge

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

// listed yields its elements; an error in their place is yielded as one.
type listed[T any] []any

func (e listed[T]) all() iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, x := range e {
			entry, ok := x.(T)
			err, _ := x.(error)
			if (ok || err != nil) && !yield(entry, err) {
				return
			}
		}
	}
}

type listedAccounts struct{ listed[presence.TeamsUser] }

func (l listedAccounts) Users(context.Context) iter.Seq2[presence.TeamsUser, error] { return l.all() }

type listedPrincipals struct{ listed[presence.Principal] }

func (l listedPrincipals) Principals(context.Context) iter.Seq2[presence.Principal, error] {
	return l.all()
}

func TestDirectoryNamesWhatCannotBeRead(t *testing.T) {
	ada := presence.TeamsUser{ID: "t-ada", PrincipalName: "ada@example.com", Enabled: true}
	phone := presence.Principal{ID: "p-ada", Email: "Ada@Example.com", Endpoints: []string{"2001"}}
	damaged := fmt.Errorf("entry 17: %w", presence.ErrUnreadable)

	d := NewDirectory(listedAccounts{listed[presence.TeamsUser]{ada}}, listedPrincipals{listed[presence.Principal]{damaged, phone}}, nil)
	roster, err := d.Roster(t.Context())
	require.NoError(t, err)
	require.Len(t, roster.Users, 1, "the others are not affected")
	assert.Equal(t, "t-ada", roster.Users[0].TeamsID)
	assert.Equal(t, []presence.Exclusion{{Side: presence.SideCloudLink, Reason: presence.ReasonUnreadable, Detail: damaged.Error()}}, roster.Excluded)

	for _, half := range []Directory{
		NewDirectory(listedAccounts{listed[presence.TeamsUser]{ada, presence.ErrUnavailable}}, listedPrincipals{listed[presence.Principal]{phone}}, nil),
		NewDirectory(listedAccounts{listed[presence.TeamsUser]{ada}}, listedPrincipals{listed[presence.Principal]{phone, presence.ErrUnavailable}}, nil),
	} {
		_, err = half.Roster(t.Context())
		require.ErrorIs(t, err, presence.ErrUnavailable, "half a directory would remove people who are there")
	}
}

// lists are the users of both sides, who come and go.
type lists struct {
	mu       sync.Mutex
	accounts []presence.TeamsUser
	phones   []presence.Principal
}

func (l *lists) set(accounts []presence.TeamsUser, phones []presence.Principal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accounts, l.phones = accounts, phones
}

func (l *lists) Users(context.Context) iter.Seq2[presence.TeamsUser, error] {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all listed[presence.TeamsUser]
	for _, a := range l.accounts {
		all = append(all, a)
	}
	return all.all()
}

func (l *lists) Principals(context.Context) iter.Seq2[presence.Principal, error] {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all listed[presence.Principal]
	for _, p := range l.phones {
		all = append(all, p)
	}
	return all.all()
}

func TestWhoJoinsOrLeavesEitherSideIsFoundWithinTheDirectoryInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "ada", "bob")
		account := func(id string) presence.TeamsUser {
			return presence.TeamsUser{ID: id, PrincipalName: id + "@example.com", Enabled: true}
		}
		phone := func(id string) presence.Principal {
			u := w.people[id].user
			return presence.Principal{ID: u.PrincipalID, Email: u.Email, Endpoints: u.Endpoints}
		}
		ada, bob := account("ada"), account("bob")
		adaPhone, bobPhone := phone("ada"), phone("bob")
		both := new(lists)
		w.directory = NewDirectory(both, both, nil)
		both.set([]presence.TeamsUser{ada, bob}, []presence.Principal{adaPhone})
		stop := w.start(&Options{Direction: Bidirectional})
		watcher := &pool{room: 650}
		w.bridge.Watch(watcher)
		require.Equal(t, []string{"ada"}, watcher.watches())

		for _, step := range []struct {
			why      string
			accounts []presence.TeamsUser
			phones   []presence.Principal
			watched  []string
		}{
			{"bob joins CloudLink", []presence.TeamsUser{ada, bob}, []presence.Principal{adaPhone, bobPhone}, []string{"ada", "bob"}},
			{"ada leaves Entra", []presence.TeamsUser{bob}, []presence.Principal{adaPhone, bobPhone}, []string{"bob"}},
			{"ada joins Entra", []presence.TeamsUser{ada, bob}, []presence.Principal{adaPhone, bobPhone}, []string{"ada", "bob"}},
			{"bob leaves CloudLink", []presence.TeamsUser{ada, bob}, []presence.Principal{adaPhone}, []string{"ada"}},
		} {
			both.set(step.accounts, step.phones)
			time.Sleep(w.bridge.opts.DirectoryInterval + time.Second)
			assert.Equal(t, step.watched, watcher.watches(), step.why)
			assert.Len(t, w.bridge.Roster().Excluded, len(step.phones)-len(step.watched), "whoever has a telephone and is not kept in step is named")
		}
		require.NoError(t, stop())
	})
}
