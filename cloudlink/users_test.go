package cloudlink

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/presencebridge/presencebridge/presence"
)

// whoami is an answer as Mitel's samples show it: strings for booleans and times.
const whoami = `{"extension":"2001","role":"ACCOUNT_ADMIN","loginId":"ann@example.com","iss":"https://authentication.us.api.mitel.io",
"mobileVerified":"false","principalId":"p-1","integrationLatency":0,"extensionVerified":"true","exp":"1591690894","iat":1591687147,
"email":"ann@example.com","phoneVerified":false,"languageCode":"en","userId":"u-1","uniqueUserId":"uu-1","accountId":"` + testAccount + `",
"emailVerified":"true","aud":"https://mitel.io/auth/teamwork","domain":"x.us.api.mitel.io","name":"Ann","siteId":"s-1","partnerId":"pa-1"}`

func TestWhoAmI(t *testing.T) {
	r := &recorder{next: answer(200, whoami)}
	got, err := testClient(t, r).WhoAmI(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "/2017-09-01/token", r.requests[0].URL.Path)
	assert.Equal(t, Identity{
		AccountID: testAccount, PartnerID: "pa-1", PrincipalID: "p-1", UserID: "u-1", UniqueUserID: "uu-1", Role: "ACCOUNT_ADMIN",
		LoginID: "ann@example.com", Name: "Ann", Email: "ann@example.com", Extension: "2001", SiteID: "s-1", Domain: "x.us.api.mitel.io",
		LanguageCode: "en", EmailVerified: true, ExtensionVerified: true, Issuer: "https://authentication.us.api.mitel.io",
		Audience: "https://mitel.io/auth/teamwork", IssuedAt: time.Unix(1591687147, 0).UTC(), ExpiresAt: time.Unix(1591690894, 0).UTC(),
	}, got)
}

func userJSON(i int) string {
	return fmt.Sprintf(`{"userId":"u-%d","principalId":"p-%d","name":"User %d","email":"u%d@example.com","emailVerified":"true","extension":%d,"siteId":"s-1","role":"USER","sipPassword":%q}`, i, i, i, i, 2000+i, canarySIP)
}

func usersJSON(from, to int) string {
	var items []string
	for i := from; i < to; i++ {
		items = append(items, userJSON(i))
	}
	return strings.Join(items, ",")
}

// pages serves total users. mode says how a page names the next one: "absolute",
// "relative", "string", "skip" (not at all) or "stuck" ($skip is ignored).
func pages(total int, mode string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		top, _ := strconv.Atoi(r.URL.Query().Get("$top"))
		skip, _ := strconv.Atoi(r.URL.Query().Get("$skip"))
		if mode == "stuck" {
			skip = 0
		}
		end := min(skip+top, total)
		next := ""
		if end < total {
			query := fmt.Sprintf("?%%24top=%d&%%24skip=%d", top, end)
			switch mode {
			case "absolute":
				next = `,"next":{"href":"https://` + r.URL.Host + r.URL.Path + query + `"}`
			case "relative":
				next = `,"next":{"href":"` + r.URL.Path + query + `"}`
			case "string":
				next = `,"next":"` + query + `"`
			}
		}
		_, _ = fmt.Fprintf(w, `{"count":%d,"_links":{"self":{"href":"x"}%s},"_embedded":{"items":[%s]}}`, total, next, usersJSON(min(skip, total), end))
	}
}

func TestUsersAreAllListedOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		total := rapid.IntRange(0, 25).Draw(rt, "total")
		size := rapid.IntRange(1, 12).Draw(rt, "page size")
		mode := rapid.SampledFrom([]string{"absolute", "relative", "string", "skip"}).Draw(rt, "mode")
		c := testClient(t, pages(total, mode), func(o *Options) { o.PageSize = size })
		var ids []string
		for u, err := range c.Users(t.Context()) {
			if err != nil {
				rt.Fatal(err)
			}
			ids = append(ids, u.ID)
		}
		if len(ids) != total || !slices.Equal(ids, slices.Compact(slices.Clone(ids))) {
			rt.Fatalf("got %v of %d", ids, total)
		}
	})
}

func TestServiceThatIgnoresSkipEndsTheListing(t *testing.T) {
	c := testClient(t, pages(10, "stuck"), func(o *Options) { o.PageSize = 5 })
	users, err := collect(c.Users(t.Context()))
	require.NoError(t, err)
	assert.Len(t, users, 5)
}

func TestPrincipals(t *testing.T) {
	c := testClient(t, answer(200, `{"_embedded":{"items":[`+userJSON(1)+`,{"userId":"u-9","email":"no@phone.example","displayName":"No","name":"x"}]}}`))
	got, err := collect(c.Principals(t.Context()))
	require.NoError(t, err)
	assert.Equal(t, []presence.Principal{
		{ID: "p-1", Email: "u1@example.com", Name: "User 1", Endpoints: []string{"2001"}, SiteID: "s-1"},
		{ID: "u-9", Email: "no@phone.example", Name: "No"},
	}, got)
}

func TestUserHoldsNoPassword(t *testing.T) {
	c := testClient(t, answer(200, userJSON(7)))
	u, err := c.User(t.Context(), "u-7")
	require.NoError(t, err)
	assert.Equal(t, "u7@example.com", u.Email)
	assert.True(t, u.EmailVerified)
	assert.NotContains(t, fmt.Sprintf("%#v", u), canarySIP)
}

func TestOneUnreadableItemSpoilsNoOther(t *testing.T) {
	c := testClient(t, answer(200, `{"_embedded":{"items":[`+userJSON(1)+`,17,{"email":"without@id"},`+userJSON(2)+`]}}`))
	var ids []string
	unreadable := 0
	for u, err := range c.Users(t.Context()) {
		if errors.Is(err, presence.ErrUnreadable) {
			unreadable++
			continue
		}
		require.NoError(t, err)
		ids = append(ids, u.ID)
	}
	assert.Equal(t, []string{"u-1", "u-2"}, ids)
	assert.Equal(t, 2, unreadable)
}

func TestListingDoesNotLeaveTheHost(t *testing.T) {
	for _, next := range []string{"https://elsewhere.example/x", "//elsewhere.example/x", "http://admin.api.mitel.io/x", "https://a@admin.api.mitel.io/x", "https://admin.api.mitel.io:444/", "::"} {
		r := &recorder{next: answer(200, `{"_links":{"next":{"href":"`+next+`"}},"_embedded":{"items":[`+userJSON(1)+`]}}`)}
		users, err := collect(testClient(t, r).Users(t.Context()))
		require.ErrorIs(t, err, ErrUnexpectedAnswer, next)
		assert.Len(t, users, 1)
		assert.Len(t, r.requests, 1)
	}
}

func TestListingThatGoesInACircleEnds(t *testing.T) {
	r := &recorder{next: answer(200, `{"_links":{"next":{"href":"?page=2"}},"_embedded":{"items":[]}}`)}
	_, err := collect(testClient(t, r).Users(t.Context()))
	require.ErrorIs(t, err, ErrUnexpectedAnswer)
	assert.Len(t, r.requests, 2)
}

func TestListingCanBeLeft(t *testing.T) {
	r := &recorder{next: pages(100, "absolute")}
	for u, err := range testClient(t, r, func(o *Options) { o.PageSize = 10 }).Users(t.Context()) {
		require.NoError(t, err)
		if u.ID == "u-3" {
			break
		}
	}
	assert.Len(t, r.requests, 1)
}

func TestAccount(t *testing.T) {
	c := testClient(t, answer(200, `{"accountId":"a","name":"Acme","accessTokenExpiryHours":"1","refreshTokenExpiryHours":360,"_links":{}}`))
	got, err := c.Account(t.Context())
	require.NoError(t, err)
	assert.Equal(t, Account{ID: "a", Name: "Acme", AccessTokenLifetime: time.Hour, RefreshTokenLifetime: 360 * time.Hour}, got)
}

func FuzzWhoAmI(f *testing.F) {
	f.Add([]byte(whoami))
	f.Add([]byte(`{"accountId":1,"exp":{}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if id, err := parseIdentity(body); err == nil && id.AccountID+id.PrincipalID+id.UserID == "" {
			t.Fatal("names nobody")
		}
		_, _ = parseAccount(body)
	})
}

func FuzzUsersPage(f *testing.F) {
	f.Add([]byte(`{"count":1,"_links":{"next":{"href":"x"}},"_embedded":{"items":[` + userJSON(1) + `]}}`))
	f.Add([]byte(`{"_links":{"next":"x"},"_embedded":{"items":[1,null,{}]}}`))
	f.Add([]byte(`{"_links":[],"_embedded":{"items":{}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := parsePage(body)
		if err != nil {
			return
		}
		for _, item := range p.items {
			if u, err := parseUser(item); err == nil && u.ID+u.PrincipalID == "" {
				t.Fatal("a user without an id")
			}
			_, _ = parseCall(item)
			_, _ = parseSubscription(item)
			_, _ = parseEndpoint(item)
		}
	})
}
