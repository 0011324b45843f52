package cloudlink

import (
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
