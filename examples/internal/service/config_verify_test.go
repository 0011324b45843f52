package service

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/presence"
)

func TestVerifyConfiguration(t *testing.T) {
	load := func(more string) *Settings {
		s, warnings, err := Load("/etc/acme/bridge.yaml", []byte(complete+more), environment)
		require.NoError(t, err)
		assert.Empty(t, warnings)
		return s
	}
	none := load("").Checks
	assert.Equal(t, CheckSettings{Source: "the file bridge.yaml"}, none, "what nobody has said is not known")

	s := load("verify: {gateway_integration: false, pbx: [mivoice business, MX-ONE], micollab_port: 8443, probe_user: Test@example.com, accepted: [users-unmatched]}\n")
	require.NotNil(t, s.Checks.GatewayIntegration)
	assert.False(t, *s.Checks.GatewayIntegration)
	assert.Equal(t, []presence.PBX{presence.MiVoiceBusiness, presence.MXONE}, s.Checks.PBX)
	assert.Equal(t, 8443, s.Checks.MiCollabPort)
	assert.False(t, s.Checks.MiCollabElsewhere)
	assert.Equal(t, "Test@example.com", s.Checks.ProbeUser)
	assert.Equal(t, []string{"users-unmatched"}, s.Checks.Accepted)

	assert.True(t, load("verify: {micollab_reachable: false}\n").Checks.MiCollabElsewhere)
	assert.False(t, load("verify: {micollab_reachable: true}\n").Checks.MiCollabElsewhere)
}

// The program verify asks there before it needs anything else of the file.
func TestStatusAddressNeedsNothingElse(t *testing.T) {
	for text, want := range map[string]string{
		"status: 127.0.0.1:8081\nteams: {secret: {env: NOT_SET}}\n": "127.0.0.1:8081",
		"status: '[::1]:8081'": "[::1]:8081",
		"name: acme":           "",
		"status: 192.0.2.1:80": "", // of another machine
		"status: 8081":         "",
		"status: {a: b}":       "",
		"- status":             "",
		"status: [":            "",
		"":                     "",
	} {
		assert.Equal(t, want, StatusAddress([]byte(text)), text)
	}
}

func TestEveryMistakeOfVerifyHasItsLineAndRemedy(t *testing.T) {
	for text, want := range map[string]string{
		"gateway_integration: maybe":                      `bridge.yaml:25: verify.gateway_integration: "maybe" is neither true nor false`,
		"gateway_integraton: true":                        "bridge.yaml:25: verify.gateway_integraton: there is no such key: did you mean gateway_integration?",
		"pbx: MX-ONE":                                     "bridge.yaml:25: verify.pbx: this must be a list: one entry a line, each after a dash",
		"pbx: [MX-OEN]":                                   `bridge.yaml:25: verify.pbx: "MX-OEN" is not a telephone system: did you mean MX-ONE?`,
		"pbx: [MX-ONE, mx-one]":                           `bridge.yaml:25: verify.pbx: "mx-one" is in the list twice: remove one of them`,
		"micollab_reachable: 3":                           `bridge.yaml:25: verify.micollab_reachable: "3" is neither true nor false`,
		"micollab_port: 65536":                            "bridge.yaml:25: verify.micollab_port: 65536 is not a port: use one from 1 to 65535",
		"micollab_port: 0":                                `bridge.yaml:25: verify.micollab_port: "0" is not a number above zero`,
		"micollab_port: 44.3":                             "bridge.yaml:25: verify.micollab_port: 44.3 is not a whole number",
		"micollab_port: 443\n  micollab_reachable: false": "bridge.yaml:25: verify.micollab_port: MiCollab is not tried, because micollab_reachable is false: remove one of the two",
		"accepted: [users-unmached]":                      `bridge.yaml:25: verify.accepted: there is no check "users-unmached": did you mean users-unmatched?`,
		"accepted: [users-limited, users-limited]":        `bridge.yaml:25: verify.accepted: "users-limited" is in the list twice: remove one of them`,
		"probe_user: ada":                                 `bridge.yaml:25: verify.probe_user: "ada" is neither an e-mail address nor an Entra object id: write it like test@example.com`,
	} {
		_, _, err := Load("bridge.yaml", []byte(complete+"verify:\n  "+text+"\n"), environment)
		require.Error(t, err, text)
		assert.Contains(t, "\n"+err.Error(), "\n"+want)
	}
	_, _, err := Load("bridge.yaml", []byte(complete+"verify:\n  pbx: [x]\n  micollab_port: x\n  probe_user: x\n"), environment)
	assert.Len(t, Unjoin(err), 3, "all at once")
}

// TestSampleExplainsEveryKeyOfVerify: those that are commented out, too.
func TestSampleExplainsEveryKeyOfVerify(t *testing.T) {
	text, err := os.ReadFile(sampleFile)
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "\nverify:\n")
	require.True(t, found)
	var lines []string
	for line := range strings.Lines(section) {
		if line = strings.TrimSuffix(line, "\n"); !strings.HasPrefix(line, "  ") {
			break
		}
		lines = append(lines, line)
	}
	_, _, err = Load("bridge.yaml", []byte(complete+"verify: {x: y}\n"), environment)
	_, keys, found := strings.Cut(err.Error(), "the keys here are ")
	require.True(t, found, err.Error())
	var all strings.Builder
	for key := range strings.SplitSeq(keys, ", ") {
		i := slices.IndexFunc(lines, func(line string) bool {
			return strings.HasPrefix(strings.TrimPrefix(strings.TrimSpace(line), "# "), key+":")
		})
		require.GreaterOrEqual(t, i, 1, key)
		assert.Contains(t, lines[i-1], "  # ", "what it is, of %s", key)
		all.WriteString("  " + strings.TrimPrefix(strings.TrimSpace(lines[i]), "# ") + "\n")
	}
	s, _, err := Load("bridge.yaml", []byte(complete+"verify:\n"+all.String()), environment)
	require.NoError(t, err, "with all of them")
	assert.True(t, *s.Checks.GatewayIntegration)
	assert.Equal(t, 443, s.Checks.MiCollabPort)
	assert.NotEmpty(t, s.Checks.ProbeUser)
	assert.NotEmpty(t, s.Checks.PBX)
}
