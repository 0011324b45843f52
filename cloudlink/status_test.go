package cloudlink

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

func TestPresentity(t *testing.T) {
	r := &recorder{next: answer(200, `{"principalId":"p-1","accountId":"a","status":"In a call","reason":"x","modifiedOn":"2024-05-01T08:00:00Z"}`)}
	got, err := testClient(t, r).Presentity(t.Context(), "p-1")
	require.NoError(t, err)
	assert.Equal(t, Presentity{PrincipalID: "p-1", AccountID: "a", Status: "In a call", Reason: "x", ModifiedOn: time.Date(2024, 5, 1, 8, 0, 0, 0, time.UTC)}, got)
	assert.Equal(t, "https://presence.api.mitel.io/2017-09-01/presentities/p-1", r.requests[0].URL.String())
}

func TestStatusDriver(t *testing.T) {
	r := &recorder{next: sequence(answer(200, `{"status":"IN A CALL"}`), answer(200, `{"status":"Siesta"}`), answer(200, `{"status":null}`), answer(200, `{"status":""}`), answer(204, ``))}
	d := NewStatusDriver(testClient(t, r))
	s, err := d.Status(t.Context(), testUser)
	require.NoError(t, err)
	assert.Equal(t, presence.StatusInACall, s)
	s, err = d.Status(t.Context(), testUser)
	require.NoError(t, err)
	assert.Equal(t, presence.Status("Siesta"), s, "an embedder's own status")
	_, err = d.Status(t.Context(), testUser)
	require.ErrorIs(t, err, ErrUnexpectedAnswer)
	s, err = d.Status(t.Context(), testUser)
	require.NoError(t, err)
	assert.Empty(t, s)

	require.NoError(t, d.SetStatus(t.Context(), testUser, presence.StatusInAMeeting))
	last := r.requests[len(r.requests)-1]
	assert.Equal(t, http.MethodPut, last.Method)
	assert.Equal(t, "/2017-09-01/presentities/p-1", last.URL.Path)
	assert.JSONEq(t, `{"status":"In a meeting"}`, r.bodies[len(r.bodies)-1])

	n := len(r.requests)
	require.ErrorIs(t, d.SetStatus(t.Context(), testUser, ""), presence.ErrInvalid)
	require.ErrorIs(t, d.SetStatus(t.Context(), presence.User{TeamsID: "t"}, presence.StatusBusy), presence.ErrInvalid)
	assert.Len(t, r.requests, n)
}

// upperCodec is another idea of the presence resource.
type upperCodec struct{ err error }

func (upperCodec) Path(id string) string { return "v2/people/" + id + "/presence" }
func (u upperCodec) Decode([]byte) (Presentity, error) {
	return Presentity{Status: "decoded"}, u.err
}
func (u upperCodec) Encode(p Presentity) ([]byte, error) {
	return []byte(`{"STATE":"` + p.Status + `","WHO":"` + p.PrincipalID + `"}`), u.err
}

func TestPresentityCodecCanBeReplaced(t *testing.T) {
	r := &recorder{next: answer(200, `{}`)}
	c := testClient(t, r, func(o *Options) { o.Presentities = upperCodec{} })
	require.NoError(t, c.SetPresentity(t.Context(), "p-1", Presentity{Status: "Busy"}))
	assert.Equal(t, "/2017-09-01/v2/people/p-1/presence", r.requests[0].URL.Path)
	assert.JSONEq(t, `{"STATE":"Busy","WHO":"p-1"}`, r.bodies[0])
	p, err := c.Presentity(t.Context(), "p-1")
	require.NoError(t, err)
	assert.Equal(t, Presentity{PrincipalID: "p-1", Status: "decoded"}, p)

	cause := errors.New("canary")
	c = testClient(t, r, func(o *Options) { o.Presentities = upperCodec{cause} })
	err = c.SetPresentity(t.Context(), "p-1", Presentity{Status: "Busy"})
	require.ErrorIs(t, err, cause)
	require.NotErrorIs(t, err, presence.ErrUnavailable)
	assert.NotContains(t, err.Error(), "canary")
	_, err = c.Presentity(t.Context(), "p-1")
	require.ErrorIs(t, err, cause)
	assert.NotContains(t, err.Error(), "canary")
}

func FuzzPresentity(f *testing.F) {
	f.Add([]byte(`{"principalId":"p","accountId":"a","status":"Busy","reason":"r","modifiedOn":"2024-05-01T08:00:00Z"}`))
	f.Add([]byte(`{"status":1,"modifiedOn":17}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		codec := DefaultPresentityCodec()
		p, err := codec.Decode(body)
		if err != nil {
			return
		}
		encoded, err := codec.Encode(p)
		if err != nil {
			t.Fatal(err)
		}
		again, err := codec.Decode(encoded)
		if err != nil || again.Status != p.Status || again.Reason != p.Reason {
			t.Fatalf("%+v became %+v, %v", p, again, err)
		}
	})
}
