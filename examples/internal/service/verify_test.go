package service

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/presence"
	"github.com/presencebridge/presencebridge/verify"
)

// entered are checks of what was entered and of services that need no bridge at work.
var entered = []verify.Code{
	verify.CodeEntraSecret, verify.CodeRedirectURIPlatform, verify.CodeCloudLinkAccount, verify.CodeGatewayPBX,
	verify.CodeMiCollabReachable, verify.CodeMiCollabTeamsIntegration, verify.CodeNotificationHandshake,
	verify.CodeClockMicrosoft, verify.CodeClockMitel,
}

// TestChecksAreServedBesideTheStatusPage: by the bridge that runs, to whoever asks it
// by an address of this machine.
func TestChecksAreServedBesideTheStatusPage(t *testing.T) {
	sim, settings := simulate(t, 1)
	yes := true
	settings.Checks = CheckSettings{Source: "the file test.yaml", GatewayIntegration: &yes}
	// The simulator takes the connection in MiCollab's place.
	base, err := url.Parse(sim.Info().URL)
	require.NoError(t, err)
	settings.MiCollab.Server.Address = base.Hostname()
	settings.Checks.MiCollabPort, err = strconv.Atoi(base.Port())
	require.NoError(t, err)
	status := settings.StatusListener.Addr().String()
	s := assembled(t, settings, nil)
	start(t, s)
	begun(s)

	client, err := verify.NewClient("http://"+status+PathVerify, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}})
	require.NoError(t, err)
	report, err := client.Run(t.Context(), &verify.RunOptions{Only: entered})
	require.NoError(t, err)
	var text strings.Builder
	require.NoError(t, report.WriteText(&text, &verify.TextOptions{Verbose: true}))
	require.Empty(t, report.Troubles(), text.String())
	for _, code := range entered {
		result, _ := report.Result(code, "")
		assert.Equal(t, verify.Passed, result.Status, code)
	}
	for _, code := range []verify.Code{verify.CodeGatewayPBX, verify.CodeMiCollabTeamsIntegration} {
		result, _ := report.Result(code, "")
		assert.Contains(t, result.Basis, "the file test.yaml", code)
	}
	assert.Equal(t, report, s.SystemCheck.Last(), "it is the bridge's own check")

	person := sim.Info().People[0]
	user, err := client.Check(t.Context(), person.Email)
	require.NoError(t, err)
	assert.Nil(t, user.Parting)
	assert.Equal(t, person.TeamsID, user.User.TeamsID)
	assert.NotEmpty(t, user.Hop(verify.HopMiCollab).Now)

	for _, secret := range settings.secrets() {
		if !secret.IsZero() {
			assert.NotContains(t, text.String(), secret.Reveal())
		}
	}
}

func TestChecksAreForThisMachine(t *testing.T) {
	_, settings := simulate(t, 1)
	s := assembled(t, settings, nil)
	for host, want := range map[string]int{"127.0.0.1:8081": http.StatusOK, "evil.example.com": http.StatusForbidden} {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, PathVerify+"/checks", nil)
		request.Host = host
		w := httptest.NewRecorder()
		s.status().ServeHTTP(w, request)
		assert.Equal(t, want, w.Code, host)
	}
	// A page of somebody else, in the browser of somebody who sits here.
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, PathVerify+"/sync", bytes.NewReader(nil))
	request.Host = "127.0.0.1:8081"
	request.Header.Set("Origin", "https://evil.example.com")
	w := httptest.NewRecorder()
	s.status().ServeHTTP(w, request)
	assert.Equal(t, http.StatusForbidden, w.Code)
}

// TestChecksKnowWhatNobodyHasTold: nothing is taken for granted.
func TestChecksKnowWhatNobodyHasTold(t *testing.T) {
	_, settings := simulate(t, 1)
	s := assembled(t, settings, nil)
	report, err := s.SystemCheck.Run(t.Context(), &verify.RunOptions{Only: []verify.Code{verify.CodeGatewayIntegration}})
	require.NoError(t, err)
	require.NoError(t, s.Credential.Wait(t.Context()))
	result, _ := report.Result(verify.CodeGatewayIntegration, "")
	assert.Equal(t, verify.Warned, result.Status)
	assert.Contains(t, result.Sentence, "Nobody has told")
}

func TestTelephoneSystemsOfTheGateway(t *testing.T) {
	s := &Settings{CloudLink: CloudLinkSettings{PBX: presence.MiVoiceBusiness, Sites: map[string]presence.PBX{
		"a": presence.MiVoiceOffice400, "b": presence.MiVoiceBusiness, "c": "",
	}}}
	assert.Equal(t, []presence.PBX{presence.MiVoiceBusiness, presence.MiVoiceOffice400}, s.connected())
	s.Checks.PBX = []presence.PBX{presence.MXONE}
	assert.Equal(t, []presence.PBX{presence.MXONE}, s.connected())
}

// TestServiceWithoutNotificationsHasChecks: what it lacks does not apply.
func TestServiceWithoutNotificationsHasChecks(t *testing.T) {
	_, settings := simulate(t, 1)
	settings.PublicURL, settings.Teams.Pool, settings.MiCollab = "", nil, nil
	settings.Bridge.Direction = presencebridge.OneWay
	s := assembled(t, settings, nil)
	report, err := s.SystemCheck.Run(t.Context(), &verify.RunOptions{Only: []verify.Code{
		verify.CodeNotificationHandshake, verify.CodeMonitorsStore, verify.CodeMonitorEnabled, verify.CodeCloudLinkHeard, verify.CodeMiCollabVersion,
	}})
	require.NoError(t, err)
	require.NoError(t, s.Credential.Wait(t.Context()))
	for _, code := range []verify.Code{verify.CodeNotificationHandshake, verify.CodeMonitorsStore, verify.CodeMonitorEnabled, verify.CodeCloudLinkHeard, verify.CodeMiCollabVersion} {
		result, _ := report.Result(code, "")
		assert.Equal(t, verify.NotApplicable, result.Status, "%s: %s", code, result.Sentence)
	}
}
