package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/presence"
	"github.com/presencebridge/presencebridge/verify"
)

const standsIn = "if none runs, nobody keeps presence in step. This process takes its place"

// TestRunningBridgeIsAsked: it knows what it has heard, and does what it is told.
func TestRunningBridgeIsAsked(t *testing.T) {
	p := newPlant(t)
	p.runBridge()
	c := verifying(t.Context(), nil, "-config", p.file, "-v")
	require.Equal(t, verify.ExitPassed, c.code, c.stdout+c.stderr)
	assert.NotContains(t, c.stderr, standsIn)
	assert.Contains(t, c.stdout, "System check of acme, bidirectional")
	assert.Contains(t, c.stdout, "told by the file bridge.yaml")
	for _, secret := range p.secrets() {
		assert.NotContains(t, c.stdout+c.stderr, secret)
	}

	c = verifying(t.Context(), nil, "-config", p.file, "-user", caller, "-json")
	assert.Equal(t, verify.ExitPassed, c.code, c.stderr)
	var user verify.UserReport
	c.decode(t, &user)
	assert.True(t, user.Explanation.Watched)

	c = verifying(t.Context(), nil, "-config", p.file, "-user", caller, "-reset", "-json")
	assert.Equal(t, verify.ExitPassed, c.code, c.stderr)
	var reset verify.ResetReport
	c.decode(t, &reset)
	assert.Equal(t, caller, reset.Email)

	c = verifying(t.Context(), nil, "-config", p.file, "-user", "nobody@example.test", "-reset")
	assert.Equal(t, verify.ExitFailed, c.code)
	assert.Contains(t, c.stderr, "check that person without -reset to see why")

	c = verifying(t.Context(), nil, "-config", p.file, "-sync-all", "-json")
	assert.Equal(t, verify.ExitPassed, c.code, c.stderr)
	var synced verify.SyncReport
	c.decode(t, &synced)
	assert.Equal(t, len(healthy()), synced.AlreadyRight)

	c = verifying(t.Context(), nil, "-config", p.file, "-only", "probe-notification", "-probe", busy)
	assert.Equal(t, verify.ExitPassed, c.code, c.stdout+c.stderr)
	assert.Contains(t, c.stdout, "passed  The probe was notified")
}

// TestRunningBridgeIsAskedWithoutItsSecrets: it has them, and the administrator who
// asks need not. Of the checks that were not asked for, nothing is told and nothing
// counts, though the bridge knows what it found of them.
func TestRunningBridgeIsAskedWithoutItsSecrets(t *testing.T) {
	p := newPlant(t)
	p.runBridge()
	p.sim.Graph().SetClockSkew(time.Hour)
	for _, name := range []string{"VERIFY_TEAMS_SECRET", "VERIFY_MONITOR_SECRET", "VERIFY_STORE_KEY", "VERIFY_CLOUDLINK_SECRET"} {
		t.Setenv(name, "")
	}
	c := verifying(t.Context(), nil, "-config", p.file)
	assert.Equal(t, verify.ExitFailed, c.code, c.stdout+c.stderr)
	assert.Contains(t, c.stdout, "FAILED  Our clock agrees with Microsoft's")

	c = verifying(t.Context(), nil, "-config", p.file, "-only", "cloudlink-account", "-json")
	assert.Equal(t, verify.ExitPassed, c.code, c.stderr)
	var report verify.Report
	c.decode(t, &report)
	assert.False(t, report.Complete)
	_, told := report.Result(verify.CodeCloudLinkAccount, "")
	assert.True(t, told)
	_, told = report.Result(verify.CodeClockMicrosoft, "")
	assert.False(t, told)
}

// TestAgainUntilAllPass: the administrator sets right what is named, meanwhile.
func TestAgainUntilAllPass(t *testing.T) {
	p := newPlant(t)
	p.runBridge()
	p.sim.Graph().SetClockSkew(time.Hour)
	c := verifying(t.Context(), func(text string) {
		if strings.Contains(text, "1 of the checks have not passed") {
			p.sim.Graph().SetClockSkew(0)
		}
	}, "-config", p.file, "-again", "-json")
	assert.Equal(t, verify.ExitPassed, c.code, c.stderr)
	assert.Equal(t, 1, strings.Count(c.stderr, "have not passed; they are made again"), c.stderr)
	assert.Contains(t, c.stderr, "clock-microsoft: failed")
	assert.Contains(t, c.stderr, "clock-microsoft: passed")
	var report verify.Report
	c.decode(t, &report)
	assert.Empty(t, report.Troubles())
}

// TestProcessStandsInForTheBridge where none runs, and changes nothing.
func TestProcessStandsInForTheBridge(t *testing.T) {
	p := newPlant(t)
	p.runBridge()()
	person, changed := p.info.People[0], p.info.People[1]
	require.True(t, p.sim.CloudLink().SetLine(person.Extension, presence.LineConnected))
	require.NoError(t, p.sim.Graph().SetClient(changed.TeamsID, "desktop", presence.DoNotDisturb, ""))

	c := verifying(t.Context(), nil, "-config", p.file)
	require.Equal(t, verify.ExitPassed, c.code, c.stdout+c.stderr)
	assert.Contains(t, c.stderr, "verify: no bridge answers at 127.0.0.1:")
	assert.Contains(t, c.stderr, standsIn)
	assert.Equal(t, presence.Available, p.sim.Graph().Presence(person.TeamsID).Availability, "nothing is written")
	assert.NotEqual(t, presence.StatusDoNotDisturb, p.sim.CloudLink().Status(changed.CloudLinkID))
	for _, secret := range p.secrets() {
		assert.NotContains(t, c.stdout+c.stderr, secret)
	}

	c = verifying(t.Context(), nil, "-config", p.file, "-user", caller)
	assert.Contains(t, c.stdout, "This is a dry run", "what would be written, and why it is not")

	// A session has nobody who keeps it when the process has ended.
	c = verifying(t.Context(), nil, "-config", p.file, "-user", caller, "-reset")
	assert.Contains(t, c.stdout, "the session Busy/InACall was set once more")
	assert.Contains(t, c.stderr, "a Teams session that is set meanwhile ends with this process")
	assert.Equal(t, presence.Available, p.sim.Graph().Presence(person.TeamsID).Availability)

	// What is asked for is done.
	c = verifying(t.Context(), nil, "-config", p.file, "-sync-all")
	assert.Equal(t, verify.ExitPassed, c.code, c.stdout+c.stderr)
	assert.Equal(t, presence.StatusDoNotDisturb, p.sim.CloudLink().Status(changed.CloudLinkID))
}

func TestStandInWithoutAStoreMakesNone(t *testing.T) {
	p := newPlant(t)
	c := verifying(t.Context(), nil, "-config", p.file, "-json")
	assert.Equal(t, verify.ExitFailed, c.code, c.stderr)
	assert.Contains(t, c.stderr, "nobody has signed in as a presence monitor")
	var report verify.Report
	c.decode(t, &report)
	require.NotEmpty(t, report.Troubles())
	assert.Equal(t, verify.CodeMonitorAuthorized, report.Troubles()[0].Code)
	assert.NoFileExists(t, filepath.Join(filepath.Dir(p.file), "monitors.db"))
}

// TestWrongSecretIsFoundByTheStandIn: what hinders the bridge from its beginning is for
// the checks to find, soon.
func TestWrongSecretIsFoundByTheStandIn(t *testing.T) {
	p := newPlant(t)
	t.Setenv("VERIFY_TEAMS_SECRET", "the Secret ID, perhaps")
	c := verifying(t.Context(), nil, "-config", p.file, "-json")
	assert.Equal(t, verify.ExitFailed, c.code, c.stderr)
	assert.NotContains(t, c.stderr, "has not finished what it does first")
	var report verify.Report
	c.decode(t, &report)
	result, _ := report.Result(verify.CodeEntraSecret, "")
	assert.Equal(t, verify.Failed, result.Status)
	assert.NotContains(t, c.stdout, "the Secret ID, perhaps")
}

func TestStoreOfARunningBridge(t *testing.T) {
	p := newPlant(t)
	p.runBridge()
	text, err := os.ReadFile(p.file)
	require.NoError(t, err)
	another := filepath.Join(filepath.Dir(p.file), "another.yaml")
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "status:") {
			lines[i] = ""
		}
	}
	require.NoError(t, os.WriteFile(another, []byte(strings.Join(lines, "\n")), 0o600))
	c := verifying(t.Context(), nil, "-config", another)
	assert.Equal(t, verify.ExitFailed, c.code)
	assert.Contains(t, c.stderr, "the configuration has no status address at which a bridge would answer")
	assert.Contains(t, c.stderr, "a bridge that has it open is asked if the configuration has its status address")
}

func TestSomethingElseAtTheStatusAddress(t *testing.T) {
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	p := newPlant(t)
	text, err := os.ReadFile(p.file)
	require.NoError(t, err)
	var status string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "status:") {
			status = line
		}
	}
	changed := strings.Replace(string(text), status, "status: "+other.Listener.Addr().String()+"\n", 1)
	require.NoError(t, os.WriteFile(p.file, []byte(changed), 0o600))
	c := verifying(t.Context(), nil, "-config", p.file, "-only", "cloudlink-account")
	assert.Equal(t, verify.ExitPassed, c.code, c.stdout+c.stderr)
	assert.Contains(t, c.stderr, "is not a bridge that makes checks (verify: the address answered 404 Not Found")

	for _, writes := range [][]string{{"-sync-all"}, {"-user", p.info.People[0].Email, "-reset"}} {
		c = verifying(t.Context(), nil, append([]string{"-config", p.file}, writes...)...)
		assert.Equal(t, verify.ExitFailed, c.code, c.stdout+c.stderr)
		assert.Contains(t, c.stderr, "Nothing is written beside it")
		assert.NotContains(t, c.stderr, standsIn)
	}
}

func TestWrongConfiguration(t *testing.T) {
	p := newPlant(t, "direction: bidirectional", "direction: both", "micollab_port:", "micollab_part:")
	c := verifying(t.Context(), nil, "-config", p.file)
	assert.Equal(t, exitUsage, c.code)
	assert.Contains(t, c.stderr, "bridge.yaml:2: direction: ")
	assert.Contains(t, c.stderr, "verify.micollab_part: there is no such key: did you mean micollab_port?")
	assert.Empty(t, c.stdout)
}

func TestAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, taken.Close()) }()
	p := newPlant(t)
	text, err := os.ReadFile(p.file)
	require.NoError(t, err)
	_, listen, _ := strings.Cut(string(text), "\nlisten: ")
	listen, _, _ = strings.Cut(listen, "\n")
	require.NoError(t, os.WriteFile(p.file, []byte(strings.ReplaceAll(string(text), listen, taken.Addr().String())), 0o600))
	c := verifying(t.Context(), nil, "-config", p.file)
	assert.Equal(t, verify.ExitFailed, c.code)
	assert.Contains(t, c.stderr, "cannot listen for notifications")
}

// TestInterruptedSyncTellsWhatWasDone: by the running bridge, which waits no longer.
func TestInterruptedSyncTellsWhatWasDone(t *testing.T) {
	p := newPlant(t)
	p.runBridge()
	// One person has to be set right, which takes too long.
	p.sim.Graph().SetDeliveryFault(func(graphtest.Delivery) graphtest.Fault { return graphtest.Fault{Drop: true} })
	p.sim.CloudLink().Control(0, graphtest.Match(http.MethodPut, "**", graphtest.Reply{Delay: time.Minute}))
	require.NoError(t, p.sim.Graph().SetClient(p.info.People[1].TeamsID, "desktop", presence.DoNotDisturb, ""))
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	c := verifying(ctx, func(text string) {
		if strings.HasPrefix(text, "3 of 4 done") {
			interrupt()
		}
	}, "-config", p.file, "-sync-all", "-json")
	assert.Equal(t, verify.ExitFailed, c.code)
	assert.Contains(t, c.stderr, "verify: interrupted\n")
	var report verify.SyncReport
	c.decode(t, &report)
	assert.False(t, report.Complete)
	assert.Equal(t, 4, report.Total)
	assert.Equal(t, 3, report.AlreadyRight)
	assert.NotEmpty(t, report.Error)
}
