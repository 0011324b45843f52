package cloudlinktest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/cloudlink/cloudlinktest"
	"github.com/presencebridge/presencebridge/presence"
)

func TestUserResource(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		for _, path := range []string{"/accounts/" + f.AccountID() + "/users/ann-id", "/users/ann-id"} {
			r := f.call("GET", "admin", path, nil)
			require.Equal(f.t, http.StatusOK, r.status, path)
			assert.Equal(f.t, "sip-canary", r.text("sipPassword"), "the real one returns it too")
			for name, want := range (object{
				"userId": "ann-id", "name": "Ann", "displayName": "Ann", "email": "ann@example.com", "extension": "2001", "siteId": "site-1",
				"role": "USER", "source": "CloudLink", "accountId": f.AccountID(), "emailVerified": true, "mobileVerified": false,
			}) {
				assert.Equal(f.t, want, r.json[name], name)
			}
			assert.NotContains(f.t, r.json, "principalId")
		}
		assert.Equal(f.t, http.StatusNotFound, f.call("GET", "admin", "/users/nobody", nil).status)
	})
	inBubble(t, cloudlinktest.Options{Assumptions: &cloudlinktest.Assumptions{PrincipalIDInUsers: true}}, func(f *fixture) {
		f.AddUser(cloudlinktest.User{ID: "eve-id", PrincipalID: "eve-principal"})
		assert.Equal(f.t, "eve-principal", f.call("GET", "admin", "/users/eve-id", nil).text("principalId"))
	})
}

func TestUserListingIsPaged(t *testing.T) {
	for name, a := range map[string]cloudlinktest.Assumptions{
		"absolute links": {PageSize: 3},
		"relative links": {PageSize: 3, RelativeLinks: true},
		"bounded $top":   {MaxPageSize: 3},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, cloudlinktest.Options{Assumptions: &a}, func(f *fixture) {
				for i := range 6 {
					f.AddUser(cloudlinktest.User{ID: fmt.Sprintf("user-%d", i)})
				}
				target := f.URL("admin") + "/accounts/" + f.AccountID() + "/users"
				base, err := url.Parse(target)
				require.NoError(f.t, err)
				var ids []string
				pages := 0
				for ; target != ""; pages++ {
					require.Less(f.t, pages, 3)
					r := f.send("GET", target, f.token, "", nil)
					require.Equal(f.t, http.StatusOK, r.status, r.raw)
					items := r.items()
					assert.InEpsilon(f.t, len(items), r.json["count"], 0)
					for _, u := range items {
						ids = append(ids, u["userId"].(string))
					}
					target = ""
					if next := r.next(); next != "" {
						assert.Equal(f.t, a.RelativeLinks, strings.HasPrefix(next, "/"))
						u, err := base.Parse(next)
						require.NoError(f.t, err)
						target = u.String()
					}
				}
				assert.Equal(f.t, 3, pages)
				assert.Equal(f.t, []string{"ann-id", "bob-id", "user-0", "user-1", "user-2", "user-3", "user-4", "user-5"}, ids)
			})
		})
	}
}

func TestUserListingTakesTopSkipAndFilter(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		list := func(query url.Values) reply { return f.call("GET", "admin", "/users?"+query.Encode(), nil) }
		names := func(r reply) (names []string) {
			for _, u := range r.items() {
				names = append(names, u["name"].(string))
			}
			return names
		}
		assert.Equal(f.t, []string{"Bob"}, names(list(url.Values{"$top": {"1"}, "$skip": {"1"}})))
		assert.Empty(f.t, names(list(url.Values{"$skip": {"7"}})))
		assert.Equal(f.t, []string{"Ann"}, names(list(url.Values{"$filter": {"email eq 'ann@example.com'"}})))
		assert.Equal(f.t, []string{"Ann", "Bob"}, names(list(url.Values{"$filter": {"contains(email,'example')"}})))
		for _, bad := range []url.Values{
			{"$top": {"x"}}, {"$top": {"0"}}, {"$skip": {"-1"}}, {"$filter": {"email is 'x'"}}, {"$filter": {"colour eq 'red'"}}, {"$orderby": {"name"}},
		} {
			r := list(bad)
			assert.Equal(f.t, http.StatusBadRequest, r.status, bad)
			assert.NotEmpty(f.t, r.text("message"))
		}
		// A filter survives into the link to the next page.
		r := list(url.Values{"$filter": {"contains(email,'example')"}, "$top": {"1"}})
		assert.Equal(f.t, []string{"Bob"}, names(f.send("GET", r.next(), f.token, "", nil)))
	})
}

func TestRolesAreChecked(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		f.AddClient("user-client", "secret", cloudlinktest.RoleUser)
		f.AddClient("partner", "secret", cloudlinktest.RolePartnerAdmin)
		userClient, partner := f.clientToken("user-client", "secret"), f.clientToken("partner", "secret")
		users, own := "/accounts/"+f.AccountID()+"/users", "/users/ann-id"
		for _, c := range []struct {
			name, token, path string
			want              int
		}{
			{"an admin lists users", f.token, users, 200},
			{"a user does not", f.annToken, users, 403},
			{"a client with the role of a user does not", userClient, users, 403},
			{"a user reads the own entry", f.annToken, own, 200},
			{"and no other", f.annToken, "/users/bob-id", 403},
			{"an admin has no other account", f.token, "/accounts/other/users", 403},
			{"a partner sees that there is none", partner, "/accounts/other/users", 404},
			{"a partner lists users", partner, users, 200},
			{"clients are for admins", f.annToken, "/accounts/" + f.AccountID() + "/clients", 403},
			{"the account is for everybody", f.annToken, "/accounts/" + f.AccountID(), 200},
			{"but not another", f.annToken, "/accounts/other", 403},
		} {
			assert.Equal(f.t, c.want, f.callAs(c.token, "GET", "admin", c.path, nil).status, c.name)
		}
	})
}

func TestAccounts(t *testing.T) {
	inBubble(t, cloudlinktest.Options{AccountName: "Acme"}, func(f *fixture) {
		items := f.call("GET", "admin", "/accounts", nil).items()
		require.Len(f.t, items, 1)
		r := f.call("GET", "admin", "/accounts/"+f.AccountID(), nil)
		assert.Equal(f.t, items[0], r.json)
		assert.Equal(f.t, "Acme", r.text("name"))
		assert.InDelta(f.t, 360, r.json["refreshTokenExpiryHours"], 0)
		assert.InDelta(f.t, 2, r.json["accessTokenExpiryHours"], 0)
	})
}

func TestClientsAreMadeThroughTheAdminAPI(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		path := "/accounts/" + f.AccountID() + "/clients"
		r := f.call("POST", "admin", path, object{"type": "APP", "role": "USER", "clientId": "made", "name": "Made"})
		require.Equal(f.t, http.StatusCreated, r.status, r.raw)
		assert.NotEmpty(f.t, f.clientToken("made", r.text("clientSecret")))
		assert.Equal(f.t, http.StatusConflict, f.call("POST", "admin", path, object{"type": "APP", "role": "USER", "clientId": "made"}).status)
		for _, bad := range []any{object{"role": "USER"}, object{"type": "APP", "role": "KING"}, "text"} {
			assert.Equal(f.t, http.StatusBadRequest, f.call("POST", "admin", path, bad).status)
		}
		assert.Equal(f.t, http.StatusForbidden, f.call("POST", "admin", path, object{"type": "APP", "role": "PARTNER_ADMIN"}).status)
		assert.Equal(f.t, http.StatusForbidden, f.callAs(f.annToken, "POST", "admin", path, object{"type": "APP", "role": "USER"}).status)

		listing := f.call("GET", "admin", path, nil)
		assert.Len(f.t, listing.items(), 2)
		assert.NotContains(f.t, listing.raw, r.text("clientSecret"))
		assert.NotContains(f.t, listing.raw, "client-secret")
	})
}

func TestRemovedUserIsGone(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		body := object{"applicationId": applicationID, "deviceId": webhookURL, "transport": "webhook", "topic": "platform-api-media", "subjectFilter": "x"}
		require.Equal(f.t, http.StatusCreated, f.callAs(f.annToken, "POST", "notifications", "/subscriptions", body).status)
		f.RemoveUser("ann-id")
		f.RemoveUser("ann-id")
		assert.Equal(f.t, http.StatusUnauthorized, f.callAs(f.annToken, "GET", "authentication", "/token", nil).status)
		assert.Equal(f.t, http.StatusNotFound, f.call("GET", "admin", "/users/ann-id", nil).status)
		assert.Equal(f.t, http.StatusNotFound, f.call("GET", "media", "/endpoints/2001", nil).status)
		assert.Equal(f.t, http.StatusNotFound, f.call("GET", "presence", "/presentities/ann-id", nil).status)
		assert.Empty(f.t, f.Subscriptions())
		assert.Len(f.t, f.Users(), 1)
	})
}

func TestTwoUsersWithOneAddressAreAFaultOfTheTest(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		assert.Panics(f.t, func() { f.AddUser(cloudlinktest.User{Email: "ANN@example.com"}) })
		assert.Panics(f.t, func() { f.AddUser(cloudlinktest.User{PrincipalID: "ann-id"}) })
		changed := f.ann
		changed.Name = "Ann the Second"
		f.AddUser(changed)
		changed.PrincipalID, changed.Email = "ann-principal", "ann.second@example.com"
		f.AddUser(changed)
		assert.Empty(f.t, f.Status("ann-id"))
		assert.Equal(f.t, presence.StatusOffline, f.Status("ann-principal"))
		f.AddUser(cloudlinktest.User{Email: "ann@example.com"}) // free again
		f.RemoveUser("bob-id")
		f.AddUser(cloudlinktest.User{Email: "bob@example.com"})
		assert.Equal(f.t, "Ann the Second", f.call("GET", "admin", "/users/ann-id", nil).text("name"))
		assert.Len(f.t, f.Users(), 3)
	})
}
