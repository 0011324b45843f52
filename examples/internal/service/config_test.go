package service

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/presence"
)

// complete is a configuration without mistakes; each line's number matters.
const complete = `direction: bidirectional
public_url: https://presence.example.com
listen: 127.0.0.1:8080
status: 127.0.0.1:8081
teams:
  tenant_id: 11111111-2222-3333-4444-555555555555
  client_id: 66666666-7777-8888-9999-aaaaaaaaaaaa
  secret: {env: TEAMS_SECRET}
  monitors: [{principal_name: monitor@example.com, client_secret: {env: MONITOR_SECRET}}]
  store: monitors.db
  store_key: {env: STORE_KEY}
cloudlink:
  region: eu
  account_id: 12345678-1111-2222-3333-444444444444
  credential:
    client_id: bridge
    secret: {env: CLOUDLINK_SECRET}
micollab:
  address: micollab.example.com
  version: 9.8 SP1
  teams_integration: true
  cloudlink_integration: true
  password_set: true
`

// sampleFile lies with the program that runs with it.
const sampleFile = "../../bridge/bridge.sample.yaml"

// storeKey is a key as openssl writes it.
const storeKey = "3q2+7wEjRWeJq83vASNFZ4mrze8BI0VniavN7wEjRWc="

func environment(name string) (string, bool) {
	value, ok := map[string]string{
		"TEAMS_SECRET": "s3cret-teams", "CLOUDLINK_SECRET": "s3cret-cloudlink", "MONITOR_SECRET": "s3cret-monitor", "STORE_KEY": storeKey,
	}[name]
	return value, ok
}

// filled has a value for every variable of the sample.
func filled(name string) (string, bool) {
	if name == "BRIDGE_STORE_KEY" || name == "STORE_KEY" {
		return storeKey, true
	}
	return "s3cret-value", true
}

func TestCompleteConfiguration(t *testing.T) {
	s, warnings, err := Load("bridge.yaml", []byte(complete), environment)
	require.NoError(t, err)
	assert.Empty(t, warnings)
	assert.Equal(t, presencebridge.Bidirectional, s.Bridge.Direction)
	assert.Equal(t, graph.Global(), s.Teams.Cloud)
	assert.Equal(t, "s3cret-teams", s.Teams.Secret.Reveal())
	require.Len(t, s.Teams.Pool.Monitors, 1)
	assert.Equal(t, "monitor@example.com", s.Teams.Pool.Monitors[0].PrincipalName)
	assert.Equal(t, "s3cret-monitor", s.Teams.Pool.Monitors[0].ClientSecret.Reveal())
	assert.Equal(t, "monitors.db", s.Teams.Pool.StoreFile)
	assert.Equal(t, storeKey, s.Teams.Pool.StoreKey.Reveal())
	assert.Equal(t, "s3cret-teams", s.Teams.Pool.Options.FeatureSecret.Reveal(), "its end is watched too")
	assert.False(t, s.Teams.Pool.Encrypted)
	assert.Equal(t, "s3cret-cloudlink", s.CloudLink.Secret.Reveal())
	assert.Equal(t, presence.MiVoiceBusiness, s.CloudLink.PBX)
	_, err = Assemble(s, &Extras{})
	require.NoError(t, err)
}

func TestEveryMistakeHasItsLineAndRemedy(t *testing.T) {
	_, micollab, found := strings.Cut(complete, "micollab:")
	require.True(t, found)
	for name, test := range map[string]struct {
		old, new string // what is put in place of what
		want     string
	}{
		"unset variable": {"{env: TEAMS_SECRET}", "{env: X}",
			"bridge.yaml:8: teams.secret: environment variable X is empty: set it or use file"},
		"inline secret": {"{env: TEAMS_SECRET}", "hunter2",
			"bridge.yaml:8: teams.secret: a secret does not stand here by itself: write {env: NAME} for an environment variable, or {file: PATH}"},
		"two places": {"{env: TEAMS_SECRET}", "{env: TEAMS_SECRET, file: x}",
			"bridge.yaml:8: teams.secret: give one place for the secret: env, file or value"},
		"no such secret file": {"{env: TEAMS_SECRET}", "{file: /nowhere/secret}",
			"bridge.yaml:8: teams.secret.file: stat /nowhere/secret: no such file or directory: correct the path or the file's permissions"},
		"no secret": {"  secret: {env: TEAMS_SECRET}\n", "",
			"bridge.yaml:5: teams.secret: is missing: write {env: NAME} or {file: PATH} for the client secret's Value, or give a certificate"},
		"unknown key near": {"tenant_id:", "tenantid:",
			"bridge.yaml:6: teams.tenantid: there is no such key: did you mean tenant_id?"},
		"unknown key far": {"region: eu", "colour: red",
			"bridge.yaml:13: cloudlink.colour: there is no such key: the keys here are account_id, base_url, credential, pbx, region, requests_per_second, services"},
		"swapped letters": {"listen:", "lisetn:",
			"bridge.yaml:3: lisetn: there is no such key: did you mean listen?"},
		"twice": {"listen: 127.0.0.1:8080", "direction: off",
			"bridge.yaml:3: direction: this key is there already, in line 1: remove one of them"},
		"direction": {"direction: bidirectional", "direction: bidirectionel",
			`bridge.yaml:1: direction: "bidirectionel" is not one of one-way, bidirectional, off: did you mean bidirectional?`},
		"http": {"https://presence", "http://presence",
			"bridge.yaml:2: public_url: http://presence.example.com is not https, which only this machine's own addresses may do without: use https"},
		"query": {"example.com\nlisten", "example.com?x=1\nlisten",
			"bridge.yaml:2: public_url: this is not a base URL: write it like https://presence.example.com, without user, query and fragment"},
		"no listen": {"listen: 127.0.0.1:8080\n", "",
			"bridge.yaml:1: listen: is missing: public_url must lead to an address where the bridge listens, such as 127.0.0.1:8080 behind a proxy"},
		"listen": {"listen: 127.0.0.1:8080", "listen: 127.0.0.1:99999",
			`bridge.yaml:3: listen: "127.0.0.1:99999" is not an address to listen on: write it like 127.0.0.1:8080 or :8080`},
		"one address twice": {"status: 127.0.0.1:8081", "status: 127.0.0.1:8080",
			`bridge.yaml:4: status: "127.0.0.1:8080" is where the bridge listens already: use another port`},
		"open bracket": {"direction: bidirectional", "direction: [bidirectional",
			"bridge.yaml:2: this is not YAML: did not find expected ',' or ']'"},
		"open bracket further on": {"listen: 127.0.0.1:8080", "listen: [127.0.0.1:8080",
			"bridge.yaml:3: this is not YAML: did not find expected ',' or ']'"},
		"open quote": {"listen: 127.0.0.1:8080", "listen: '127.0.0.1:8080",
			"bridge.yaml:3: this is not YAML: "},
		"second document": {"listen: 127.0.0.1:8080", "listen: 127.0.0.1:8080\n---",
			"bridge.yaml:4: a second document begins here, and a file holds one configuration: remove it, or put it into a file of its own"},
		"public status page": {"status: 127.0.0.1", "status: 0.0.0.0",
			`bridge.yaml:4: status: "0.0.0.0:8081" is not an address of this machine alone, and the status page names people: use 127.0.0.1`},
		"tenant": {"11111111-2222-3333-4444-555555555555", "acme",
			`bridge.yaml:6: teams.tenant_id: "acme" is neither a GUID nor a domain of the tenant: copy the Directory (tenant) ID from Entra`},
		"client": {"66666666-7777", "6666-7777",
			`bridge.yaml:7: teams.client_id: "6666-7777-8888-9999-aaaaaaaaaaaa" is not a GUID: copy the Application (client) ID from Entra`},
		"cloud": {"teams:\n", "teams:\n  cloud: gcchigh\n",
			`bridge.yaml:6: teams.cloud: "gcchigh" is not one of global, gcc-high, dod: did you mean gcc-high?`},
		"half an override": {"teams:\n", "teams:\n  login_url: https://login.example.com\n",
			"bridge.yaml:6: teams.login_url: graph_url is missing: give both or neither"},
		"secret and certificate": {"teams:\n", "teams:\n  certificate: {file: /nowhere/a, key_file: /nowhere/b}\n",
			"bridge.yaml:6: teams.certificate: there is a secret too: the application proves itself by one of them"},
		"monitor": {"principal_name: monitor@example.com", "principal_name: monitor",
			`bridge.yaml:9: teams.monitors.principal_name: "monitor" is not a user principal name: write it like monitor@example.com`},
		"monitor without name": {"principal_name: monitor@example.com, ", "",
			"bridge.yaml:9: teams.monitors.principal_name: is missing: it is the user principal name of the presence monitor, an ordinary Entra account"},
		"monitor without secret": {", client_secret: {env: MONITOR_SECRET}", "",
			"bridge.yaml:9: teams.monitors.client_secret: is missing: it is a client secret of the application that is this monitor's own: write {env: NAME} or {file: PATH} for its Value"},
		"monitor twice": {"monitors: [", "monitors: [{principal_name: Monitor@Example.com, client_secret: {env: MONITOR_SECRET}}, ",
			`bridge.yaml:9: teams.monitors.principal_name: "monitor@example.com" is in the list twice: one account holds one subscription, so use another`},
		"one monitor": {"monitors: [{principal_name: monitor@example.com, client_secret: {env: MONITOR_SECRET}}]", "monitors: {principal_name: monitor@example.com}",
			"bridge.yaml:9: teams.monitors: this must be a list: one entry a line, each after a dash"},
		"key of another form": {"teams:\n", "teams:\n  monitor: {principal_name: monitor@example.com, refresh_token_file: token}\n",
			"bridge.yaml:6: teams.monitor: this key is not used: write monitors, a list with principal_name and client_secret of each, with store and store_key beside it; "},
		"no store": {"  store: monitors.db\n", "",
			"bridge.yaml:5: teams.store: is missing: name a file, such as monitors.db, in which the sign-ins of the monitors are kept"},
		"no store key": {"  store_key: {env: STORE_KEY}\n", "",
			"bridge.yaml:5: teams.store_key: is missing: the store holds secrets, and this key seals them: make one with openssl rand -base64 32"},
		"short store key": {"{env: STORE_KEY}", "{value: hunter2}",
			"bridge.yaml:11: teams.store_key: the key is not 32 bytes as base64 or hexadecimal digits (it has 7 characters): make one with GenerateKey"},
		"spares without monitors": {"  monitors: [{principal_name: monitor@example.com, client_secret: {env: MONITOR_SECRET}}]\n  store: monitors.db\n  store_key: {env: STORE_KEY}\n", "  spares: 1\n",
			"bridge.yaml:9: teams.spares: there are no monitors that it could be for: give monitors and store, or remove it"},
		"monitor without URL": {"public_url: https://presence.example.com\n", "",
			"bridge.yaml:8: teams.monitors: monitors need public_url, where Microsoft Graph delivers its notifications: set public_url, or remove monitors and store"},
		"region": {"region: eu", "region: E U",
			`bridge.yaml:13: cloudlink.region: "E U" is not a region: use us, eu or ap, or leave it out`},
		"service": {"region: eu", "services: {presense: https://x.example.com}",
			"bridge.yaml:13: cloudlink.services.presense: there is no such service: did you mean presence?"},
		"both credentials": {"client_id: bridge", "client_id: bridge\n    username: x",
			"bridge.yaml:17: cloudlink.credential.username: there is a client_id too: use one or the other"},
		"half a user": {"client_id: bridge\n    secret: {env: CLOUDLINK_SECRET}", "username: x@example.com",
			"bridge.yaml:15: cloudlink.credential.password: is missing: write {env: NAME} or {file: PATH}"},
		"telephone system": {"region: eu", "pbx: {sites: {a: MiVoice Bussiness}}",
			`bridge.yaml:13: cloudlink.pbx.sites.a: "MiVoice Bussiness" is not a telephone system: did you mean MiVoice Business?`},
		"rate": {"region: eu", "requests_per_second: -3",
			`bridge.yaml:13: cloudlink.requests_per_second: "-3" is not a number above zero: leave the key out for the default`},
		"old MiCollab": {"version: 9.8 SP1", "version: 9.8",
			"bridge.yaml:20: micollab.version: MiCollab version too old: this server is 9.8, and Teams presence came with 9.8 SP1: upgrade MiCollab to 9.8 SP1 or later"},
		"no version": {"version: 9.8 SP1", "version: nine",
			`bridge.yaml:20: micollab.version: "nine" is not a MiCollab version: write it like "9.8 SP1" or "9.8.1.26"`},
		"integration off": {"teams_integration: true", "teams_integration: false",
			`bridge.yaml:21: micollab.teams_integration: MiCollab's Microsoft Teams integration is off: turn on "MS Teams Configuration Settings" in the MiCollab Client Service's administration`},
		"neither true nor false": {"password_set: true", "password_set: maybe",
			`bridge.yaml:23: micollab.password_set: "maybe" is neither true nor false`},
		"no MiCollab": {"micollab:" + micollab, "",
			"bridge.yaml:1: micollab: this section is missing: direction is bidirectional; see bridge.sample.yaml"},
		"status names": {"micollab:\n", "micollab:\n  names: {Away: Busy}\n",
			`bridge.yaml:19: micollab.names: Names gives "Away" the name of the status "Busy": give the latter another name too`},
		"lifetime": {"direction: bidirectional", "direction: bidirectional\noptions: {session_lifetime: 1m}",
			"bridge.yaml:2: options.session_lifetime: 1m0s is outside of what Teams allows: use 5m0s to 4h0m0s"},
		"duration": {"direction: bidirectional", "direction: bidirectional\noptions: {echo_window: 15}",
			`bridge.yaml:2: options.echo_window: "15" is not a length of time: write it like 10m, 90s or 1h30m`},
		"negative duration": {"direction: bidirectional", "direction: bidirectional\noptions: {echo_window: -1s}",
			`bridge.yaml:2: options.echo_window: "-1s" is not above zero: leave the key out for the default`},
		"rule in a block": {"direction: bidirectional", "direction: bidirectional\nmapping:\n  text: |\n    phone idle -> clear\n    phone flying -> clear",
			`bridge.yaml:5: mapping.text: "phone flying -> clear": `},
		"rules without a file": {"direction: bidirectional", "direction: bidirectional\nmapping: {file: /nowhere/rules}",
			"bridge.yaml:2: mapping.file: stat /nowhere/rules: no such file or directory: correct the path or the file's permissions"},
		"list": {"direction: bidirectional", "direction: bidirectional\nmapping: {groups: {sales: {members: ann}}}",
			"bridge.yaml:2: mapping.groups.sales.members: this must be a list: one entry a line, each after a dash"},
		"text in place of keys": {"direction: bidirectional", "direction: bidirectional\noptions: fast",
			"bridge.yaml:2: options: this must be keys and values, each on a line of its own"},
		"keys in place of text": {"region: eu", "region: {a: b}",
			"bridge.yaml:13: cloudlink.region: this must be a text, not a list or keys of its own"},
		"tab": {"region: eu", "\tregion: eu",
			"bridge.yaml:13: this is not YAML: found character that cannot start any token"},
		"authorities": {"direction: bidirectional", "direction: bidirectional\nca_file: " + emptyFile(t),
			"bridge.yaml:2: ca_file: there is no certificate in this file: it must hold PEM blocks that begin with BEGIN CERTIFICATE"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, complete, test.old)
			_, _, err := Load("bridge.yaml", []byte(strings.Replace(complete, test.old, test.new, 1)), environment)
			require.Error(t, err)
			assert.Contains(t, "\n"+err.Error(), "\n"+test.want)
			assert.NotContains(t, err.Error(), "hunter2", "a secret is not repeated")
		})
	}
}

func emptyFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "authorities.pem")
	require.NoError(t, os.WriteFile(path, []byte("none"), 0o600))
	return path
}

func TestAllMistakesAreReportedAtOnceInOrder(t *testing.T) {
	text := strings.NewReplacer("TEAMS_SECRET", "X", "CLOUDLINK_SECRET", "Y", "region: eu", "regoin: eu", "9.8 SP1", "9.7", "direction: bid", "direktion: bid").Replace(complete)
	_, _, err := Load("bridge.yaml", []byte(text), environment)
	var lines []string
	for _, err := range Unjoin(err) {
		lines = append(lines, strings.SplitN(err.Error(), ": ", 2)[0])
	}
	assert.Equal(t, []string{"bridge.yaml:1", "bridge.yaml:8", "bridge.yaml:13", "bridge.yaml:17", "bridge.yaml:20"}, lines)
}

func TestEmptyConfiguration(t *testing.T) {
	for text, want := range map[string]string{
		"":            "bridge.yaml: the file is empty: start from bridge.sample.yaml",
		"# nothing\n": "bridge.yaml: the file is empty: start from bridge.sample.yaml",
		"- a":         "bridge.yaml:1: this must be keys and values, each on a line of its own",
		"name: x":     "bridge.yaml:1: teams: this section is missing: it says how the bridge reaches Microsoft Graph; see bridge.sample.yaml",
		"teams: null": "bridge.yaml:1: cloudlink: this section is missing: it says how the bridge reaches Mitel CloudLink; see bridge.sample.yaml",
	} {
		_, _, err := Load("bridge.yaml", []byte(text), environment)
		assert.ErrorContains(t, err, want, "%q", text)
	}
}

func TestWarnings(t *testing.T) {
	open := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(open, []byte("from a file\n"), 0o600))
	require.NoError(t, os.Chmod(open, 0o644))
	text := strings.NewReplacer("{env: TEAMS_SECRET}", "{value: plain}", "{env: CLOUDLINK_SECRET}", "{file: "+open+"}").Replace(complete)
	s, warnings, err := Load("bridge.yaml", []byte(text), environment)
	require.NoError(t, err)
	assert.Equal(t, "plain", s.Teams.Secret.Reveal())
	assert.Equal(t, "from a file", s.CloudLink.Secret.Reveal())
	var lines []string
	for _, w := range warnings {
		lines = append(lines, w.Error())
	}
	assert.Equal(t, []string{
		"bridge.yaml:8: teams.secret: the secret stands in this file: prefer env or file, and keep the file from others",
		fmt.Sprintf("bridge.yaml:17: cloudlink.credential.secret: every account of this machine can read %s: chmod 600", open),
	}, lines)
}

func TestNationalCloudHasNoNotifications(t *testing.T) {
	s, warnings, err := Load("bridge.yaml", []byte(strings.Replace(complete, "teams:\n", "teams:\n  cloud: dod\n", 1)), environment)
	require.NoError(t, err)
	assert.Equal(t, graph.USGovernmentDoD(), s.Teams.Cloud)
	require.Len(t, warnings, 1)
	assert.Contains(t, warnings[0].Error(), "the monitors stay idle and presence is read in bulk")
}

func TestSampleIsInOrder(t *testing.T) {
	text, err := os.ReadFile(sampleFile)
	require.NoError(t, err)
	s, warnings, err := Load(sampleFile, text, filled)
	require.NoError(t, err)
	assert.Empty(t, warnings)
	_, err = Assemble(s, &Extras{})
	require.NoError(t, err)

	assert.Equal(t, 10*time.Minute, s.Bridge.SessionLifetime)
	assert.Equal(t, presence.MiVoiceOffice400, s.CloudLink.Sites["branch-office"])
	assert.Equal(t, []string{"support"}, s.Groups["ann@example.com"])
	support := s.Bridge.Mapping.For(presence.User{Email: "ann@example.com", Groups: s.Groups["ann@example.com"]})
	status, _ := support.Status(presence.Presence{Availability: presence.Away, Activity: presence.ActivityAway})
	assert.Equal(t, presence.StatusBeRightBack, status)
	_, effect := s.Bridge.Mapping.For(presence.User{Email: "chief@example.com"}).Session(presence.Line{State: presence.LineIdle, DoNotDisturb: true})
	assert.Equal(t, presence.Clear, effect)
	session, _ := s.Bridge.Mapping.For(presence.User{}).Session(presence.Line{State: presence.LineRinging})
	assert.Equal(t, "Busy/InACall", session.String())
}

func TestCertificateConfiguration(t *testing.T) {
	certificate, key := newCertificate(t)
	text := strings.Replace(complete, "  secret: {env: TEAMS_SECRET}\n", "  certificate: {file: "+certificate+", key_file: "+key+"}\n", 1)
	s, _, err := Load("bridge.yaml", []byte(text), environment)
	require.NoError(t, err)
	assert.NotNil(t, s.Teams.Certificate)
	_, err = Assemble(s, &Extras{})
	require.NoError(t, err)

	_, _, err = Load("bridge.yaml", []byte(strings.Replace(text, key, certificate, 1)), environment)
	require.ErrorContains(t, err, "bridge.yaml:8: teams.certificate.file: certificate and key do not belong together")
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(complete))
	sample, err := os.ReadFile(sampleFile)
	require.NoError(f, err)
	f.Add(sample)
	for _, text := range []string{"", "a", "- b", "teams: &a {monitors: [*a]}", "teams: {monitors: [a, {b: c}, [d]]}", "<<: {a: b}", "? [a, b]\n: c", "a: !!binary x", "mapping: {text: \"phone idle -> clear\\nx\"}", "teams: {secret: {env: [x]}}", "%YAML 1.2\n---\na: b\n---\nc: d",
		complete + "verify: {gateway_integration: true, pbx: [a, MX-ONE], micollab_reachable: no, micollab_port: 1e9, probe_user: a@b}"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, _, err := Load("fuzz.yaml", text, filled)
		if err != nil {
			assert.NotContains(t, err.Error(), "s3cret-value")
			for _, err := range Unjoin(err) {
				assert.True(t, strings.HasPrefix(err.Error(), "fuzz.yaml"), err.Error())
			}
			return
		}
		assert.NotNil(t, s.Bridge.Mapping)
	})
}

// TestSampleNamesTheDelegatedPermissions: Entra refuses a sign-in that asks for
// more than was consented to.
func TestSampleNamesTheDelegatedPermissions(t *testing.T) {
	sample, err := os.ReadFile(sampleFile)
	require.NoError(t, err)
	_, list, found := strings.Cut(string(sample), "an asterisk:\n")
	require.True(t, found)
	list, _, found = strings.Cut(list, "\n  tenant_id:")
	require.True(t, found)
	named := strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(" #,\n", r) })
	var want []string
	for _, p := range graph.DelegatedScopes() {
		name := p.Name
		if p.AdminConsent {
			name += "*"
		}
		want = append(want, name)
	}
	assert.Equal(t, want, named)
}
