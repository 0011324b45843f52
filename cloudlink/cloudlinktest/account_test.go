package cloudlinktest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/cloudlink/cloudlinktest"
	"github.com/presencebridge/presencebridge/presence"
)

// whoami returns what a token says.
func (f *fixture) whoami(token string) reply {
	f.t.Helper()
	return f.callAs(token, "GET", "authentication", "/token", nil)
}

func TestAccountTurnsOutToBeAnother(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		const another = "0f0f0f0f-1111-4222-8333-444444444444"
		before := f.AccountID()
		f.SetAccountID(another)
		assert.Equal(f.t, another, f.AccountID())
		assert.Equal(f.t, another, f.whoami(f.token).text("accountId"))
		assert.Equal(f.t, http.StatusForbidden, f.call("GET", "admin", "/accounts/"+before+"/users", nil).status)
		r := f.call("GET", "admin", "/accounts/"+another+"/users", nil)
		require.Equal(f.t, http.StatusOK, r.status)
		assert.Equal(f.t, another, r.items()[0]["accountId"])
		for _, id := range []string{before, another, f.AccountNumber()} {
			r := f.form("/token", "grant_type", "client_credentials", "client_id", "bridge", "client_secret", "client-secret", "account_id", id)
			require.Equal(f.t, http.StatusOK, r.status, id)
			assert.Equal(f.t, another, claimsOf(f.t, r.text("access_token"))["accountId"])
		}
		f.SetAccountID(before)
		assert.Equal(f.t, http.StatusOK, f.call("GET", "admin", "/accounts/"+before+"/users", nil).status)
		assert.Equal(f.t, http.StatusForbidden, f.call("GET", "admin", "/accounts/"+another, nil).status)
	})
}

func TestDomainNamesTheRegion(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		first := f.AccountID() + ".us.dev.api.mitel.io"
		assert.Equal(f.t, first, f.whoami(f.token).text("domain"))
		f.SetDomain(f.AccountID() + ".eu.api.mitel.io")
		assert.Equal(f.t, f.AccountID()+".eu.api.mitel.io", f.whoami(f.token).text("domain"))
		assert.Equal(f.t, f.AccountID()+".eu.api.mitel.io", claimsOf(f.t, f.clientToken("bridge", "client-secret"))["domain"])
		f.SetDomain("")
		assert.Equal(f.t, first, f.whoami(f.token).text("domain"))
	})
}

func TestClientIsChangedAndRemoved(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		users := func(token string) int { return f.callAs(token, "GET", "admin", "/users", nil).status }
		f.AddClient("bridge", "client-secret", cloudlinktest.RoleUser)
		assert.Equal(f.t, http.StatusOK, users(f.token), "a token keeps its role")
		later := f.clientToken("bridge", "client-secret")
		assert.Equal(f.t, cloudlinktest.RoleUser, f.whoami(later).text("role"))
		assert.Equal(f.t, http.StatusForbidden, users(later))

		f.AddClient("bridge", "another-secret", "")
		assert.Equal(f.t, cloudlinktest.RoleAccountAdmin, f.whoami(f.clientToken("bridge", "another-secret")).text("role"))
		grant := func(secret string) int {
			return f.form("/token", "grant_type", "client_credentials", "client_id", "bridge", "client_secret", secret, "account_id", f.AccountID()).status
		}
		assert.Equal(f.t, http.StatusUnauthorized, grant("client-secret"))

		f.RemoveClient("bridge")
		assert.Equal(f.t, http.StatusUnauthorized, grant("another-secret"))
		for _, token := range []string{f.token, later} {
			assert.Equal(f.t, http.StatusUnauthorized, f.whoami(token).status, "its tokens are gone")
		}
		assert.Equal(f.t, http.StatusOK, f.whoami(f.annToken).status, "nobody else's are")
	})
}

func TestUserIsChanged(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		require.True(f.t, f.SetStatus("ann-id", presence.StatusBusy))
		assert.True(f.t, f.UpdateUser("ann-id", func(u *cloudlinktest.User) {
			assert.Equal(f.t, "ann@example.com", u.Email)
			u.ID, u.Email, u.SiteID = "bob-id", "ann.new@example.com", "site-2"
		}))
		r := f.call("GET", "admin", "/users/ann-id", nil)
		assert.Equal(f.t, "ann.new@example.com", r.text("email"))
		assert.Equal(f.t, "site-2", r.text("siteId"))
		assert.Equal(f.t, "sip-canary", r.text("sipPassword"), "the rest stays")
		assert.Equal(f.t, "Bob", f.call("GET", "admin", "/users/bob-id", nil).text("name"), "the id cannot be changed")
		assert.Equal(f.t, presence.StatusBusy, f.Status("ann-id"))
		assert.Equal(f.t, presence.LineIdle, f.Line("2001").State)
		signIn := func(address string) int {
			return f.form("/token", "grant_type", "password", "username", address, "password", "ann-password", "account_id", "100001").status
		}
		assert.Equal(f.t, http.StatusOK, signIn("ann.new@example.com"))
		assert.Equal(f.t, http.StatusUnauthorized, signIn("ann@example.com"))
		f.AddUser(cloudlinktest.User{ID: "eve-id", Email: "ann@example.com"}) // the address is free

		assert.Panics(f.t, func() { f.UpdateUser("bob-id", func(u *cloudlinktest.User) { u.Email = "Ann@example.com" }) })
		assert.Equal(f.t, "bob@example.com", f.call("GET", "admin", "/users/bob-id", nil).text("email"), "nothing happened")
		assert.False(f.t, f.UpdateUser("nobody", func(*cloudlinktest.User) {}))
	})
}

func TestPeopleShareAnEmail(t *testing.T) {
	inBubble(t, cloudlinktest.Options{Assumptions: &cloudlinktest.Assumptions{SharedEmails: true}}, func(f *fixture) {
		f.UpdateUser("bob-id", func(u *cloudlinktest.User) { u.Email, u.Password = "ANN@example.com", "bob-password" })
		f.AddUser(cloudlinktest.User{ID: "eve-id", Email: "ann@example.com", Password: "eve-password"})
		for _, u := range f.call("GET", "admin", "/users", nil).items() {
			assert.Equal(f.t, "ann@example.com", strings.ToLower(u["email"].(string)))
		}
		signIn := func(password string) int {
			return f.form("/token", "grant_type", "password", "username", "ann@example.com", "password", password, "account_id", "100001").status
		}
		for _, step := range []struct{ works, fails string }{{"ann-password", "bob-password"}, {"bob-password", "eve-password"}, {"eve-password", "bob-password"}} {
			assert.Equal(f.t, http.StatusOK, signIn(step.works))
			assert.Equal(f.t, http.StatusUnauthorized, signIn(step.fails))
			switch step.works {
			case "ann-password":
				f.UpdateUser("ann-id", func(u *cloudlinktest.User) { u.Email = "" })
			case "bob-password":
				f.RemoveUser("bob-id")
			}
		}
	})
}
