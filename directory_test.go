package presencebridge

import (
	"context"
	"fmt"
	"iter"
	"testing"

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
