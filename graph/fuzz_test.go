package graph

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

func FuzzPresences(f *testing.F) {
	f.Add([]byte(`{"@odata.context":"x","value":[{"id":"` + ann + `","availability":"Busy","activity":"InACall","outOfOfficeSettings":{"isOutOfOffice":true},"sequenceNumber":"A1"}]}`))
	f.Add([]byte(`{"value":[{"id":"` + ann + `","availability":7},{"id":null},null,"x",{"id":"\u0061"}],"@odata.nextLink":"x"}`))
	f.Add([]byte(`{"value":[{"id":"` + bob + `"},{"id":"` + strings.ToUpper(ann) + `","availability":"hologram"}`))
	f.Add([]byte(`<html>`))
	ids := []string{ann, bob}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, skipped, err := decodePresences(bytes.NewReader(body), ids)
		require.GreaterOrEqual(t, skipped, 0)
		require.LessOrEqual(t, len(got), len(ids))
		if err == nil {
			require.True(t, json.Valid(body) || hasRest(body), "garbage is not taken for an answer")
		}
		seen := map[string]bool{}
		for _, p := range got {
			require.Contains(t, ids, p.UserID)
			require.False(t, seen[p.UserID])
			seen[p.UserID] = true
			// Parsed once, a value does not change when it is parsed again.
			require.Equal(t, p.Availability, presence.ParseAvailability(string(p.Availability)))
			require.Equal(t, p.Activity, presence.ParseActivity(string(p.Activity)))
		}
		_, _ = decodePresence(bytes.NewReader(body))
	})
}

// hasRest reports whether a whole JSON value comes before what makes body invalid.
func hasRest(body []byte) bool {
	var first json.RawMessage
	return json.NewDecoder(bytes.NewReader(body)).Decode(&first) == nil
}

func FuzzSubscriptions(f *testing.F) {
	f.Add([]byte(`{"value":[{"id":"1","resource":"/communications/presences?$filter=id in ('` + ann + `','` + bob + `')","notificationUrl":"https://bridge.test","expirationDateTime":"2026-03-21T10:45:00.4569264"}],"@odata.nextLink":"http://graph.test/v1.0/subscriptions?$skiptoken=2"}`))
	f.Add([]byte(`{"value":[{"id":"1","resource":"communications/presences?$filter=id+in+(%27` + ann + `%27)"},{"resource":7},{"id":"3","expirationDateTime":{}}]}`))
	f.Add([]byte(`{"value":[{"id":"1","resource":"communications/presences('` + ann + `')"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		page, skipped, _, err := decodePage(bytes.NewReader(body), func(w wireSubscription) bool { return w.ID != "" })
		require.GreaterOrEqual(t, skipped, 0)
		if err != nil {
			return
		}
		for _, w := range page {
			require.NotEmpty(t, w.ID)
			for _, id := range w.subscription(time.Time{}).UserIDs {
				require.True(t, isIdentifier(id), "%q goes into the next filter", id)
			}
		}
	})
}

func FuzzUsers(f *testing.F) {
	f.Add([]byte(`{"value":[{"id":"` + ann + `","userPrincipalName":"ann@contoso.test","mail":null,"accountEnabled":true}],"@odata.nextLink":"http://graph.test/v1.0/users?$skiptoken=2"}`))
	f.Add([]byte(`{"value":[{"id":7},null,{},"x",{"id":"1","accountEnabled":"yes"}]}`))
	f.Add([]byte(`{"@odata.nextLink":{},"value":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		page, skipped, _, err := decodePage(bytes.NewReader(body), usableUser)
		require.GreaterOrEqual(t, skipped, 0)
		if err != nil {
			return
		}
		for _, w := range page {
			require.NotEmpty(t, w.user().ID)
		}
	})
}

func FuzzCallback(f *testing.F) {
	f.Add("code=c&state=s")
	f.Add("admin_consent=True&tenant=" + tenant + "&state=s")
	f.Add("error=access_denied&error_description=AADSTS65004%3A+User+declined&state=s&code=c&admin_consent=True")
	f.Add("error=%3Cscript%3E&error_description=AADSTS0")
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		cb, err := ParseCallback(values)
		if err == nil {
			require.True(t, !cb.Code.IsZero() || cb.AdminConsent, "nothing is not taken for a consent")
			require.Empty(t, values.Get("error"))
			return
		}
		require.False(t, cb.AdminConsent)
		var e *Error
		require.ErrorAs(t, err, &e)
		harmless(t, e)
	})
}

func FuzzIDToken(f *testing.F) {
	f.Add("eyJhbGciOiJub25lIn0.eyJhdWQiOiIxIn0.")
	f.Add("eyJhbGciOiJIUzI1NiJ9.eyJhdWQiOlsiMjIyMjIyMjItMjIyMi0yMjIyLTIyMjItMjIyMjIyMjIyMjIyIl19.eA")
	f.Add("x.y.z")
	e := &endpoint{clientID: application}
	f.Fuzz(func(t *testing.T, token string) {
		claims, err := e.claims(token)
		if err != nil {
			require.ErrorIs(t, err, ErrMalformed)
			require.Zero(t, claims)
		}
	})
}

// harmless reports whether an error holds nothing of body but codes and ids.
func harmless(t *testing.T, e *Error) {
	t.Helper()
	for _, word := range []string{e.Code, e.RequestID, e.CorrelationID} {
		require.True(t, word == "" || isIdentifier(word) && len(word) <= 80, "%q", word)
	}
	require.NotEmpty(t, e.Error())
	_ = e.Remedy()
	_ = errors.Is(e, presence.ErrConflict)
}

func FuzzGraphError(f *testing.F) {
	f.Add([]byte(graphError("ExtensionError", "[Status Code: Conflict; Reason: A subscripton already exists.]")), 409)
	f.Add([]byte(`{"error":{"code":"InvalidRequest","message":"Subscription validation request timed out."}}`), 400)
	f.Add([]byte(`{"error":"text"}`), 500)
	f.Add([]byte(`<html>`), 502)
	f.Fuzz(func(t *testing.T, body []byte, status int) {
		e := parseGraphError(body)
		e.Operation, e.StatusCode = opCreateSubscription.name, status
		harmless(t, e)
	})
}

func FuzzTokenError(f *testing.F) {
	f.Add([]byte(entraError("invalid_client", 7000222)), 401)
	f.Add([]byte(`{"error":"invalid_grant","error_description":"AADSTS50173 AADSTS50173 AADSTS99999999999999999999","error_codes":["x"]}`), 400)
	f.Add([]byte(`{"error":{},"error_codes":[1,-1,65001]}`), 400)
	f.Add([]byte(``), 0)
	f.Fuzz(func(t *testing.T, body []byte, status int) {
		e := parseTokenError(body)
		e.Operation, e.StatusCode = tokenOperation, status
		harmless(t, e)
		for _, code := range e.AADSTS {
			assert.Positive(t, code)
		}
	})
}
