package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

func TestDemonstrationPlaysTheLifeOfAMonitor(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		w := &terminal{T: t, stage: &stage{}}
		o := w.runArgs(t.Context(), "-simulate", "demo")
		require.Zero(t, o.code, o.out+o.errors)
		assert.Empty(t, o.errors)
		assert.Equal(t, demonstration, steady(o.out))
	})
	left, err := os.ReadDir(os.TempDir())
	require.NoError(t, err)
	assert.Empty(t, left)
}

const demonstration = `# Somebody copies the Secret ID from Entra in place of the value.
$ monitors add monitor1@example.test
monitors: add monitor1@example.test: graph: token: the client secret is not valid (status 401, code invalid_client, AADSTS7000215, request …): create a client secret in Entra under Certificates & secrets, copy its Value (not its Secret ID) and configure it

$ monitors add monitor1@example.test
monitor1@example.test was added.
State: not authorized. Nobody has signed in as the monitor yet. Authorize it, or send its URL to somebody who knows the account's password.

# The administrator signs in with an account of her own.
$ monitors authorize monitor1@example.test
(URL)
Open this URL in a private window and sign in as monitor1@example.test. Waiting for 15m0s; interrupt to stop.
monitors: sign in monitor1@example.test: another account has signed in: "ada@example.test" and not "monitor1@example.test": open the URL in a private window and sign in as the monitor

$ monitors authorize monitor1@example.test
(URL)
Open this URL in a private window and sign in as monitor1@example.test. Waiting for 15m0s; interrupt to stop.
monitor1@example.test has signed in and is authorized.
State: authorized. It has nobody to watch.

$ monitors list
MONITOR                STATE       AUTHORIZED  SECRET ENDS  COMMANDS
monitor1@example.test  authorized  2000-01-01  2002-01-01   retry renew delete
  It has nobody to watch.

# The client secret ends.
$ monitors retry monitor1@example.test
monitors: monitor1@example.test is in the state "secret expired": The client secret has expired. Create a client secret in Entra and renew the monitor with its value.

$ monitors renew monitor1@example.test
monitor1@example.test has another client secret.
State: authorized. It has nobody to watch.

$ monitors retry monitor1@example.test
State: authorized. It has nobody to watch.

$ monitors delete monitor1@example.test
monitor1@example.test was deleted.

$ monitors list
There are no monitors. Add one.

`

func TestURLIsOpenedElsewhereAndCompletedHere(t *testing.T) {
	atTerminal(t, func(w *terminal) {
		w.added()
		first := w.run("url", demoMonitor)
		require.Zero(w, first.code, first.errors)
		assert.Regexp(w, `^http://graph\.test/\S+\n$`, first.out, "nothing but the URL, for a script")
		assert.Contains(w, first.errors, "until 2000-01-01 01:00 UTC")
		time.Sleep(20 * time.Minute)
		assert.Equal(w, first.out, w.succeeds("url", demoMonitor), "another process gives the same URL")

		w.stdin = w.redirected(first.out, w.monitor.ID)
		assert.Equal(w, "monitor1@example.test has signed in and is authorized.\nState: authorized. It has nobody to watch.\n", w.succeeds("complete"))
		assert.Contains(w, w.fails("complete"), "the sign-in was used before")
	})
}

func TestListAsJSON(t *testing.T) {
	atTerminal(t, func(w *terminal) {
		w.added()
		w.succeeds("url", demoMonitor)
		var got struct {
			Application monitor.Application
			Monitors    []status
		}
		require.NoError(w, json.Unmarshal([]byte(w.succeeds("list", "-json")), &got))
		assert.Equal(w, w.settings.application, got.Application)
		assert.Equal(w, []status{{
			PrincipalName: demoMonitor, State: monitor.StateNotAuthorized,
			Sentence: "Nobody has signed in as the monitor yet. Authorize it, or send its URL to somebody who knows the account's password.",
			Commands: []string{"authorize", "url", "retry", "renew", "delete"},
			AddedAt:  time.Now().UTC(), CheckedAt: time.Now().UTC(),
			SecretExpiresAt: time.Now().UTC().AddDate(2, 0, 0), URLExpiresAt: time.Now().UTC().Add(time.Hour),
		}}, got.Monitors)
	})
}

// TestBridgesSubscriptionsLiveOn: the store says whom the bridge's monitors watch,
// and this program has no address that Microsoft could reach.
func TestBridgesSubscriptionsLiveOn(t *testing.T) {
	atTerminal(t, func(w *terminal) {
		w.authorized()
		other, secret := w.addMonitor("monitor2@example.test")
		w.stdin = secret.Reveal()
		w.succeeds("add", other.PrincipalName)
		w.signsIn(other.ID)
		w.succeeds("authorize", other.PrincipalName)
		// More than one monitor can watch.
		var users []string
		for range 700 {
			users = append(users, w.server.AddUser(graphtest.User{}).ID)
		}
		b := w.startBridge(users...)
		b.halt()
		before := w.server.Subscriptions()
		require.Len(w, before, 2)

		// What answers slowly is waited for.
		stopDelay := w.server.Control(0, graphtest.Match(http.MethodGet, "users/*", graphtest.Reply{Delay: 20 * time.Second}))
		assert.Contains(w, w.succeeds("retry", other.PrincipalName), "State: subscribed. It watches its users.")
		assert.Equal(w, before, w.server.Subscriptions(), "retry leaves all subscriptions alone")
		assert.Regexp(w, `^monitor1@example\.test was deleted\.\nOther monitors get its \d+ users when the bridge starts\.\n$`, w.succeeds("delete", demoMonitor))
		stopDelay()
		left := w.server.Subscriptions()
		require.Len(w, left, 1)
		assert.Equal(w, other.ID, left[0].UserID)
		for _, sub := range before {
			if sub.UserID == other.ID {
				assert.Equal(w, sub, left[0], "delete leaves the others' alone")
			}
		}

		b = w.startBridge(users...)
		after := w.server.Subscriptions()
		require.Len(w, after, 1)
		assert.Len(w, after[0].UserIDs, presence.MaxSubscriptionUsers, "the bridge goes on with what is left")
		b.halt()
	})
}

func TestDeleteWithoutAWorkingSecretSaysWhatIsLeft(t *testing.T) {
	atTerminal(t, func(w *terminal) {
		w.authorized()
		w.startBridge(w.stranger.ID).halt()
		require.Len(w, w.server.Subscriptions(), 1)
		require.NoError(w, w.server.ExpireSecret(w.application.ClientID, w.application.Secrets[0].Value))
		time.Sleep(30 * time.Minute)
		out := w.succeeds("delete", demoMonitor)
		assert.Contains(w, out, "Its subscription could not be deleted and ends by itself within the hour: ")
		assert.Contains(w, out, "the client secret has expired")
		assert.Contains(w, w.succeeds("list"), "There are no monitors")
	})
}

// TestDeleteEndsWhereEntraHangs: a monitor that could not be deleted because of its
// subscription would be in the list for as long as Entra is not well.
func TestDeleteEndsWhereEntraHangs(t *testing.T) {
	atTerminal(t, func(w *terminal) {
		w.authorized()
		w.startBridge(w.stranger.ID).halt()
		w.server.Control(0, graphtest.Match(http.MethodDelete, "subscriptions/*", graphtest.Reply{Delay: 10 * time.Minute}))
		assert.Contains(w, w.succeeds("delete", demoMonitor), "Its subscription could not be deleted and ends by itself within the hour: delete subscription: no answer in time")
		assert.Contains(w, w.succeeds("list"), "There are no monitors")
	})
}

func TestDeleteIsFinishedAfterAnInterrupt(t *testing.T) {
	atTerminal(t, func(w *terminal) {
		w.authorized()
		w.startBridge(w.stranger.ID).halt()
		restore := w.server.Control(0, graphtest.Match(http.MethodDelete, "subscriptions/*", graphtest.Reply{Delay: time.Minute}))
		ctx, interrupt := context.WithTimeout(w.Context(), time.Second)
		defer interrupt()
		o := w.runArgs(ctx, w.arguments("delete", demoMonitor)...)
		assert.Equal(w, exitFailed, o.code)
		assert.Contains(w, o.errors, "monitors: interrupted\n")
		restore()
		assert.Regexp(w, `leaving .* delete\n`, w.succeeds("list"))
		for _, command := range []string{"retry", "renew", "authorize", "url"} {
			assert.Contains(w, w.fails(command, demoMonitor), "monitor1@example.test is being deleted: delete it again to finish that")
		}
		w.succeeds("delete", demoMonitor)
		assert.Empty(w, w.server.Subscriptions())
		assert.Contains(w, w.succeeds("list"), "There are no monitors")
	})
}

// TestStoreKnowsItsApplication: after the first monitor that Entra has accepted,
// and not before, so that mistyped ids can be corrected.
func TestStoreKnowsItsApplication(t *testing.T) {
	atTerminal(t, func(w *terminal) {
		application := w.settings.application
		w.stdin = w.application.Secrets[0].Value.Reveal()
		w.settings.application.ClientID = w.stranger.ID
		w.fails("add", demoMonitor)
		w.settings.application = monitor.Application{}
		o := w.run("add", demoMonitor)
		assert.Equal(w, exitUsage, o.code)
		assert.Contains(w, o.errors, "-tenant is missing, which the store does not tell yet")
		assert.Contains(w, o.errors, "-client is missing, which the store does not tell yet")
		w.settings.application = application
		w.succeeds("add", demoMonitor)

		w.settings.application = monitor.Application{}
		assert.Contains(w, w.succeeds("list"), "not authorized")
		w.signsIn(w.monitor.ID)
		assert.Contains(w, w.succeeds("authorize", demoMonitor), "State: authorized.")
		assert.Contains(w, w.succeeds("application", "-to-client", w.stranger.ID), "from  tenant "+application.TenantID+", client "+application.ClientID)
		w.settings.application.ClientID = strings.ToUpper(application.ClientID)
		assert.Contains(w, w.succeeds("retry", demoMonitor), "State: authorized.", "one of them, in another spelling")

		// The bridge finds the store as if it had made it itself.
		w.settings.application = application
		w.startBridge(w.stranger.ID).halt()
		assert.Len(w, w.server.Subscriptions(), 1)
	})
}

func TestApplicationIsAskedForFirst(t *testing.T) {
	atTerminal(t, func(w *terminal) {
		w.authorized()
		next := w.server.AddApplication(graphtest.Application{Secrets: []graphtest.Secret{{Description: "presencebridge monitor 1"}}})
		w.secrets = append(w.secrets, next.Secrets[0].Value)

		preview := w.succeeds("application", "-to-client", next.ClientID)
		assert.Contains(w, preview, "to    tenant "+w.server.TenantID()+", client "+next.ClientID)
		assert.Contains(w, preview, "1 monitor would stop until renewed with a client secret of the other application and authorized again: monitor1@example.test")
		assert.Contains(w, preview, "of the other application already, and working again at once: none")
		assert.Contains(w, preview, "Nothing was changed: -apply does it.")
		assert.Contains(w, w.succeeds("list"), "authorized")

		assert.Contains(w, w.succeeds("application", "-to-client", next.ClientID, "-apply"), "Now configure the bridge with the other ids")
		assert.Contains(w, w.fails("list"), "-tenant and -client are not those of the store", "they are the former ids")
		former := w.settings.application
		w.settings.application.ClientID = next.ClientID
		assert.Contains(w, w.succeeds("list"), "update needed")
		assert.Contains(w, w.succeeds("application", "-to-client", former.ClientID), "working again at once: monitor1@example.test")
		for _, command := range []string{"authorize", "url", "retry"} {
			assert.Contains(w, w.fails(command, demoMonitor), "the monitor belongs to another tenant or application: renew the monitor with a client secret")
		}
		w.stdin = next.Secrets[0].Value.Reveal()
		assert.Contains(w, w.succeeds("renew", demoMonitor), "State: not authorized.")
		w.signsIn(w.monitor.ID)
		assert.Contains(w, w.succeeds("authorize", demoMonitor), "State: authorized.")
	})
}

// TestOtherVisitorsDoNotEndTheWaiting: anybody on the machine can load a page at
// the redirect URI, and a browser may load an old one again.
func TestOtherVisitorsDoNotEndTheWaiting(t *testing.T) {
	atTerminal(t, func(w *terminal) {
		w.authorized()
		old := strings.TrimSpace(w.succeeds("url", demoMonitor))
		w.stdin = w.redirected(old, w.monitor.ID)
		w.succeeds("complete")
		used := w.stdin
		w.person = func(ctx context.Context, authorizationURL string) {
			assert.NotEqual(w, old, authorizationURL)
			for _, address := range []string{
				"http://localhost:8085/favicon.ico", "http://localhost:8085/callback", "http://localhost:8085/callback?code=x&state=guessed", used,
			} {
				assert.NoError(w, w.visit(ctx, address))
			}
			assert.NoError(w, w.opened(ctx, authorizationURL, w.monitor.ID))
		}
		o := w.run("authorize", demoMonitor)
		require.Zero(w, o.code, o.errors)
		assert.Equal(w, 2, strings.Count(o.errors, "not the sign-in that is waited for: sign in: the sign-in was not begun here"))
		assert.Equal(w, 1, strings.Count(o.errors, "the sign-in was used before"))
		assert.Contains(w, o.out, "has signed in and is authorized")
	})
}

func TestInterruptEndsTheWaiting(t *testing.T) {
	atTerminal(t, func(w *terminal) {
		w.added()
		ctx, interrupt := context.WithCancel(w.Context())
		w.person = func(context.Context, string) { interrupt() }
		o := w.runArgs(ctx, w.arguments("authorize", demoMonitor)...)
		assert.Equal(w, exitFailed, o.code)
		assert.Contains(w, o.errors, "monitors: interrupted\n")
	})
}

func TestSilentEntraIsSaid(t *testing.T) {
	atTerminal(t, func(w *terminal) {
		restore := w.server.Control(0, graphtest.Match("", "/**", graphtest.Reply{Drop: true}))
		w.stdin = w.application.Secrets[0].Value.Reveal()
		o := w.run("add", demoMonitor)
		require.Zero(w, o.code, o.errors)
		assert.Contains(w, o.out, "was added")
		assert.Contains(w, o.errors, "the account and its client secret could not be checked: the bridge makes up for it")
		assert.Contains(w, w.fails("retry", demoMonitor), "check the network")
		restore()
		assert.Contains(w, w.fails("retry", demoMonitor), `is in the state "not authorized"`)
		assert.Contains(w, w.succeeds("list"), "2002-01-01", "the end of the secret is known now")
	})
}

func TestKeysComeFromAFileWithFormerOnes(t *testing.T) {
	atTerminal(t, func(w *terminal) {
		w.authorized()
		printed := w.run("keygen")
		require.Zero(w, printed.code)
		fresh := strings.TrimSpace(printed.out)
		file := filepath.Join(w.TempDir(), "keys")
		require.NoError(w, os.WriteFile(file, []byte(fresh+"\n"+w.key.Reveal()+"\n"), 0o600))
		w.env = nil
		withFile := func(command ...string) outcome {
			return w.runArgs(w.Context(), append([]string{"-key-file", file}, w.arguments(command...)...)...)
		}
		const sealed = "1 record is still sealed with a former key."
		assert.Contains(w, withFile("list").out, sealed)
		assert.Contains(w, withFile("list", "-json").out, `"formerKeys": 1`)
		o := withFile("retry", demoMonitor)
		assert.Zero(w, o.code, o.errors)
		assert.Contains(w, o.out, "State: authorized")
		assert.NotContains(w, withFile("list").out, "former key", "retry has written it anew")
	})
}
