package graphtest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/presence"
)

func TestGraphTokenIsChecked(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		valid := w.appToken()
		for name, token := range map[string]string{"none": "", "nonsense": "x.y.z", "tampered": valid[:len(valid)-8] + "AAAAAAAA"} {
			resp := w.send(token, "GET", "users", nil)
			assert.Contains(w, resp.header.Get("WWW-Authenticate"), "Bearer", name)
			status, body := resp.json(w)
			assert.Equal(w, http.StatusUnauthorized, status, name)
			assert.Equal(w, "InvalidAuthenticationToken", code(body), name)
		}
		time.Sleep(time.Hour)
		status, body := w.do(valid, "GET", "users", nil)
		assert.Equal(w, http.StatusUnauthorized, status)
		assert.Contains(w, message(body), "expired")
	})
}

func TestGraphErrorBody(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		req, err := http.NewRequest("GET", w.GraphURL()+"/v1.0/users/nobody@example.test", nil)
		require.NoError(w, err)
		req.Header.Set("Authorization", "Bearer "+w.appToken())
		req.Header.Set("client-request-id", "my-id")
		resp := w.exchange(w.client, req)
		assert.Equal(w, "my-id", resp.header.Get("client-request-id"))
		status, body := resp.json(w)
		assert.Equal(w, http.StatusNotFound, status)
		inner := body["error"].(map[string]any)["innerError"].(map[string]any)
		assert.Equal(w, map[string]any{
			"date": time.Now().UTC().Format("2006-01-02T15:04:05"), "request-id": resp.header.Get("request-id"), "client-request-id": "my-id",
		}, inner)
		assert.Equal(w, "Request_ResourceNotFound", code(body))
	})
}

func TestUnknownPathsAndMethods(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		token := w.appToken()
		for path, want := range map[string]int{"nothing": 400, w.GraphURL() + "/beta/users": 400, "users?$search=x": 400, "users?$top=0": 400, "users?$top=1000": 400} {
			status, _ := w.do(token, "GET", path, nil)
			assert.Equal(w, want, status, path)
		}
		status, _ := w.do(token, "DELETE", "users", nil)
		assert.Equal(w, http.StatusMethodNotAllowed, status)
		status, body := w.do(token, "GET", "me", nil)
		assert.Equal(w, http.StatusBadRequest, status)
		assert.Contains(w, message(body), "delegated")
	})
}

func TestUsers(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		token := w.appToken()
		_, body := w.do(token, "GET", "users/"+annID, nil)
		assert.Equal(w, "ann@example.test", body["mail"])
		assert.NotContains(w, body, "accountEnabled", "only on request")
		_, body = w.do(token, "GET", "users/MONITOR@example.test?$select=id,accountEnabled,mail", nil)
		delete(body, "@odata.context")
		assert.Equal(w, map[string]any{"id": monID, "accountEnabled": true, "mail": nil}, body)
		status, _ := w.do(token, "GET", "users/"+annID+"?$select=noSuch", nil)
		assert.Equal(w, http.StatusBadRequest, status)

		w.AddUser(graphtest.User{ID: annID, PrincipalName: "ann@example.test", Disabled: true})
		_, body = w.do(token, "GET", "users/"+annID+"?$select=accountEnabled", nil)
		assert.Equal(w, false, body["accountEnabled"])

		_, body = w.do(w.userToken(bobID), "GET", "me", nil)
		assert.Equal(w, bobID, body["id"])
	})
}

func TestUserPages(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		for i := range 250 {
			w.AddUser(graphtest.User{PrincipalName: fmt.Sprintf("u%03d@example.test", i)})
		}
		token := w.appToken()
		var names []string
		var sizes []int
		next := "users?$select=userPrincipalName&$top=99"
		for next != "" {
			_, body := w.do(token, "GET", next, nil)
			values := body["value"].([]any)
			sizes = append(sizes, len(values))
			for _, v := range values {
				user := v.(map[string]any)
				require.Len(w, user, 1, "the selection holds on every page")
				names = append(names, user["userPrincipalName"].(string))
			}
			next, _ = body["@odata.nextLink"].(string)
			// The directory changes between pages: nobody is skipped or twice.
			w.RemoveUser(annID)
		}
		assert.Equal(w, []int{99, 99, 55}, sizes)
		seen := make(map[string]bool)
		for _, n := range names {
			assert.False(w, seen[n], n)
			seen[n] = true
		}
		status, body := w.do(token, "GET", "users?$skiptoken=%21%21", nil)
		assert.Equal(w, http.StatusBadRequest, status)
		assert.Equal(w, "Directory_ExpiredPageToken", code(body))
		_, body = w.do(token, "GET", "users?$top=252", nil)
		assert.NotContains(w, body, "@odata.nextLink", "a full last page is the last page")
	})
}

func TestUserFilter(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		w.AddUser(graphtest.User{PrincipalName: "o'hara@example.test", Mail: "O'Hara@example.test", Name: "O'Hara", Disabled: true})
		token := w.appToken()
		for filter, want := range map[string]string{
			"mail eq 'ANN@example.test'":                                 "ann",
			"userPrincipalName eq 'bob@example.test'":                    "bob",
			"mail eq 'bob@example.test'":                                 "",
			"mail eq 'bob@example.test' or mail eq 'bob.b@example.test'": "bob",
			"mail eq 'o''hara@example.test'":                             "o'hara",
			"accountEnabled eq false":                                    "o'hara",
			"mail eq null":                                               "monitor",
			"not(mail eq null) and accountEnabled eq true":               "ann bob",
			"startsWith(displayName,'B')":                                "bob",
			"endswith(mail,'b@example.test')":                            "bob",
			"id in ('" + annID + "', '" + monID + "')":                   "ann monitor",
			"id ne '" + annID + "' and (displayName eq 'Bob')":           "bob",
		} {
			_, body := w.do(token, "GET", "users?$filter="+url.QueryEscape(filter), nil)
			var got []string
			values, ok := body["value"].([]any)
			require.True(w, ok, "%s: %v", filter, body)
			for _, v := range values {
				name, _, _ := strings.Cut(v.(map[string]any)["userPrincipalName"].(string), "@")
				got = append(got, name)
			}
			assert.Equal(w, want, strings.Join(got, " "), filter)
		}
		for _, filter := range []string{"mail", "mail eq", "mail eq ann", "mail eq 'x", "(mail eq 'x'", "nothing eq 'x'", "mail gt 'x'", "mail eq 'x' mail", "mail in ()", "startsWith(mail)"} {
			status, _ := w.do(token, "GET", "users?$filter="+url.QueryEscape(filter), nil)
			assert.Equal(w, http.StatusBadRequest, status, filter)
		}
	})
}

func TestPresenceRead(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		w.teams(annID, presence.DoNotDisturb, presence.ActivityFocusing)
		token := w.appToken()
		for _, path := range []string{"users/" + annID + "/presence", "communications/presences/" + annID, "users('" + annID + "')/presence"} {
			status, body := w.do(token, "GET", path, nil)
			require.Equal(w, http.StatusOK, status, path)
			assert.Equal(w, annID, body["id"])
			assert.Equal(w, "DoNotDisturb", body["availability"])
			assert.Equal(w, "Focusing", body["activity"])
			assert.Equal(w, w.Presence(annID).SequenceNumber, body["sequenceNumber"])
		}
		status, _ := w.do(token, "GET", "users/ann@example.test/presence", nil)
		assert.Equal(w, http.StatusBadRequest, status, "a principal name is not supported")
		status, _ = w.do(token, "GET", "users/"+w.app.ClientID+"/presence", nil)
		assert.Equal(w, http.StatusNotFound, status)
	})
}

func TestPresenceReadPermissions(t *testing.T) {
	for _, tc := range []struct {
		name       string
		token      func(w *world) string
		own, other int
	}{
		{"delegated Presence.Read", func(w *world) string { return w.userToken(annID, "Presence.Read") }, 200, 403},
		{"delegated Presence.ReadWrite", func(w *world) string { return w.userToken(annID, "Presence.ReadWrite") }, 200, 403},
		{"delegated Presence.Read.All", func(w *world) string { return w.userToken(annID, "Presence.Read.All") }, 200, 200},
		{"delegated User.Read", func(w *world) string { return w.userToken(annID, "User.Read") }, 403, 403},
		{"application Presence.Read.All", func(w *world) string {
			w.app = w.AddApplication(graphtest.Application{ApplicationPermissions: []string{"Presence.Read.All"}})
			return w.appToken()
		}, 200, 200},
		{"application User.Read.All", func(w *world) string {
			w.app = w.AddApplication(graphtest.Application{ApplicationPermissions: []string{"User.Read.All"}})
			return w.appToken()
		}, 403, 403},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, nil, func(w *world) {
				token := tc.token(w)
				status, _ := w.do(token, "GET", "users/"+annID+"/presence", nil)
				assert.Equal(w, tc.own, status)
				status, _ = w.do(token, "GET", "users/"+bobID+"/presence", nil)
				assert.Equal(w, tc.other, status)
				status, _ = w.do(token, "POST", "communications/getPresencesByUserId", map[string]any{"ids": []string{annID}})
				assert.Equal(w, tc.other, status)
			})
		})
	}
}

func TestBulkRead(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		ids := []string{annID, bobID}
		for len(ids) < 650 {
			ids = append(ids, w.AddUser(graphtest.User{}).ID)
		}
		w.call(bobID)
		token := w.appToken()
		read := func(ids ...string) (int, []any) {
			status, body := w.do(token, "POST", "communications/getPresencesByUserId", map[string]any{"ids": ids})
			values, _ := body["value"].([]any)
			return status, values
		}
		status, values := read(ids...)
		require.Equal(w, http.StatusOK, status)
		require.Len(w, values, 650)
		assert.Equal(w, "InACall", values[1].(map[string]any)["activity"])
		status, _ = read(append(ids, annID)...)
		assert.Equal(w, http.StatusBadRequest, status, "651 ids")
		status, _ = read()
		assert.Equal(w, http.StatusBadRequest, status, "no ids")
		status, _ = read("ann@example.test")
		assert.Equal(w, http.StatusBadRequest, status)

		w.AddUser(graphtest.User{ID: annID, WithoutTeams: true})
		_, values = read(annID, w.app.ClientID)
		require.Len(w, values, 1+1)
		for _, v := range values {
			assert.Equal(w, "PresenceUnknown", v.(map[string]any)["availability"])
		}
		status, _ = w.do(token, "GET", "users/"+annID+"/presence", nil)
		assert.Equal(w, http.StatusNotFound, status)
	})
	inBubble(t, &graphtest.Options{Assumptions: &graphtest.Assumptions{OmitUnknownUsers: true}}, func(w *world) {
		_, body := w.do(w.appToken(), "POST", "communications/getPresencesByUserId", map[string]any{"ids": []string{annID, w.app.ClientID}})
		assert.Len(w, body["value"], 1)
	})
}

func TestSetPresenceRules(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		token := w.appToken()
		set := func(body any) int {
			status, _ := w.do(token, "POST", "users/"+annID+"/presence/setPresence", body)
			return status
		}
		// Exactly the five pairs, of all there are.
		for _, a := range presence.Availabilities() {
			for _, b := range presence.Activities() {
				want := http.StatusBadRequest
				if (presence.Session{Availability: a, Activity: b}).Validate() == nil {
					want = http.StatusOK
				}
				assert.Equal(w, want, set(w.setBody(string(a), string(b), "PT5M")), "%s/%s", a, b)
			}
		}
		for duration, want := range map[string]int{
			"PT5M": 200, "PT4H": 200, "PT300S": 200, "PT1H30M": 200, "P0DT1H": 200,
			"PT4M59S": 400, "PT4H1S": 400, "P1D": 400, "1H": 400, "PT": 400, "P": 400, "PT1M1H": 400, "": 200, "PT5M ": 400,
		} {
			assert.Equal(w, want, set(w.setBody("Busy", "InACall", duration)), duration)
		}
		assert.Equal(w, 400, set(map[string]any{"sessionId": annID, "availability": "Busy", "activity": "InACall"}), "foreign session id")
		assert.Equal(w, 400, set("{"), "not JSON")
		assert.Equal(w, 200, set(w.setBody("busy", "inacall", "")), "case does not matter")

		status, _ := w.do(token, "POST", "users/"+w.app.ClientID+"/presence/setPresence", w.setBody("Busy", "InACall", ""))
		assert.Equal(w, http.StatusNotFound, status, "unknown user")
		time.Sleep(5 * time.Minute)
		w.assertShows("Offline/Offline", annID) // PT5M is the default
	})
}

func TestClearPresence(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		token := w.appToken()
		clearOwn := func() (int, map[string]any) {
			return w.do(token, "POST", "communications/presences/"+annID+"/clearPresence", map[string]any{"sessionId": w.app.ClientID})
		}
		status, body := clearOwn()
		assert.Equal(w, http.StatusNotFound, status)
		assert.Equal(w, "NotFound", code(body))
		w.call(annID)
		status, _ = clearOwn()
		assert.Equal(w, http.StatusOK, status)
		w.assertShows("Offline/Offline", annID)
		status, _ = clearOwn()
		assert.Equal(w, http.StatusNotFound, status)
	})
}

func TestWritePermissions(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		body := w.setBody("Busy", "InACall", "")
		own := w.userToken(annID, "Presence.ReadWrite")
		status, _ := w.do(own, "POST", "me/presence/setPresence", body)
		assert.Equal(w, http.StatusOK, status)
		status, answer := w.do(own, "POST", "users/"+bobID+"/presence/setPresence", body)
		assert.Equal(w, http.StatusUnauthorized, status)
		assert.Contains(w, message(answer), "another user")
		status, _ = w.do(w.userToken(annID, "Presence.Read.All"), "POST", "me/presence/setPresence", body)
		assert.Equal(w, http.StatusForbidden, status)
	})
}

func TestPreferredPresenceEndpoint(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		token := w.appToken()
		w.teams(annID, presence.Available, "")
		set := func(a, b, duration string) int {
			body := map[string]any{"availability": a, "activity": b}
			if duration != "" {
				body["expirationDuration"] = duration
			}
			status, _ := w.do(token, "POST", "users/"+annID+"/presence/setUserPreferredPresence", body)
			return status
		}
		assert.Equal(w, 200, set("Offline", "OffWork", "PT1M"))
		w.assertShows("Offline/OffWork", annID)
		time.Sleep(time.Minute)
		w.assertShows("Available/Available", annID)
		assert.Equal(w, 400, set("Busy", "InACall", ""))
		assert.Equal(w, 400, set("Busy", "Busy", "tomorrow"))
		assert.Equal(w, 200, set("Busy", "Busy", ""))
		status, _ := w.do(token, "POST", "users/"+annID+"/presence/clearUserPreferredPresence", map[string]any{})
		assert.Equal(w, 200, status)
		w.assertShows("Available/Available", annID)
	})
}

func TestStatusMessage(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		body := map[string]any{"statusMessage": map[string]any{
			"message":        map[string]any{"content": "on the road", "contentType": "text"},
			"expiryDateTime": map[string]any{"dateTime": time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05"), "timeZone": "UTC"},
		}}
		status, _ := w.do(w.appToken(), "POST", "users/"+annID+"/presence/setStatusMessage", body)
		require.Equal(w, http.StatusOK, status)
		read := func(token string) any {
			_, p := w.do(token, "GET", "users/"+annID+"/presence", nil)
			return p["statusMessage"]
		}
		text := map[string]any{"content": "on the road", "contentType": "text"}
		assert.Equal(w, map[string]any{"message": text}, read(w.appToken()), "others see no times")
		assert.Contains(w, read(w.userToken(annID)), "publishedDateTime")
		time.Sleep(59 * time.Minute)
		other := w.appToken()
		assert.NotNil(w, read(other))
		time.Sleep(time.Minute)
		assert.Nil(w, read(other))
		status, _ = w.do(other, "POST", "users/"+annID+"/presence/setStatusMessage", map[string]any{"statusMessage": map[string]any{"message": map[string]any{"content": "x", "contentType": "html"}}})
		assert.Equal(w, http.StatusBadRequest, status)
	})
}

func TestApplicationAndItsGrants(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		secret, err := w.AddSecret(w.app.ClientID, graphtest.Secret{Value: presence.NewSecret("abcdefgh"), Description: "integration", End: time.Now().Add(24 * time.Hour)})
		require.NoError(w, err)
		token := w.appToken()
		status, body := w.do(token, "GET", "applications(appId='"+w.app.ClientID+"')?$select=id,appId,displayName,passwordCredentials", nil)
		require.Equal(w, http.StatusOK, status)
		assert.NotContains(w, body, "web")
		credentials := body["passwordCredentials"].([]any)
		require.Len(w, credentials, 2)
		assert.Equal(w, map[string]any{
			"customKeyIdentifier": nil, "displayName": "integration", "hint": "abc", "keyId": secret.KeyID, "secretText": nil,
			"startDateTime": secret.Start.UTC().Format(time.RFC3339), "endDateTime": secret.End.UTC().Format(time.RFC3339),
		}, credentials[1])

		_, body = w.do(token, "GET", "applications(appId='"+w.app.ClientID+"')?$select=web,spa,publicClient", nil)
		assert.Contains(w, body["web"].(map[string]any)["redirectUris"], "http://localhost/callback")
		for _, platform := range []string{"spa", "publicClient"} {
			assert.Equal(w, map[string]any{"redirectUris": []any{}}, body[platform])
		}

		_, body = w.do(token, "GET", "servicePrincipals(appId='"+w.app.ClientID+"')/appRoleAssignments", nil)
		var roles []any
		for _, v := range body["value"].([]any) {
			roles = append(roles, v.(map[string]any)["appRoleId"])
		}
		assert.Equal(w, []any{"83cded22-8297-4ff6-a7fa-e97e9545a259", "df021288-bdef-4463-88db-98f22de89214", "9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30"}, roles)
		require.NoError(w, w.SetConsent(w.app.ClientID, false))
		_, body = w.do(token, "GET", "servicePrincipals(appId='"+w.app.ClientID+"')/appRoleAssignments", nil)
		assert.Empty(w, body["value"])

		status, body = w.do(token, "GET", "servicePrincipals(appId='"+w.app.ClientID+"')/oauth2PermissionGrants", nil)
		assert.Equal(w, http.StatusForbidden, status, "not in the guide's list")
		assert.Equal(w, "Authorization_RequestDenied", code(body))
		status, _ = w.do(token, "GET", "applications(appId='"+annID+"')", nil)
		assert.Equal(w, http.StatusNotFound, status)
		_, body = w.do(token, "GET", "servicePrincipals(appId='00000003-0000-0000-c000-000000000000')", nil)
		assert.NotEmpty(w, body["appRoles"])

		require.NoError(w, w.SetConsent(w.app.ClientID, true))
		status, _ = w.do(w.userToken(annID), "GET", "applications(appId='"+w.app.ClientID+"')", nil)
		assert.Equal(w, http.StatusForbidden, status)
	})
}

func TestGrantsOfDelegatedPermissions(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		w.app = w.AddApplication(graphtest.Application{ApplicationPermissions: []string{"Directory.Read.All"}, DelegatedPermissions: []string{"User.Read", "openid"}})
		status, body := w.do(w.appToken(), "GET", "servicePrincipals(appId='"+w.app.ClientID+"')/oauth2PermissionGrants", nil)
		require.Equal(w, http.StatusOK, status, body)
		assert.Equal(w, "User.Read openid", body["value"].([]any)[0].(map[string]any)["scope"])
	})
}
