package verify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/internal/throttle"
	"github.com/presencebridge/presencebridge/presence"
)

var mitelCodes = []Code{
	CodeCloudLinkReachable, CodeCloudLinkCredentials, CodeCloudLinkAccount, CodeCloudLinkRole, CodeCloudLinkRegion, CodeCloudLinkSubscriptions, CodeCloudLinkHeard,
	CodeGatewayIntegration, CodeGatewayPBX,
	CodeMiCollabAddress, CodeMiCollabAddressPrivate, CodeMiCollabReachable, CodeMiCollabPassword, CodeMiCollabVersion, CodeMiCollabCloudLinkIntegration, CodeMiCollabTeamsIntegration,
	CodeUsersMatched, CodeUsersUnmatched, CodeUsersAmbiguous, CodeUsersLeftOut, CodeUsersLimited, CodeUsersWatched,
}

func TestWhatIsInOrderPassesWithEvidence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant()
		results := p.only(t, &SystemOptions{Dial: p.answer}, mitelCodes...)
		require.Len(t, results, len(mitelCodes))
		for _, r := range results {
			assert.Equal(t, Passed, r.Status, "%s: %s", r.Code, r.Sentence)
			assert.NotEmpty(t, r.Evidence, r.Code)
		}
	})
}

func TestCloudLinkAccountChecks(t *testing.T) {
	const guid = "6e3b0cf2-9f0c-4c55-8d5f-1f2ab5b6c7d8"
	whoami := func(err error) func(*plant, *SystemOptions, *SystemSettings) {
		return func(p *plant, _ *SystemOptions, _ *SystemSettings) {
			p.identity, p.identityErr = cloudlink.Identity{}, err
		}
	}
	account := func(err error) func(*plant, *SystemOptions, *SystemSettings) {
		return func(p *plant, _ *SystemOptions, _ *SystemSettings) {
			p.account, p.accountErr = cloudlink.Account{}, err
		}
	}
	identity := func(change func(*cloudlink.Identity)) func(*plant, *SystemOptions, *SystemSettings) {
		return func(p *plant, _ *SystemOptions, _ *SystemSettings) { change(&p.identity) }
	}
	region := func(configured cloudlink.Region, domain string) func(*plant, *SystemOptions, *SystemSettings) {
		return func(p *plant, _ *SystemOptions, s *SystemSettings) {
			s.Region, p.identity.Domain = configured, domain
		}
	}
	status := func(code int) *cloudlink.Error { return &cloudlink.Error{Operation: "who am I", StatusCode: code} }
	checkTroubles(t, []trouble{
		{name: "no answer", code: CodeCloudLinkReachable, cause: whoami(&cloudlink.Error{Operation: "who am I", Err: errors.New("dial tcp: no route to host")}),
			status: Failed, sentence: "CloudLink does not answer."},
		{name: "hanging", code: CodeCloudLinkReachable, cause: whoami(context.DeadlineExceeded), status: Failed, sentence: "CloudLink does not answer."},
		{name: "cut off", code: CodeCloudLinkReachable, cause: whoami(context.Canceled), status: Failed, sentence: "CloudLink does not answer."},
		{name: "a fault of CloudLink", code: CodeCloudLinkReachable, cause: whoami(status(http.StatusBadGateway)),
			status: Failed, sentence: "CloudLink answers with 502 Bad Gateway.", remedy: "CloudLink has a fault: try again later."},
		{name: "no such route", code: CodeCloudLinkReachable, cause: whoami(fmt.Errorf("cloudlink: %w", cloudlink.ErrNoSuchRoute)),
			status: Failed, sentence: "is not CloudLink's API"},
		{name: "throttled", code: CodeCloudLinkReachable, cause: whoami(status(http.StatusTooManyRequests)), status: Passed},
		{name: "no turn in a pause", code: CodeCloudLinkReachable, cause: whoami(&cloudlink.Error{Operation: "who am I", Err: throttle.ErrNoTurn}), status: Passed},
		{name: "refused credentials", code: CodeCloudLinkReachable, cause: whoami(cloudlink.ErrGrantRefused), status: Passed},

		{name: "refused", code: CodeCloudLinkCredentials, cause: whoami(cloudlink.ErrGrantRefused), status: Failed, sentence: "token service does not accept the credentials"},
		{name: "refused token", code: CodeCloudLinkCredentials, cause: whoami(status(http.StatusUnauthorized)),
			status: Failed, sentence: "does not accept the token", remedy: "of this account and region."},
		{name: "forbidden", code: CodeCloudLinkCredentials, cause: whoami(status(http.StatusForbidden)),
			status: Failed, sentence: "does not let the credentials ask", remedy: "The role of this user or client is too weak"},
		{name: "throttled", code: CodeCloudLinkCredentials, cause: whoami(pauseAsked{100 * time.Second}),
			status: Warned, sentence: "cannot be told: CloudLink asks for fewer requests", remedy: "Wait 2 minutes, as CloudLink asks", administrator: Operator},
		{name: "no turn in a pause", code: CodeCloudLinkCredentials, cause: whoami(&cloudlink.Error{Operation: "who am I", Err: throttle.ErrNoTurn}),
			status: Warned, sentence: "CloudLink asks for fewer requests", remedy: "Wait a few minutes", administrator: Operator},
		{name: "another error", code: CodeCloudLinkCredentials, cause: whoami(errors.New("boom")),
			status: Failed, sentence: "cannot be told, because the question fails", remedy: "Look at the error.", administrator: Operator},

		{name: "not known", code: CodeCloudLinkAccount, cause: whoami(errors.New("boom")), status: Warned, sentence: "has not told whose", remedy: "Set right what keeps", administrator: Operator},
		{name: "another one", code: CodeCloudLinkAccount, cause: identity(func(i *cloudlink.Identity) { i.AccountID = "acc-2" }),
			status: Failed, sentence: "belong to account acc-2, and the configured account is acc-1"},
		{name: "another one, which cannot be read", code: CodeCloudLinkAccount,
			cause: func(p *plant, _ *SystemOptions, _ *SystemSettings) {
				p.identity.AccountID, p.accountErr = "acc-2", status(http.StatusForbidden)
			},
			status: Failed, sentence: "belong to account acc-2, and the configured account is acc-1"},
		{name: "upper case", code: CodeCloudLinkAccount, cause: func(_ *plant, _ *SystemOptions, s *SystemSettings) { s.AccountID = " ACC-1 " }, status: Passed},
		{name: "short number", code: CodeCloudLinkAccount, cause: func(_ *plant, _ *SystemOptions, s *SystemSettings) { s.AccountID = "100234" }, status: Passed},
		{name: "short number of another one", code: CodeCloudLinkAccount,
			cause: func(p *plant, _ *SystemOptions, s *SystemSettings) {
				s.AccountID, p.account.ID = "100234", guid
			},
			status: Failed, sentence: "belong to account acc-1, and the configured account 100234 is " + guid},
		{name: "a client of another one", code: CodeCloudLinkAccount,
			cause:  func(p *plant, _ *SystemOptions, s *SystemSettings) { p.account.ID = guid },
			status: Failed, sentence: "The bridge reads account " + guid + ", and the configured account is acc-1."},
		{name: "not told which", code: CodeCloudLinkAccount, cause: func(_ *plant, _ *SystemOptions, s *SystemSettings) { s.AccountID = "" },
			status: Warned, sentence: "Nobody has told which account", remedy: "Enter the Account ID"},
		{name: "credentials without one", code: CodeCloudLinkAccount, cause: identity(func(i *cloudlink.Identity) { i.AccountID = "" }),
			status: Warned, sentence: "does not tell to which account the credentials belong", remedy: "Make sure"},
		{name: "of a partner", code: CodeCloudLinkAccount, cause: identity(func(i *cloudlink.Identity) { i.AccountID, i.Role = "partner-1", "PARTNER_ADMIN" }),
			status: Warned, sentence: "belong to the partner's account partner-1", remedy: "Create a client of the account itself", administrator: CloudLinkAdministrator},
		{name: "not found", code: CodeCloudLinkAccount, cause: account(status(http.StatusNotFound)), status: Failed, sentence: "There is no account acc-1 for these credentials."},
		{name: "forbidden", code: CodeCloudLinkAccount, cause: account(status(http.StatusForbidden)), status: Failed, sentence: "may not read account acc-1"},
		{name: "throttled", code: CodeCloudLinkAccount, cause: account(status(http.StatusTooManyRequests)),
			status: Warned, sentence: "Whether account acc-1 can be read cannot be told", remedy: "Wait", administrator: Operator},
		{name: "a fault of CloudLink", code: CodeCloudLinkAccount, cause: account(status(http.StatusInternalServerError)),
			status: Failed, sentence: "Account acc-1 cannot be read.", remedy: "CloudLink has a fault: try again later."},

		{name: "user", code: CodeCloudLinkRole, cause: identity(func(i *cloudlink.Identity) { i.Role = "USER" }), status: Failed, sentence: "have the role USER"},
		{name: "partner", code: CodeCloudLinkRole, cause: identity(func(i *cloudlink.Identity) { i.Role = "PARTNER_ADMIN" }), status: Passed},
		{name: "not told", code: CodeCloudLinkRole, cause: identity(func(i *cloudlink.Identity) { i.Role = "" }), status: Warned, sentence: "does not tell which role", remedy: "ACCOUNT_ADMIN"},
		{name: "not known", code: CodeCloudLinkRole, cause: whoami(errors.New("boom")), status: Warned, sentence: "has not told whose", remedy: "Set right", administrator: Operator},

		{name: "another one", code: CodeCloudLinkRegion, cause: region("us", "acc-1.eu.api.mitel.io"),
			status: Failed, sentence: "in the region eu, and the configured region is us", remedy: "Enter eu as the region"},
		{name: "sandbox", code: CodeCloudLinkRegion, cause: region("us", "acc-1.us.dev.api.mitel.io"), status: Failed, sentence: "in the region us.dev", remedy: "Enter us.dev"},
		{name: "a data centre of another one", code: CodeCloudLinkRegion, cause: region("us-west-2.us", "acc-1.eu.api.mitel.io"), status: Failed, sentence: "is us-west-2.us", remedy: "Enter eu"},
		{name: "a data centre of it", code: CodeCloudLinkRegion, cause: region("us-west-2.us", "acc-1.us.api.mitel.io"), status: Passed},
		{name: "a data centre in the domain", code: CodeCloudLinkRegion, cause: region("us", "acc-1.us-west-2.us.api.mitel.io"), status: Passed},
		{name: "the global sandbox", code: CodeCloudLinkRegion, cause: region("dev", "acc-1.us.dev.api.mitel.io"), status: Passed},
		{name: "the end of a label", code: CodeCloudLinkRegion, cause: region("s", "acc-1.us.api.mitel.io"), status: Failed, sentence: "region is s.", remedy: "Enter us"},
		{name: "an end like a label", code: CodeCloudLinkRegion, cause: region("aus", "acc-1.us.api.mitel.io"), status: Failed, sentence: "region is aus.", remedy: "Enter us"},
		{name: "global", code: CodeCloudLinkRegion, cause: region("", "acc-1.ap.api.mitel.io"), status: Passed},
		{name: "not told", code: CodeCloudLinkRegion, cause: region("eu", ""), status: Warned, sentence: "names no region, so whether it is eu is not known", remedy: "Compare"},
		{name: "not known", code: CodeCloudLinkRegion, cause: whoami(errors.New("boom")), status: Warned, sentence: "has not told whose", remedy: "Set right", administrator: Operator},
		{name: "doubles", code: CodeCloudLinkRegion, cause: func(_ *plant, o *SystemOptions, s *SystemSettings) { o.LocalDoubles, s.Region = true, "us" },
			status: NotApplicable, sentence: "a double on this machine"},
	})
}

// pauseAsked is an error of a service that asks for a pause.
type pauseAsked struct{ wait time.Duration }

func (a pauseAsked) Error() string             { return "too many requests" }
func (a pauseAsked) Is(target error) bool      { return target == presence.ErrThrottled }
func (a pauseAsked) RetryAfter() time.Duration { return a.wait }

// oneToken is a source of always the same token.
type oneToken struct{}

func (oneToken) Token(context.Context) (*oauth2.Token, error) {
	return &oauth2.Token{AccessToken: "a-token-of-cloudlink"}, nil
}

// answering is a CloudLink that answers every request in the same way.
func answering(t *testing.T, status int, body string) CloudLink {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	c, err := cloudlink.New("acc-1", oneToken{}, &cloudlink.Options{
		BaseURL: func(string) string { return server.URL }, ReadRetries: -1,
	})
	require.NoError(t, err)
	return c
}

func TestAnAnswerOfCloudLinkIsTheMatterOfOneCheck(t *testing.T) {
	tests := []struct {
		name    string
		status  int
		body    string
		trouble Code
	}{
		{"a page", http.StatusOK, "<html>Sign in to the proxy</html>", CodeCloudLinkReachable},
		{"nothing", http.StatusOK, "", CodeCloudLinkReachable},
		{"no such route", http.StatusForbidden, `{"message":"'a-token-of-cloudlink' not a valid key=value pair (missing equal-sign) in Authorization header"}`, CodeCloudLinkReachable},
		{"a fault", http.StatusInternalServerError, `{"name":"Oops"}`, CodeCloudLinkReachable},
		{"a refused token", http.StatusUnauthorized, `{"name":"Unauthorized"}`, CodeCloudLinkCredentials},
		{"throttled", http.StatusTooManyRequests, `{}`, CodeCloudLinkCredentials},
		{"a bad request", http.StatusBadRequest, `{}`, CodeCloudLinkCredentials},
		{"a user", http.StatusOK, `{"accountId":"acc-1","role":"USER","domain":"acc-1.eu.api.mitel.io"}`, CodeCloudLinkRole},
		{"another account", http.StatusOK, `{"accountId":"acc-2","role":"ACCOUNT_ADMIN","domain":"acc-2.eu.api.mitel.io"}`, CodeCloudLinkAccount},
		{"another region", http.StatusOK, `{"accountId":"acc-1","role":"ACCOUNT_ADMIN","domain":"acc-1.ap.api.mitel.io"}`, CodeCloudLinkRegion},
		{"the right one", http.StatusOK, `{"accountId":"acc-1","role":"ACCOUNT_ADMIN","domain":"acc-1.eu.api.mitel.io"}`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlant()
			sources := p.sources()
			sources.CloudLink = answering(t, tt.status, tt.body)
			c, err := NewSystemCheck(sources, p.settings(), nil)
			require.NoError(t, err)
			report, err := c.Run(t.Context(), &RunOptions{Only: []Code{CodeCloudLinkAccount, CodeCloudLinkRegion}})
			require.NoError(t, err)
			var troubles []Code
			for _, r := range report.Troubles() {
				troubles = append(troubles, r.Code)
				for _, e := range r.Evidence {
					assert.NotContains(t, e.Value, "a-token-of-cloudlink")
				}
			}
			if tt.trouble == "" {
				assert.Empty(t, troubles)
				return
			}
			assert.Equal(t, []Code{tt.trouble}, troubles)
			for _, r := range report.Results {
				if r.Status == Skipped {
					assert.Equal(t, []string{string(tt.trouble)}, r.Because, r.Code)
				}
			}
		})
	}
}

func TestCloudLinkWatcherChecks(t *testing.T) {
	watcher := func(change func(p *plant, w *cloudlink.WatcherSnapshot)) func(*plant, *SystemOptions, *SystemSettings) {
		return func(p *plant, _ *SystemOptions, _ *SystemSettings) { change(p, &p.watcher) }
	}
	const day = 24 * time.Hour
	checkTroubles(t, []trouble{
		{name: "stopped", code: CodeCloudLinkSubscriptions, cause: watcher(func(_ *plant, w *cloudlink.WatcherSnapshot) { w.State = cloudlink.WatcherStopped }),
			status: Failed, sentence: "does not run", remedy: "Start the bridge"},
		{name: "just begun", code: CodeCloudLinkSubscriptions, cause: watcher(func(_ *plant, w *cloudlink.WatcherSnapshot) { w.State = cloudlink.WatcherSubscribing }),
			status: Warned, sentence: "has only just begun", remedy: "Run the check again"},
		{name: "one is missing", code: CodeCloudLinkSubscriptions, cause: watcher(func(_ *plant, w *cloudlink.WatcherSnapshot) { w.Subscriptions[0].ID = "" }),
			status: Failed, sentence: "no subscription to the notifications of telephones."},
		{name: "both are missing, with an error", code: CodeCloudLinkSubscriptions, cause: watcher(func(_ *plant, w *cloudlink.WatcherSnapshot) {
			w.State, w.Failures, w.LastError = cloudlink.WatcherFailing, 2, &cloudlink.Error{Operation: "subscribe", StatusCode: http.StatusForbidden}
			w.Subscriptions[0].ID, w.Subscriptions[1].ID = "", ""
		}), status: Failed, sentence: "notifications of telephones and presence.", remedy: "The role of this user or client is too weak"},
		{name: "telephones only, though bidirectional", code: CodeCloudLinkSubscriptions, cause: watcher(func(_ *plant, w *cloudlink.WatcherSnapshot) { w.Subscriptions = w.Subscriptions[:1] }),
			status: Failed, sentence: "does not subscribe to the notifications of presence", remedy: "PhonesOnly"},
		{name: "telephones only", code: CodeCloudLinkSubscriptions, cause: watcher(func(p *plant, w *cloudlink.WatcherSnapshot) {
			p.direction, w.Subscriptions = presencebridge.OneWay, w.Subscriptions[:1]
		}), status: Passed},
		{name: "failing", code: CodeCloudLinkSubscriptions, cause: watcher(func(_ *plant, w *cloudlink.WatcherSnapshot) {
			w.State, w.Failures, w.LastError = cloudlink.WatcherFailing, 3, &cloudlink.Error{Operation: "list subscriptions", StatusCode: http.StatusBadGateway}
			w.LastCheck = time.Now().Add(-20 * time.Minute)
		}), status: Warned, sentence: "the last 3 looks at them failed, the last that succeeded was 20 minutes ago", remedy: "CloudLink has a fault"},
		{name: "failing from the beginning", code: CodeCloudLinkSubscriptions, cause: watcher(func(_ *plant, w *cloudlink.WatcherSnapshot) {
			w.State, w.Failures, w.LastCheck, w.LastError = cloudlink.WatcherFailing, 1, time.Time{}, &cloudlink.Error{Operation: "list subscriptions", StatusCode: http.StatusBadGateway}
		}), status: Warned, sentence: "the last look at them failed, and none has succeeded yet.", remedy: "CloudLink has a fault"},
		{name: "not in the list", code: CodeCloudLinkSubscriptions, cause: watcher(func(_ *plant, w *cloudlink.WatcherSnapshot) {
			w.Subscriptions[1].Confirmed, w.Subscriptions[1].LastEvent = false, time.Time{}
		}), status: Warned, sentence: "does not show the subscription to the notifications of presence", remedy: "in ten minutes"},
		{name: "not in the list, but heard", code: CodeCloudLinkSubscriptions, cause: watcher(func(_ *plant, w *cloudlink.WatcherSnapshot) { w.Subscriptions[1].Confirmed = false }), status: Passed},
		{name: "not in the list yet", code: CodeCloudLinkSubscriptions, cause: watcher(func(_ *plant, w *cloudlink.WatcherSnapshot) {
			s := &w.Subscriptions[1]
			s.Confirmed, s.LastEvent, s.CreatedAt = false, time.Time{}, w.LastCheck.Add(-time.Second)
		}), status: Passed},
		{name: "overdue", code: CodeCloudLinkSubscriptions, cause: watcher(func(_ *plant, w *cloudlink.WatcherSnapshot) { w.NextAction = time.Now().Add(-time.Hour) }),
			status: Warned, sentence: "should have looked at the subscriptions 1 hour ago", remedy: "Look at the log"},
		{name: "soon", code: CodeCloudLinkSubscriptions, cause: watcher(func(_ *plant, w *cloudlink.WatcherSnapshot) { w.NextAction = time.Now().Add(-time.Minute) }), status: Passed},

		{name: "silent for long", code: CodeCloudLinkHeard, cause: watcher(func(_ *plant, w *cloudlink.WatcherSnapshot) {
			for i := range w.Subscriptions {
				w.Subscriptions[i].CreatedAt, w.Subscriptions[i].LastEvent = time.Now().Add(-30*day), time.Now().Add(-8*day)
			}
		}), status: Warned, sentence: "of telephones since 1999-12-24 and of presence since 1999-12-24"},
		{name: "presence is silent", code: CodeCloudLinkHeard, cause: watcher(func(_ *plant, w *cloudlink.WatcherSnapshot) {
			w.Subscriptions[1].CreatedAt, w.Subscriptions[1].LastEvent = time.Now().Add(-2*day), time.Time{}
		}), status: Warned, sentence: "no notification of presence since 1999-12-30.", remedy: "Change somebody's Teams status"},
		{name: "presence is silent, one-way", code: CodeCloudLinkHeard, cause: watcher(func(p *plant, w *cloudlink.WatcherSnapshot) {
			p.direction = presencebridge.OneWay
			w.Subscriptions[1].CreatedAt, w.Subscriptions[1].LastEvent = time.Now().Add(-2*day), time.Time{}
		}), status: Passed},
		{name: "never heard in a day", code: CodeCloudLinkHeard, cause: watcher(func(_ *plant, w *cloudlink.WatcherSnapshot) {
			w.Subscriptions[0].CreatedAt, w.Subscriptions[0].LastEvent = time.Now().Add(-day-time.Second), time.Time{}
		}), status: Warned, sentence: "of telephones since 1999-12-30"},
		{name: "not heard yet", code: CodeCloudLinkHeard, cause: watcher(func(_ *plant, w *cloudlink.WatcherSnapshot) {
			w.Subscriptions[0].CreatedAt, w.Subscriptions[0].LastEvent = time.Now().Add(-day), time.Time{}
		}), status: Passed},
		{name: "made again", code: CodeCloudLinkHeard, cause: watcher(func(_ *plant, w *cloudlink.WatcherSnapshot) {
			w.Subscriptions[0].CreatedAt, w.Subscriptions[0].LastEvent = time.Now().Add(-2*day), time.Now().Add(-30*day)
		}), status: Passed},
		{name: "patience", code: CodeCloudLinkHeard, cause: func(p *plant, o *SystemOptions, _ *SystemSettings) {
			o.HeardWithin = time.Hour
			p.watcher.Subscriptions[0].CreatedAt, p.watcher.Subscriptions[0].LastEvent = time.Now().Add(-2*time.Hour), time.Time{}
		}, status: Warned, sentence: "of telephones"},
	})
}

func TestGatewayChecks(t *testing.T) {
	pbx := func(direction presencebridge.Direction, connected ...presence.PBX) func(*plant, *SystemOptions, *SystemSettings) {
		return func(p *plant, _ *SystemOptions, _ *SystemSettings) { p.direction, p.gateway.PBX = direction, connected }
	}
	const both, oneWay = presencebridge.Bidirectional, presencebridge.OneWay
	checkTroubles(t, []trouble{
		{name: "off", code: CodeGatewayIntegration, cause: func(p *plant, _ *SystemOptions, _ *SystemSettings) { p.gateway.Integration = false },
			status: Failed, sentence: "The CloudLink gateway integration is not enabled."},
		{name: "unknown", code: CodeGatewayIntegration, cause: func(p *plant, _ *SystemOptions, _ *SystemSettings) { p.gatewayErr = errNotTold },
			status: Warned, sentence: "Nobody has told whether the gateway integration is enabled.", remedy: "fill SystemSources.Gateway", administrator: Operator},
		{name: "error", code: CodeGatewayIntegration, cause: func(p *plant, _ *SystemOptions, _ *SystemSettings) { p.gatewayErr = errors.New("boom") },
			status: Warned, sentence: "It is not known whether the gateway integration is enabled", remedy: "Look at the error", administrator: Operator},

		{name: "unknown", code: CodeGatewayPBX, cause: func(p *plant, _ *SystemOptions, _ *SystemSettings) { p.gatewayErr = errNotTold },
			status: Warned, sentence: "Nobody has told which telephone systems are connected.", remedy: "fill SystemSources.Gateway", administrator: Operator},
		{name: "none", code: CodeGatewayPBX, cause: pbx(both), status: Warned, sentence: "Nobody has told which telephone systems are connected.", remedy: "fill SystemSources.Gateway", administrator: Operator},
		{name: "none supported", code: CodeGatewayPBX, cause: pbx(oneWay, "Asterisk"), status: Failed, sentence: "No connected telephone system shows its line state in Teams: Asterisk."},
		{name: "line only", code: CodeGatewayPBX, cause: pbx(both, presence.MXONE), status: Failed, sentence: "No connected telephone system takes Teams presence: MX-ONE."},
		{name: "line only, one-way", code: CodeGatewayPBX, cause: pbx(oneWay, presence.MXONE), status: Passed},
		{name: "some", code: CodeGatewayPBX, cause: pbx(both, presence.MXONE, presence.MiVoiceBusiness), status: Warned, sentence: "Some connected telephone systems do not take Teams presence: MX-ONE."},
		{name: "some unknown", code: CodeGatewayPBX, cause: pbx(oneWay, presence.MXONE, "Asterisk"), status: Warned, sentence: "do not show their line state in Teams: Asterisk."},
		{name: "each lacks something", code: CodeGatewayPBX, cause: pbx(both, presence.MXONE, "Asterisk", presence.MiVoiceBusiness),
			status: Warned, sentence: "in Teams: Asterisk; or do not take Teams presence: MX-ONE, Asterisk."},
		{name: "another spelling", code: CodeGatewayPBX, cause: pbx(both, "mivoice business"), status: Passed},
		{name: "extended", code: CodeGatewayPBX, cause: func(p *plant, _ *SystemOptions, s *SystemSettings) {
			p.gateway.PBX, s.Capabilities = []presence.PBX{presence.MXONE}, presence.ExtendedCapabilities()
		}, status: Passed},
	})
}

func TestACheckSaysWhoToldIt(t *testing.T) {
	p := newPlant()
	for _, r := range p.only(t, nil, CodeGatewayIntegration, CodeGatewayPBX, CodeMiCollabVersion, CodeMiCollabPassword) {
		assert.True(t, strings.HasPrefix(r.Basis, "told by a test: "), r.Basis)
	}
	p.gateway.Source = ""
	assert.Equal(t, basisGateway, p.only(t, nil, CodeGatewayIntegration)[0].Basis)
}
