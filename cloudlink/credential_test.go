package cloudlink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

// tokenService is a token service that numbers its tokens.
type tokenService struct {
	life    time.Duration
	refuse  map[string]int // grant type or refresh token to status
	rotates bool

	forms []url.Values
	n     int
}

func (s *tokenService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	s.forms = append(s.forms, r.PostForm)
	for _, key := range []string{r.PostForm.Get("grant_type"), r.PostForm.Get("refresh_token")} {
		if status := s.refuse[key]; status != 0 {
			answer(status, `{"name":"Refused"}`, "Retry-After", "90")(w, r)
			return
		}
	}
	s.n++
	refresh := ""
	if s.rotates {
		refresh = fmt.Sprintf(`,"refresh_token":"r%d"`, s.n)
	}
	_, _ = fmt.Fprintf(w, `{"token_type":"bearer","expires_in":%d,"access_token":"a%d"%s,"scope":"read write"}`, int(s.life.Seconds()), s.n, refresh)
}

func (s *tokenService) grants() []string {
	var all []string
	for _, f := range s.forms {
		all = append(all, f.Get("grant_type"))
	}
	return all
}

func (s *tokenService) options() *CredentialOptions {
	return &CredentialOptions{HTTPClient: &http.Client{Transport: inProcess{s}}}
}

func accessToken(t *testing.T, c *Credential) string {
	t.Helper()
	token, err := c.Token(t.Context())
	require.NoError(t, err)
	return token.AccessToken
}

func TestClientCredentialHonoursExpiresIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &tokenService{life: time.Hour}
		c, err := NewClientCredential(testAccount, "client", presence.NewSecret("secret"), s.options())
		require.NoError(t, err)
		assert.Equal(t, "a1", accessToken(t, c))
		assert.Equal(t, url.Values{"grant_type": {"client_credentials"}, "account_id": {testAccount}, "client_id": {"client"}, "client_secret": {"secret"}}, s.forms[0])
		time.Sleep(57 * time.Minute)
		assert.Equal(t, "a1", accessToken(t, c))
		time.Sleep(time.Minute + time.Second)
		assert.Equal(t, "a2", accessToken(t, c), "two minutes before the end")
	})
}

func TestShortLifeIsUsedForThreeQuarters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &tokenService{life: time.Minute}
		c, err := NewClientCredential(testAccount, "client", presence.NewSecret("secret"), s.options())
		require.NoError(t, err)
		accessToken(t, c)
		time.Sleep(44 * time.Second)
		assert.Equal(t, "a1", accessToken(t, c))
		time.Sleep(2 * time.Second)
		assert.Equal(t, "a2", accessToken(t, c))
	})
}

func TestInvalidateObtainsAnother(t *testing.T) {
	s := &tokenService{life: time.Hour}
	c, err := NewClientCredential(testAccount, "client", presence.NewSecret("secret"), s.options())
	require.NoError(t, err)
	accessToken(t, c)
	c.Invalidate("another")
	assert.Equal(t, "a1", accessToken(t, c))
	c.Invalidate("a1")
	assert.Equal(t, "a2", accessToken(t, c))
}

func TestPasswordOnlyWhereRefreshIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &tokenService{life: time.Hour, rotates: true, refuse: map[string]int{}}
		c, err := NewPasswordCredential(testAccount, "user@example.com", presence.NewSecret("password"), s.options())
		require.NoError(t, err)
		accessToken(t, c)
		assert.Equal(t, url.Values{"grant_type": {"password"}, "account_id": {testAccount}, "username": {"user@example.com"}, "password": {"password"}}, s.forms[0])
		time.Sleep(time.Hour)
		accessToken(t, c)
		assert.Equal(t, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"r1"}}, s.forms[1])

		time.Sleep(time.Hour)
		s.refuse["r2"] = 503
		_, err = c.Token(t.Context())
		require.ErrorIs(t, err, presence.ErrUnavailable)
		assert.Equal(t, []string{"password", "refresh_token", "refresh_token"}, s.grants(), "a fault is no refusal")

		time.Sleep(2 * time.Minute)
		s.refuse["r2"] = 401
		accessToken(t, c)
		assert.Equal(t, []string{"password", "refresh_token", "refresh_token", "refresh_token", "password"}, s.grants())
	})
}

func TestCodeWorksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &tokenService{life: time.Hour, rotates: true, refuse: map[string]int{}}
		c, err := NewAuthorizationCodeCredential("client", presence.NewSecret("code"), s.options())
		require.NoError(t, err)
		accessToken(t, c)
		assert.Equal(t, url.Values{"grant_type": {"authorization_code"}, "client_id": {"client"}, "code": {"code"}}, s.forms[0])
		time.Sleep(time.Hour)
		accessToken(t, c)
		time.Sleep(time.Hour)
		s.refuse["r2"] = 400
		_, err = c.Token(t.Context())
		require.ErrorIs(t, err, ErrGrantRefused)
		require.ErrorIs(t, err, presence.ErrUnauthorized)
		assert.Equal(t, []string{"authorization_code", "refresh_token", "refresh_token"}, s.grants())
	})
}

func TestRefreshCredentialUsesTheFieldAsked(t *testing.T) {
	s := &tokenService{life: time.Hour}
	o := s.options()
	o.RefreshTokenField = "token"
	c, err := NewRefreshCredential(presence.NewSecret("r0"), o)
	require.NoError(t, err)
	accessToken(t, c)
	assert.Equal(t, url.Values{"grant_type": {"refresh_token"}, "token": {"r0"}}, s.forms[0])
}

func TestRotatedComesBeforeTheTokenIsHandedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &tokenService{life: time.Hour, rotates: true}
		o := s.options()
		var saved []string
		full := errors.New("disk full")
		fault := full
		o.Rotated = func(_ context.Context, refresh presence.Secret) error {
			if fault == nil {
				saved = append(saved, refresh.Reveal())
			}
			return fault
		}
		c, err := NewRefreshCredential(presence.NewSecret("r0"), o)
		require.NoError(t, err)
		_, err = c.Token(t.Context())
		require.ErrorIs(t, err, full)
		time.Sleep(time.Minute)
		fault = nil
		assert.Equal(t, "a1", accessToken(t, c), "saved later, not asked for again")
		assert.Equal(t, []string{"r1"}, saved)
		assert.Len(t, s.forms, 1)
		time.Sleep(time.Hour)
		accessToken(t, c)
		assert.Equal(t, "r1", s.forms[1].Get("refresh_token"))
		assert.Equal(t, []string{"r1", "r2"}, saved)
	})
}

func TestFailingTokenServiceIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &tokenService{life: time.Hour, refuse: map[string]int{"client_credentials": 429}}
		c, err := NewClientCredential(testAccount, "client", presence.NewSecret("secret"), s.options())
		require.NoError(t, err)
		for range 89 {
			_, err := c.Token(t.Context())
			require.ErrorIs(t, err, presence.ErrThrottled)
			time.Sleep(time.Second)
		}
		assert.Len(t, s.forms, 1, "Retry-After: 90")
		time.Sleep(2 * time.Second)
		delete(s.refuse, "client_credentials")
		assert.Equal(t, "a1", accessToken(t, c))

		s.refuse["client_credentials"] = 401
		c.Invalidate("a1")
		before := len(s.forms)
		for range 600 {
			_, _ = c.Token(t.Context())
			time.Sleep(time.Second)
		}
		assert.LessOrEqual(t, len(s.forms)-before, 12)
	})
}

func TestOneRequestForAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &tokenService{life: time.Hour}
		o := s.options()
		next := o.HTTPClient.Transport
		o.HTTPClient.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return next.RoundTrip(req)
		})
		c, err := NewClientCredential(testAccount, "client", presence.NewSecret("secret"), o)
		require.NoError(t, err)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				_, err := c.Token(t.Context())
				assert.NoError(t, err)
			})
		}
		wg.Wait()
		assert.Len(t, s.forms, 1)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestUnusableTokenAnswers(t *testing.T) {
	for _, body := range []string{``, `null`, `[]`, `<html>`, `{}`, `{"access_token":""}`, `{"access_token":"a b"}`, `{"access_token":"a\nb"}`, `{"access_token":"é"}`} {
		c, err := NewClientCredential(testAccount, "client", presence.NewSecret("s"), &CredentialOptions{HTTPClient: &http.Client{Transport: inProcess{answer(200, body)}}})
		require.NoError(t, err)
		_, err = c.Token(t.Context())
		assert.ErrorIs(t, err, ErrUnexpectedAnswer, body)
	}
}

func TestCredentialFaultsAreReportedAtOnce(t *testing.T) {
	_, err := NewPasswordCredential("", "", presence.Secret{}, &CredentialOptions{Region: "EU!", Application: "a b", Early: -1})
	for _, part := range []string{"account id", "user name", "password", "region", "application name", "Early"} {
		assert.ErrorContains(t, err, part)
	}
	_, err = NewClientCredential("", "", presence.Secret{}, nil)
	assert.ErrorContains(t, err, "client secret")
	_, err = NewAuthorizationCodeCredential("", presence.Secret{}, nil)
	assert.ErrorContains(t, err, "code")
	_, err = NewRefreshCredential(presence.Secret{}, nil)
	assert.ErrorContains(t, err, "refresh token")
}

func FuzzToken(f *testing.F) {
	f.Add([]byte(`{"token_type":"bearer","expires_in":3747,"access_token":"a","refresh_token":"r","scope":"read write"}`))
	f.Add([]byte(`{"expires_in":"9999999999999999999","access_token":1}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if a, err := parseToken(body); err == nil {
			req, _ := http.NewRequest(http.MethodGet, "http://h/", http.NoBody)
			req.Header.Set("Authorization", "Bearer "+string(a.AccessToken))
			if err := req.Write(io.Discard); err != nil {
				t.Fatal(err)
			}
		}
	})
}
