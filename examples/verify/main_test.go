package main

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/verify"
)

// A request for a token goes on when nobody waits for it any more, within a bound of
// its own, so that a refresh token that it uses up is not lost.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/presencebridge/presencebridge/internal/tokens.(*Source).run"))
}

const (
	caller = "anna.kraus@example.test"
	busy   = "ben.okafor@example.test"
)

func TestHealthySystemPasses(t *testing.T) {
	c := verifying(t.Context(), nil, "-simulate")
	require.Equal(t, verify.ExitPassed, c.code, c.stdout+c.stderr)
	summary := strings.SplitN(c.stdout, "\n", 3)[1]
	assert.Regexp(t, `^\d+ passed, \d+ not applicable\.$`, summary)
	assert.NotContains(t, c.stdout, "What is to be done")
	assert.Contains(t, c.stderr, "] entra-tenant: passed\n", "without a terminal, a line for each step")
	assert.NotContains(t, c.stderr, "\x1b")
}

func TestReportIsOneJSONDocument(t *testing.T) {
	c := verifying(t.Context(), nil, "-simulate", "-json")
	require.Equal(t, verify.ExitPassed, c.code, c.stderr)
	var report verify.Report
	c.decode(t, &report)
	assert.Equal(t, verify.ReportKind, report.Kind)
	assert.Equal(t, verify.ReportVersion, report.Version)
	assert.Equal(t, "simulation", report.Name)
	assert.True(t, report.Complete)
	assert.Empty(t, report.Troubles())
	for _, check := range verify.Checks() {
		if check.Per == "" {
			_, made := report.Result(check.Code, "")
			assert.True(t, made, check.Code)
		}
	}
}

// TestEveryFaultIsNamed: as the only one, with its remedy and its administrator.
func TestEveryFaultIsNamed(t *testing.T) {
	named := map[string]struct {
		result string
		code   int
		by     verify.Administrator
	}{
		"secret-expired":         {"entra-secret", verify.ExitFailed, verify.AzureAdministrator},
		"consent":                {"admin-consent", verify.ExitFailed, verify.AzureAdministrator},
		"redirect-uri":           {"redirect-uri", verify.ExitFailed, verify.AzureAdministrator},
		"clock":                  {"clock-microsoft", verify.ExitFailed, verify.Operator},
		"monitor-disabled":       {"monitor-enabled[presence.monitor.1@example.test]", verify.ExitFailed, verify.AzureAdministrator},
		"monitor-secret-expired": {"monitor-secret[presence.monitor.1@example.test]", verify.ExitFailed, verify.AzureAdministrator},
		"monitor-signed-out":     {"monitor-authorized[presence.monitor.1@example.test]", verify.ExitFailed, verify.AzureAdministrator},
		"cloudlink-client":       {"cloudlink-credentials", verify.ExitFailed, verify.CloudLinkAdministrator},
		"gateway":                {"gateway-integration", verify.ExitFailed, verify.CloudLinkAdministrator},
		"micollab":               {"micollab-reachable", verify.ExitFailed, verify.MiCollabAdministrator},
		"unmatched":              {"users-unmatched", verify.ExitWarned, verify.CloudLinkAdministrator},
		"lost-notifications":     {"", verify.ExitPassed, ""}, // only the user check can know
	}
	for _, name := range faultNames() {
		t.Run(name, func(t *testing.T) {
			want, listed := named[name]
			require.True(t, listed, "the table lacks this fault")
			c := verifying(t.Context(), nil, "-simulate", "-break", name, "-json")
			assert.Equal(t, want.code, c.code, c.stderr)
			assert.Contains(t, c.stderr, "broken on purpose: "+faultOf(name).does)
			var report verify.Report
			c.decode(t, &report)
			var troubles []string
			for _, r := range report.Troubles() {
				if r.Code == verify.CodeMonitorSubscriptionUsers && r.Status == verify.Warned && strings.HasPrefix(name, "monitor-") {
					continue // the other monitor is just taking over
				}
				troubles = append(troubles, r.Name())
				assert.Equal(t, want.by, r.Administrator)
				assert.NotEmpty(t, r.Sentence)
				assert.NotEmpty(t, r.Remedy)
			}
			assert.Equal(t, want.result, strings.Join(troubles, " "))
		})
	}
}

func TestFaultIsShownWithWhatIsToBeDone(t *testing.T) {
	c := verifying(t.Context(), nil, "-simulate", "-break", "secret-expired")
	assert.Equal(t, verify.ExitFailed, c.code)
	_, todo, found := strings.Cut(c.stdout, "What is to be done")
	require.True(t, found, c.stdout)
	assert.Contains(t, todo, "By the Azure administrator:")
	assert.Contains(t, todo, "Create a new client secret")
}

func TestOnlySomeChecks(t *testing.T) {
	c := verifying(t.Context(), nil, "-simulate", "-only", "entra-secret, clock-mitel", "-json")
	require.Equal(t, verify.ExitPassed, c.code, "what was asked for has passed: "+c.stderr)
	var report verify.Report
	c.decode(t, &report)
	assert.False(t, report.Complete)
	_, made := report.Result(verify.CodeClockMitel, "")
	assert.True(t, made)
	_, made = report.Result(verify.CodeEntraReachable, "")
	assert.True(t, made, "what it depends on")
	_, made = report.Result(verify.CodeUsersMatched, "")
	assert.False(t, made)
}

func TestProbe(t *testing.T) {
	c := verifying(t.Context(), nil, "-simulate", "-probe", caller, "-only", "probe-notification", "-json")
	require.Equal(t, verify.ExitPassed, c.code, c.stderr)
	var report verify.Report
	c.decode(t, &report)
	for _, code := range []verify.Code{verify.CodeProbe, verify.CodeProbeNotification} {
		result, _ := report.Result(code, "")
		assert.Equal(t, verify.Passed, result.Status, code)
	}
}

// TestPersonIsCheckedAndSetRight goes the way of an administrator to whom somebody has
// complained.
func TestPersonIsCheckedAndSetRight(t *testing.T) {
	lost := func(args ...string) call {
		return verifying(t.Context(), nil, append([]string{"-simulate", "-break", "lost-notifications", "-json"}, args...)...)
	}
	c := lost("-user", caller)
	assert.Equal(t, verify.ExitFailed, c.code, c.stderr)
	var user verify.UserReport
	c.decode(t, &user)
	require.NotNil(t, user.Parting)
	assert.Equal(t, verify.HopTelephone, user.Parting.Hop)
	assert.Equal(t, "connected", user.Hop(verify.HopTelephone).Now)
	assert.NotEmpty(t, user.Parting.Remedy)

	c = lost("-user", caller, "-reset")
	assert.Equal(t, verify.ExitPassed, c.code, c.stderr)
	var reset verify.ResetReport
	c.decode(t, &reset)
	assert.Equal(t, verify.ResetReportKind, reset.Kind)
	assert.Nil(t, reset.After.Parting)
	assert.Equal(t, "connected", reset.After.Hop(verify.HopTelephone).Believed)

	c = lost("-user", busy)
	assert.Equal(t, verify.ExitFailed, c.code, c.stderr)
	user = verify.UserReport{}
	c.decode(t, &user)
	require.NotNil(t, user.Parting)
	assert.Equal(t, verify.HopTeams, user.Parting.Hop)

	c = lost("-sync-all")
	assert.Equal(t, verify.ExitPassed, c.code, c.stderr)
	var synced verify.SyncReport
	c.decode(t, &synced)
	assert.True(t, synced.Complete)
	assert.Equal(t, 1, synced.Changed)
	assert.Equal(t, len(healthy()), synced.Total)
	assert.Contains(t, c.stderr, "4 of 4 done: 1 changed, 3 already right, 0 left alone or failed\n")
}

// halfReset resets by halves: the hops agree, and a request has failed.
type halfReset struct{ verify.UserService }

func (halfReset) ResetPhone(context.Context, string) (*verify.ResetReport, error) {
	return &verify.ResetReport{
		Reset: presencebridge.PhoneReset{Failures: []presencebridge.Failure{{Connection: "teams-write", Error: "503"}}}, After: &verify.UserReport{},
	}, nil
}

func TestAResetThatIsNotCompleteHasFailed(t *testing.T) {
	p := &program{stdout: &buffer{}, stderr: &buffer{}}
	assert.Equal(t, exitFailed, p.resetPhone(t.Context(), &system{UserService: halfReset{}}))
}

func TestTextOfAPerson(t *testing.T) {
	c := verifying(t.Context(), nil, "-simulate", "-user", "ANNA.Kraus@example.test")
	assert.Equal(t, verify.ExitPassed, c.code, c.stderr)
	assert.Contains(t, c.stdout, "All hops agree.")
	assert.Contains(t, c.stdout, caller)
}

func TestSomebodyUnknown(t *testing.T) {
	c := verifying(t.Context(), nil, "-simulate", "-user", "nobody@example.test")
	assert.Equal(t, verify.ExitFailed, c.code)
	assert.Contains(t, c.stdout, "nobody@example.test")

	c = verifying(t.Context(), nil, "-simulate", "-user", "nobody@example.test", "-reset")
	assert.Equal(t, verify.ExitFailed, c.code)
	assert.Empty(t, c.stdout)
	assert.Contains(t, c.stderr, "check that person without -reset to see why")
}

// TestAgainEndsWithTheLastReport: by an interrupt, while something does not pass.
func TestAgainEndsWithTheLastReport(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	rounds := 0
	c := verifying(ctx, func(text string) {
		if strings.Contains(text, "1 of the checks have not passed") {
			if rounds++; rounds == 2 {
				interrupt()
			}
		}
	}, "-simulate", "-break", "unmatched", "-again", "-json")
	assert.Equal(t, verify.ExitWarned, c.code, c.stderr)
	assert.Equal(t, 2, rounds)
	var report verify.Report
	c.decode(t, &report)
	assert.True(t, report.Complete)
	assert.Contains(t, c.stderr, "users-unmatched: 1 user cannot be matched: ida.berg@elsewhere.example.test")
	assert.Equal(t, 1, strings.Count(c.stderr, "gateway-pbx: passed"), "what has passed is not made again")
	assert.Equal(t, 2, strings.Count(c.stderr, "users-unmatched: warning"))
}

func TestInterruptBeforeAnything(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	for _, args := range [][]string{{}, {"-user", caller}, {"-user", caller, "-reset"}, {"-sync-all"}} {
		c := verifying(ctx, nil, append([]string{"-simulate"}, args...)...)
		assert.Equal(t, verify.ExitFailed, c.code)
		assert.Equal(t, "verify: interrupted\n", c.stderr)
	}
}

func TestCodesAreListed(t *testing.T) {
	c := verifying(t.Context(), nil, "-codes")
	assert.Equal(t, verify.ExitPassed, c.code)
	for _, check := range verify.Checks() {
		assert.Contains(t, c.stdout, "\n  "+string(check.Code)+" ")
		assert.Contains(t, c.stdout, check.Title)
	}
	var checks []verify.Check
	verifying(t.Context(), nil, "-codes", "-json").decode(t, &checks)
	assert.Len(t, checks, len(verify.Checks()))
}

func TestUsage(t *testing.T) {
	for want, args := range map[string][]string{
		"there is no bridge to check: give -config FILE, or -simulate":               {},
		"-config and -simulate exclude each other":                                   {"-config", "x", "-simulate"},
		"-break needs -simulate":                                                     {"-config", "x", "-break", "consent"},
		`nothing can be broken by the name "all": give -break one of secret-expired`: {"-simulate", "-break", "all"},
		`nothing can be broken by the name ""`:                                       {"-simulate", "-break", ""},
		"-reset needs -user EMAIL":                                                   {"-simulate", "-reset"},
		"-user is empty":                                                             {"-simulate", "-user", " "},
		"-user and -sync-all exclude each other":                                     {"-simulate", "-user", "a@b", "-sync-all"},
		"-only belongs to the system check":                                          {"-simulate", "-user", "a@b", "-only", "probe"},
		"-probe belongs to the system check":                                         {"-simulate", "-sync-all", "-probe", "a@b"},
		"-again belongs to the system check":                                         {"-simulate", "-sync-all", "-again"},
		"-probe is empty":                                                            {"-simulate", "-probe", ""},
		`there is no check "entra-tenants": verify -codes lists them`:                {"-simulate", "-only", "entra-tenant,entra-tenants"},
		"-only is empty":                                                             {"-simulate", "-only", ","},
		`"now" is not expected`:                                                      {"-simulate", "now"},
		"-codes goes with -json only":                                                {"-codes", "-simulate"},
		"flag provided but not defined":                                              {"-colour"},
		"the configuration cannot be read":                                           {"-config", "/nowhere/bridge.yaml"},
	} {
		c := verifying(t.Context(), nil, args...)
		assert.Equal(t, exitUsage, c.code, want)
		assert.Contains(t, c.stderr, want)
		assert.Empty(t, c.stdout)
	}
	c := verifying(t.Context(), nil, "-user", "a@b", "-reset", "-only", "x")
	assert.Equal(t, 4, strings.Count(c.stderr, "\n"), "all at once, and where to look: "+c.stderr)
	assert.Equal(t, 0, verifying(t.Context(), nil, "-h").code)
}

func TestProgressOnATerminal(t *testing.T) {
	out := &buffer{}
	p := newProgress(out)
	p.live, p.width = true, 30
	step := func(code verify.Code, status verify.Status, done int) {
		p.check(verify.Progress{Result: verify.Result{Code: code, Status: status}, Done: done, Total: 12})
	}
	step("one", verify.Running, 0)
	step("two", verify.Running, 0)
	step("one", verify.Failed, 1)
	step("two\x1b[31m", verify.Running, 1)
	step("a-name-that-is-longer-than-a-line", verify.Running, 1)
	p.sync(presencebridge.SyncReport{Total: 3})
	p.end()
	const blank = "\r\x1b[K"
	assert.Equal(t, blank+"[ 0/12] one"+blank+"[ 0/12] two"+blank+"[ 1/12] two"+blank+"[ 1/12] two[31m"+
		blank+"[ 1/12] a-name-that-is-longe…"+blank+"0 of 3 done: 0 changed, 0 al…"+blank, out.String())
	assert.NotContains(t, out.String(), "\n")
}
