package graph

import (
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

func joined(errs ...error) error { return errors.Join(errs...) }

// userPages answers with three pages, the second of which is empty.
func userPages() http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		link := `"@odata.nextLink":"http://graph.test/v1.0/users?$skiptoken=`
		switch r.URL.Query().Get("$skiptoken") {
		case "":
			_, _ = io.WriteString(w, `{`+link+`2","value":[{"id":"1","userPrincipalName":"Ann@contoso.test","mail":"ann@contoso.test","displayName":"Ann","accountEnabled":true,"other":{}},{"mail":"nobody@contoso.test"},{"id":7}]}`)
		case "2":
			_, _ = io.WriteString(w, `{"value":[],`+link+`3"}`)
		default:
			_, _ = io.WriteString(w, `{"value":[{"id":"2","userPrincipalName":"bob@contoso.test","mail":null,"displayName":null,"accountEnabled":false}]}`)
		}
	}
}

func TestUsersWalksAllPages(t *testing.T) {
	c, w := newTestClient(t, userPages(), nil)
	var got []presence.TeamsUser
	unreadable := 0
	for u, err := range c.Users(t.Context()) {
		if err != nil {
			require.ErrorIs(t, err, presence.ErrUnreadable)
			unreadable++
			continue
		}
		got = append(got, u)
	}
	assert.Equal(t, 2, unreadable, "an account that cannot be read is named, and spoils no other")
	assert.Equal(t, []presence.TeamsUser{
		{ID: "1", PrincipalName: "Ann@contoso.test", Mail: "ann@contoso.test", Name: "Ann", Enabled: true},
		{ID: "2", PrincipalName: "bob@contoso.test"},
	}, got)
	assert.Len(t, w.all(), 3)
}

func TestUsersReadsNoPageThatNobodyTakes(t *testing.T) {
	c, w := newTestClient(t, userPages(), nil)
	for range c.Users(t.Context()) {
		break
	}
	assert.Len(t, w.all(), 1)
}

func TestUsersEndsWithItsFirstError(t *testing.T) {
	c, _ := newTestClient(t, inTurn(userPages(), answer(403, "")), nil)
	var (
		users int
		errs  []error
	)
	for _, err := range c.Users(t.Context()) {
		switch {
		case err == nil:
			users++
		case !errors.Is(err, presence.ErrUnreadable):
			errs = append(errs, err)
		}
	}
	assert.Equal(t, 1, users)
	require.Len(t, errs, 1)
	assert.ErrorIs(t, errs[0], presence.ErrForbidden)
}

func TestUsersDoesNotWalkInCircles(t *testing.T) {
	c, w := newTestClient(t, answer(200, `{"value":[],"@odata.nextLink":"http://graph.test/v1.0/users?$skiptoken=2"}`), nil)
	var last error
	for _, err := range c.Users(t.Context()) {
		last = err
	}
	require.ErrorIs(t, last, ErrMalformed)
	assert.Len(t, w.all(), 2)
}

func TestUserByMailWantsExactlyOne(t *testing.T) {
	for body, want := range map[string]error{
		`{"value":[]}`:                          presence.ErrNotFound,
		`{"value":[{"id":"1"},{"id":"2"}]}`:     presence.ErrConflict,
		`{"value":[{"id":"1","mail":"a@b.c"}]}`: nil,
	} {
		c, _ := newTestClient(t, answer(200, body), nil)
		u, err := c.UserByMail(t.Context(), "a@b.c")
		require.ErrorIs(t, err, want)
		if want == nil {
			assert.Equal(t, "1", u.ID)
		} else {
			assert.Zero(t, u)
		}
	}
}
