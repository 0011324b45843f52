package graph

import (
	"fmt"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

const otherTenant = "bbbbbbbb-0000-0000-0000-000000000002"

func TestValidationTokensDecideOnTheItemsOfTheirTenant(t *testing.T) {
	good, other := goodToken(t), tenantToken(t, otherTenant)
	forged := signToken(t, "key-1", testStranger(), jwt.SigningMethodRS256, goodClaims())
	noTenant := signToken(t, "key-1", testLoginKey(), jwt.SigningMethodRS256, with(goodClaims(), jwt.MapClaims{"tid": nil}))
	unknownKey := signToken(t, "key-2", testStranger(), jwt.SigningMethodRS256, goodClaims())
	const refused, decrypted, hint = "refused", "decrypted", "hint"
	for name, test := range map[string]struct {
		tokens     string
		one, other string // what becomes of an item of each tenant
	}{
		"both":                          {`["` + good + `","` + other + `"]`, decrypted, decrypted},
		"twice the same":                {`["` + good + `","` + good + `","` + other + `"]`, decrypted, decrypted},
		"one forged":                    {`["` + forged + `","` + other + `"]`, refused, decrypted},
		"one of two of a tenant forged": {`["` + good + `","` + forged + `","` + other + `"]`, refused, decrypted},
		"the forged one first":          {`["` + forged + `","` + good + `","` + other + `"]`, refused, decrypted},
		"none for one":                  {`["` + other + `"]`, hint, decrypted},
		"null":                          {`null`, hint, hint},
		"an empty list":                 {`[]`, hint, hint},
		"one that names no tenant":      {`["` + noTenant + `","` + other + `"]`, refused, refused},
		"one that is none":              {`["` + good + `","` + other + `","x"]`, refused, refused},
		"another type":                  {`{"a":1}`, refused, refused},
		"a key that nobody has":         {`["` + unknownKey + `","` + other + `"]`, refused, decrypted},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRichHandler(t, nil, nil)
			in := r.register(t, "", "other sub", "other state")
			p := encryptForTest(t, &testKeyOne().PublicKey, []byte(plainPresence("bob", "Busy", "InACall")))
			second := strings.NewReplacer(notifySub, "other sub", notifyState, "other state").Replace(richItem("bob", otherTenant, p.content("one")))
			r.post(t, `{"value":[`+encrypted(t, "ada")+`,`+second+`],"validationTokens":`+test.tokens+`}`)
			outcome := func(in *notificationInbox) string {
				switch {
				case len(in.notifications) == 0:
					return refused
				case in.notifications[0].Presence == nil:
					return hint
				default:
					return decrypted
				}
			}
			assert.Equal(t, test.one, outcome(r.inbox))
			assert.Equal(t, test.other, outcome(in))
			s := r.Stats()
			assert.Equal(t, strings.Count(test.one+test.other, refused), int(s.Refused[RefusedValidationTokens]))
			assert.Equal(t, strings.Count(test.one+test.other, hint), int(s.Hints[HintNoValidationToken]))
		})
	}
}

// A true token of one's own tenant beside an item of another proves nothing.
func TestTokenOfNoItemSpeaksAgainstTheOthers(t *testing.T) {
	var details []string
	r := newRichHandler(t, &NotificationHandlerOptions{Refused: func(r Refusal) { details = append(details, r.Detail) }}, nil)
	r.post(t, richBatch([]string{tenantToken(t, otherTenant)}, encrypted(t, "ada")))
	assert.Empty(t, r.inbox.notifications)
	assert.EqualValues(t, 1, r.Stats().Refused[RefusedValidationTokens])
	assert.Equal(t, []string{"it is for another tenant"}, details)

	// But one that has its own token is not concerned.
	r.post(t, richBatch([]string{goodToken(t), tenantToken(t, otherTenant)}, encrypted(t, "ada")))
	assert.Equal(t, []presence.Notification{inACall("ada")}, r.inbox.notifications)
}

// An item that states no tenant belongs to the tenant of its registration.
func TestTenantOfTheRegistrationIsTheItems(t *testing.T) {
	r := newRichHandler(t, nil, nil)
	without := strings.Replace(encrypted(t, "ada"), `"tenantId":"`+notifyTenant+`",`, "", 1)
	require.NotContains(t, without, notifyTenant)
	r.post(t, richBatch([]string{goodToken(t)}, without))
	require.Len(t, r.inbox.notifications, 1)
	assert.NotNil(t, r.inbox.notifications[0].Presence)

	// With no registration's tenant either, no token can vouch for it.
	in := r.register(t, "", "other sub", "other state")
	r.post(t, richBatch([]string{goodToken(t)}, encrypted(t, "ada"), strings.NewReplacer(notifySub, "other sub", notifyState, "other state").Replace(without)))
	require.Len(t, in.notifications, 1)
	assert.Nil(t, in.notifications[0].Presence)
	assert.EqualValues(t, 1, r.Stats().Hints[HintNoValidationToken])
}

// Whatever becomes of one tenant's items, their true token does not count against
// the items of another tenant, to which no token comes.
func TestTokenOfARefusedItemCostsNobodyElse(t *testing.T) {
	own := encrypted(t, "ada")
	without := strings.NewReplacer(`"tenantId":"`+notifyTenant+`",`, "", `"tenantId":"`+notifyTenant+`"`, `"changeType":"updated"`)
	var many []string
	for i := range maxBatchTenants {
		many = append(many, richItem("ada", fmt.Sprintf("00000000-0000-0000-0000-%012d", i), &encryptedContent{}))
	}
	for name, item := range map[string]string{
		"of a subscription that was replaced": strings.Replace(own, notifySub, "the former", 1),
		"with another client state":           strings.Replace(own, notifyState, "a guess", 1),
		"beside another tenant's state":       strings.NewReplacer(notifySub, "other sub", notifyState, "other state").Replace(own),
		"about nobody":                        strings.ReplaceAll(own, "ada", ""),
		"without content":                     basicItem(notifySub, notifyState, notifyTenant, "ada"),
		"of the subscription's life":          strings.Replace(goodItem(), `"changeType":"updated"`, `"lifecycleEvent":"reauthorizationRequired"`, 1),
		"in other letters":                    strings.Replace(strings.Replace(own, notifySub, "the former", 1), notifyTenant, strings.ToUpper(notifyTenant), 1),
		"with an organization":                strings.Replace(own, `"tenantId"`, `"organizationId"`, 1),
		"that states no tenant":               without.Replace(own),
		"unknown and without a tenant":        strings.Replace(without.Replace(own), notifySub, "the former", 1),
		"unknown, the tenant a domain":        strings.NewReplacer(notifySub, "the former", notifyTenant, "contoso.example").Replace(own),
		"that is none":                        "null",
		"of one of very many":                 strings.Join(many, ",") + "," + strings.Replace(own, notifySub, "the former", 1),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRichHandler(t, nil, nil)
			in := r.register(t, otherTenant, "other sub", "other state")
			p := encryptForTest(t, &testKeyOne().PublicKey, []byte(plainPresence("bob", "Busy", "InACall")))
			second := strings.NewReplacer(notifySub, "other sub", notifyState, "other state").Replace(richItem("bob", otherTenant, p.content("one")))
			r.post(t, richBatch([]string{goodToken(t)}, item, second))
			require.Len(t, in.notifications, 1)
			assert.Equal(t, presence.Notification{SubscriptionID: "other sub", TenantID: otherTenant, UserID: "bob"}, in.notifications[0])
			assert.Zero(t, r.Stats().Refused[RefusedValidationTokens])
			assert.EqualValues(t, 1, r.Stats().Hints[HintNoValidationToken])

			// The next body begins anew: there, the token is nobody's.
			r.post(t, batchOf(goodItem()))
			r.post(t, richBatch([]string{goodToken(t)}, second))
			assert.Len(t, in.notifications, 1)
			assert.EqualValues(t, 1, r.Stats().Refused[RefusedValidationTokens])
		})
	}
}

// No token can vouch for an item whose tenant nobody knows, and none speaks against
// it, unless it may be for any tenant.
func TestItemWithoutATenantIsAHint(t *testing.T) {
	forged := signToken(t, "key-1", testStranger(), jwt.SigningMethodRS256, goodClaims())
	for name, test := range map[string]struct {
		tokens []string
		want   int
	}{
		"a true token":                  {[]string{goodToken(t)}, 1},
		"a false token of some tenant":  {[]string{forged}, 1},
		"a false token of no tenant":    {[]string{"a.b.c"}, 0},
		"no token":                      {nil, 1},
		"true tokens of several others": {[]string{goodToken(t), tenantToken(t, otherTenant)}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRichHandler(t, nil, nil)
			in := r.register(t, "", "other sub", "other state")
			item := strings.NewReplacer(notifySub, "other sub", notifyState, "other state", `"tenantId":"`+notifyTenant+`",`, "").Replace(encrypted(t, "ada"))
			require.NotContains(t, item, notifyTenant)
			r.post(t, richBatch(test.tokens, item))
			require.Len(t, in.notifications, test.want)
			for _, n := range in.notifications {
				assert.Equal(t, presence.Notification{SubscriptionID: "other sub", UserID: "ada"}, n)
			}
			assert.Equal(t, 1-test.want, int(r.Stats().Refused[RefusedValidationTokens]))
		})
	}
}

// register adds a receiver to the handler; its tenant is any if it is empty.
func (r *richHandler) register(t *testing.T, tenantID, subscriptionID, clientState string) *notificationInbox {
	t.Helper()
	in := new(notificationInbox)
	register := r.Register
	if tenantID != "" {
		register = r.Tenant(tenantID).Register
	}
	bind, _, err := register(presence.NewSecret(clientState), in.receiver())
	require.NoError(t, err)
	bind(subscriptionID)
	return in
}

func TestAnotherApplicationCanBeAdded(t *testing.T) {
	const second = "33333333-3333-3333-3333-333333333333"
	r := newRichHandler(t, nil, nil)
	body := richBatch([]string{signToken(t, "key-1", testLoginKey(), jwt.SigningMethodRS256, with(goodClaims(), jwt.MapClaims{"aud": second}))}, encrypted(t, "ada"))
	r.post(t, body)
	assert.Empty(t, r.inbox.notifications)
	require.Error(t, r.decryption.AddApplication("no/id"))
	require.NoError(t, r.decryption.AddApplication(second))
	r.post(t, body)
	assert.Equal(t, []presence.Notification{inACall("ada")}, r.inbox.notifications)
}
