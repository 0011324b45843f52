package cloudlink

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPlatformURL(t *testing.T) {
	for _, tt := range []struct {
		platform Platform
		service  string
		want     string
	}{
		{Platform{}, ServiceMedia, "https://media.api.mitel.io/2017-09-01"},
		{Platform{Region: RegionUnitedStates}, ServiceAuthentication, "https://authentication.us.api.mitel.io/2017-09-01"},
		{Platform{Region: RegionEurope}, ServiceAdmin, "https://admin.eu.api.mitel.io/2017-09-01"},
		{Platform{Region: RegionSandboxUnitedStates}, ServiceNotifications, "https://notifications.us.dev.api.mitel.io/2017-09-01"},
		{Platform{Region: "us-west-2.us"}, ServicePresence, "https://presence.us-west-2.us.api.mitel.io/2017-09-01"},
		{Platform{Region: "eu", BaseURL: func(s string) string { return "http://127.0.0.1:1/" + s + "/v/" }}, ServiceMedia, "http://127.0.0.1:1/media/v"},
	} {
		assert.Equal(t, tt.want, tt.platform.URL(tt.service))
		_, err := tt.platform.base(tt.service)
		assert.NoError(t, err)
	}
}

func TestPlatformRefusesWhatIsNoAddress(t *testing.T) {
	for _, region := range []Region{"EU", "eu/", "e u", ".eu", "eu.", "evil.example/", "-", "a..b"} {
		_, err := Platform{Region: region}.bases(ServiceMedia, ServiceAdmin)
		assert.ErrorContains(t, err, "region", "%q", region)
	}
	for _, u := range []string{"", "127.0.0.1", "ftp://host/", "https://user:canary@host/", "https://host/?q=canary", "https://host/#f", "https:///path", "http://a b/"} {
		_, err := Platform{BaseURL: func(string) string { return u }}.bases(ServiceMedia)
		require.ErrorContains(t, err, `"media"`, "%q", u)
		assert.NotContains(t, err.Error(), "canary")
	}
}

func TestNewReportsAllFaultsAtOnce(t *testing.T) {
	_, err := New("not an id", nil, &Options{
		Region: "EU!", Application: "a;b", RequestsPerSecond: -1, AttemptTimeout: -1, PageSize: -1, UserAvailability: "dnd",
	})
	for _, part := range []string{"region", "account id", "token source", "application name", "RequestsPerSecond", "AttemptTimeout", "PageSize", "UserAvailability"} {
		assert.ErrorContains(t, err, part)
	}
	c, err := New("123456", &fixedToken{}, nil)
	require.NoError(t, err)
	assert.Equal(t, "123456", c.AccountID())
}

func TestRegionOfAnIdentity(t *testing.T) {
	for domain, want := range map[string]Region{
		testAccount + ".us.api.mitel.io":                  RegionUnitedStates,
		testAccount + ".eu.api.mitel.io":                  RegionEurope,
		testAccount + ".ap.api.mitel.io":                  RegionAsiaPacific,
		testAccount + ".dev.api.mitel.io":                 RegionSandbox,
		testAccount + ".us.dev.api.mitel.io":              RegionSandboxUnitedStates,
		testAccount + ".us-west-2.us.api.mitel.io":        "us-west-2.us",
		strings.ToUpper(testAccount + ".eu.api.mitel.io"): RegionEurope,
		"100001.eu.api.mitel.io":                          RegionEurope,

		"":                                            "",
		testAccount + ".api.mitel.io":                 "", // the platform tells no region
		".us.api.mitel.io":                            "",
		"us.api.mitel.io":                             "",
		testAccount + "..api.mitel.io":                "",
		testAccount + "..us.api.mitel.io":             "",
		testAccount + ".us..api.mitel.io":             "",
		testAccount + ".us.api.mitel.io.":             "",
		testAccount + ".us.api.mitel.io.evil.example": "",
		testAccount + ".us.api.mitel.io.evil.example/.api.mitel.io": "",
		testAccount + ".us.apixmitel.io":                            "",
		"https://x.us.api.mitel.io":                                 "",
		"user@evil.example#.us.api.mitel.io":                        "",
		testAccount + ".u s.api.mitel.io":                           "",
		testAccount + ".us\n.api.mitel.io":                          "",
		testAccount + ".-us.api.mitel.io":                           "",
		testAccount + ".üs.api.mitel.io":                            "",
		strings.Repeat("a.", 1<<16) + ".us.api.mitel.io":            "",
		"x" + strings.Repeat(".a", 200) + ".api.mitel.io":           "",
	} {
		got, ok := Identity{Domain: domain}.Region()
		assert.Equal(t, want, got, "%.80q", domain)
		assert.Equal(t, want != "", ok, "%.80q", domain)
	}
}

func FuzzIdentityRegion(f *testing.F) {
	f.Add(testAccount + ".us.dev.api.mitel.io")
	f.Add(testAccount + ".us.api.mitel.io.evil.example")
	f.Add("..api.mitel.io")
	f.Fuzz(func(t *testing.T, domain string) {
		region, ok := Identity{Domain: domain}.Region()
		if !ok {
			require.Empty(t, region)
			return
		}
		base, err := Platform{Region: region}.base(ServiceMedia)
		require.NoError(t, err, "a region that is told can be used")
		require.True(t, strings.HasSuffix(base.Host, ".api.mitel.io"))
	})
}
