package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/monitor"
)

func TestEachFaultSaysWhatToDo(t *testing.T) {
	paste := func(text string) func(*terminal) {
		return func(w *terminal) { w.stdin = text }
	}
	for name, tt := range map[string]struct {
		prepare func(w *terminal)
		command []string
		want    []string
	}{
		"wrong key": {func(w *terminal) { w.env[envStoreKey] = monitor.GenerateKey().Reveal() }, []string{"list"},
			[]string{"the key does not fit the store", "give the key with which the store was written"}},
		"not a key":    {func(w *terminal) { w.env[envStoreKey] = "passphrase" }, []string{"list"}, []string{"the key in the variable BRIDGE_STORE_KEY cannot be used", "is not 32 bytes"}},
		"store in use": {func(w *terminal) { s := w.openStore(); w.Cleanup(func() { _ = s.Close() }) }, []string{"list"}, []string{"the store is in use already", "stop it", "most likely the bridge"}},
		"not a store":  {func(w *terminal) { require.NoError(w, os.WriteFile(w.settings.store, []byte("text"), 0o600)) }, []string{"list"}, []string{"the store cannot be read"}},
		"no store":     {func(w *terminal) { w.settings.store += ".old" }, []string{"list"}, []string{"there is no store at", "correct -store"}},
		"other tenant": {func(w *terminal) { w.settings.application.TenantID = w.stranger.ID }, []string{"list"}, []string{"not those of the store (monitors that would stop: monitor1@example.test)"}},
		"other ids add": {func(w *terminal) {
			w.settings.application.ClientID, w.stdin = w.stranger.ID, w.application.Secrets[0].Value.Reveal()
		}, []string{"add", demoStranger}, []string{"not those of the store (monitors that would stop: monitor1@example.test)"}},

		"renew unknown":     {nil, []string{"renew", "nobody@example.test"}, []string{"renew nobody@example.test: there is no such monitor: check the user principal name"}},
		"retry unknown":     {nil, []string{"retry", "nobody@example.test"}, []string{"there is no such monitor"}},
		"delete unknown":    {nil, []string{"delete", "nobody@example.test"}, []string{"there is no such monitor"}},
		"authorize unknown": {nil, []string{"authorize", "nobody@example.test"}, []string{"there is no such monitor"}},
		"url unknown":       {nil, []string{"url", "nobody@example.test"}, []string{"there is no such monitor"}},

		"add twice":         {func(w *terminal) { w.stdin = w.application.Secrets[0].Value.Reveal() }, []string{"add", "Monitor1@Example.Test"}, []string{"the monitor exists already: renew it"}},
		"no secret":         {nil, []string{"renew", demoMonitor}, []string{"the client secret is empty: copy its Value"}},
		"secret id pasted":  {func(w *terminal) { w.stdin = w.application.Secrets[0].KeyID }, []string{"renew", demoMonitor}, []string{"AADSTS7000215", "copy its Value (not its Secret ID)"}},
		"secret id in env":  {func(w *terminal) { w.env[envClientSecret] = w.application.Secrets[0].KeyID }, []string{"renew", demoMonitor}, []string{"AADSTS7000215"}},
		"account not there": {func(w *terminal) { w.stdin = w.application.Secrets[0].Value.Reveal() }, []string{"add", "nobody@example.test"}, []string{"the account does not exist", "create the account in Entra"}},
		"account without mail": {func(w *terminal) {
			w.stdin = w.application.Secrets[0].Value.Reveal()
			w.server.AddUser(graphtest.User{PrincipalName: "monitor2@example.test"})
		}, []string{"add", "monitor2@example.test"}, []string{"give the account a mail address in Entra"}},

		"another account signs in": {func(w *terminal) { w.signsIn(w.stranger.ID) }, []string{"authorize", demoMonitor}, []string{"another account has signed in", "sign in as the monitor"}},
		"global administrator": {func(w *terminal) {
			w.stage.monitor.GlobalAdministrator = true
			w.server.AddUser(w.stage.monitor)
			w.signsIn(w.stage.monitor.ID)
		}, []string{"authorize", demoMonitor}, []string{"a global administrator's: take the role from the account"}},
		"nobody signs in": {nil, []string{"authorize", demoMonitor, "-wait", "5m"}, []string{"nobody has signed in as monitor1@example.test within 5m0s"}},
		"declined consent": {func(w *terminal) { w.stdin = w.declined(w.succeeds("url", demoMonitor)) },
			[]string{"complete"}, []string{"AADSTS65004", "consent"}},
		"expired secret": {func(w *terminal) {
			require.NoError(w, w.server.ExpireSecret(w.application.ClientID, w.application.Secrets[0].Value))
			time.Sleep(time.Minute)
			w.fails("retry", demoMonitor)
		}, []string{"authorize", demoMonitor}, []string{`is in the state "secret expired"`, "renew the monitor"}},
		"expired state": {func(w *terminal) {
			w.stdin = w.redirected(w.succeeds("url", demoMonitor), w.stage.monitor.ID)
			time.Sleep(61 * time.Minute)
		}, []string{"complete"}, []string{"the sign-in has expired: begin the sign-in anew and finish it sooner"}},
		"unknown state":      {paste("http://localhost:8085/callback?code=abc&state=guessed"), []string{"complete"}, []string{"the sign-in was not begun here"}},
		"not a callback":     {paste("http://localhost:8085/callback"), []string{"complete"}, []string{"no outcome of a sign-in: copy the whole address"}},
		"nothing pasted":     {nil, []string{"complete"}, []string{"no outcome of a sign-in"}},
		"pasted other thing": {paste("://secret-of-somebody"), []string{"complete"}, []string{"no outcome of a sign-in"}},
		"port in use":        {func(w *terminal) { w.settings.redirect = "http://localhost:8086/callback" }, []string{"authorize", demoMonitor}, []string{"nobody can wait at the redirect URI: port 8086 is in use"}},
	} {
		t.Run(name, func(t *testing.T) {
			atTerminal(t, func(w *terminal) {
				w.added()
				if tt.prepare != nil {
					tt.prepare(w)
				}
				command := tt.command
				if w.settings.redirect != "" {
					command = append([]string{"-redirect", w.settings.redirect}, command...)
				}
				faults := w.fails(command...)
				for _, want := range tt.want {
					assert.Contains(w, faults, want)
				}
				assert.NotContains(w, faults, "secret-of-somebody")
				assert.NotContains(w, faults, "goroutine")
			})
		})
	}
}

func TestCommandLine(t *testing.T) {
	key := monitor.GenerateKey().Reveal()
	complete := []string{"-store", "/nowhere/store", "-tenant", "t", "-client", "c"}
	for name, tt := range map[string]struct {
		args []string
		env  string
		code int
		want string
	}{
		"help":                  {[]string{"-h"}, "", 0, "The bridge must be stopped meanwhile."},
		"help of a command":     {[]string{"list", "-h"}, "", 0, "print JSON"},
		"no command":            {nil, "", exitUsage, "there is no command"},
		"unknown command":       {[]string{"hunter2"}, "", exitUsage, "there is no such command"},
		"unknown flag":          {[]string{"-x"}, "", exitUsage, "flag provided but not defined: -x"},
		"flag of another":       {[]string{"add", "-json", "m@x"}, "", exitUsage, "monitors add has no such flag"},
		"no name":               {[]string{"add"}, "", exitUsage, "add needs the monitor's user principal name"},
		"not a name":            {[]string{"add", "hunter2"}, "", exitUsage, "the argument of add is not a user principal name"},
		"secret as an argument": {[]string{"add", "m@example.test", "hunter2"}, "", exitUsage, "a client secret is no argument: it is asked for"},
		"argument of list":      {[]string{"list", "hunter2"}, "", exitUsage, "list takes no argument"},
		"nothing given":         {[]string{"list"}, "", exitUsage, "-store is missing"},
		"no tenant":             {[]string{"-store", "/nowhere/store", "-client", "c", "add", "m@example.test"}, key, exitUsage, "-tenant is missing, which the store does not tell yet"},
		"no client":             {[]string{"-store", "/nowhere/store", "-tenant", "t", "add", "m@example.test"}, key, exitUsage, "-client is missing, which the store does not tell yet"},
		"no key":                {append(complete, "add", "m@example.test"), "", exitUsage, "the key of the store is missing"},
		"half a double":         {append(complete, "-login", "http://localhost", "list"), key, exitUsage, "-login and -graph belong together"},
		"not a redirect URI":    {append(complete, "-redirect", "/callback", "add", "m@example.test"), key, exitUsage, "the redirect URL must be absolute"},
		"redirect elsewhere":    {append(complete, "-redirect", "https://bridge.example.com/callback", "authorize", "m@example.test"), key, exitUsage, "where this program cannot wait"},
		"too long a wait":       {append(complete, "authorize", "-wait", "2h", "m@example.test"), key, exitUsage, "-wait is 2h0m0s: use up to 30m0s"},
		"no other application":  {append(complete, "application"), key, exitUsage, "application needs -to-tenant or -to-client"},
		"demo of the real":      {[]string{"demo"}, "", exitUsage, "-simulate and demo belong together"},
		"simulated list":        {[]string{"-simulate", "list"}, "", exitUsage, "-simulate and demo belong together"},
		"no key file":           {append(complete, "-key-file", filepath.Join(t.TempDir(), "none"), "add", "m@example.test"), "", exitFailed, "the key cannot be read"},
		"no folder":             {append(complete, "add", "m@example.test"), key, exitFailed, "its directory must exist"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &terminal{T: t, stage: &stage{}, env: map[string]string{envStoreKey: tt.env}, stdin: "value"}
			o := w.runArgs(t.Context(), tt.args...)
			assert.Equal(t, tt.code, o.code)
			assert.Contains(t, o.errors, tt.want)
			assert.NotContains(t, o.errors, "hunter2")
			assert.Empty(t, o.out)
		})
	}
}
