package micollab_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/micollab"
	"github.com/presencebridge/presencebridge/presence"
)

func readyServer() micollab.Server {
	return micollab.Server{
		Address: "micollab.example.com", Version: micollab.Minimum(),
		TeamsIntegration: true, CloudLinkIntegration: true, PasswordSet: true,
	}
}

func TestReadyServer(t *testing.T) {
	for _, address := range []string{"micollab.example.com", "micollab.example.com.", "192.0.2.10", "2001:db8::10", "mi-collab.local"} {
		s := readyServer()
		s.Address = address
		assert.NoError(t, s.Ready(), address)
	}
}

func TestEachConditionIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*micollab.Server)
		want   error
	}{
		"no address":            {func(s *micollab.Server) { s.Address = " " }, micollab.ErrAddressMissing},
		"address with a scheme": {func(s *micollab.Server) { s.Address = "https://micollab.example.com" }, micollab.ErrAddressInvalid},
		"address with a port":   {func(s *micollab.Server) { s.Address = "192.0.2.10:443" }, micollab.ErrAddressInvalid},
		"mistyped IP address":   {func(s *micollab.Server) { s.Address = "192.0.2.300" }, micollab.ErrAddressInvalid},
		"unspecified address":   {func(s *micollab.Server) { s.Address = "0.0.0.0" }, micollab.ErrAddressInvalid},
		"name without a domain": {func(s *micollab.Server) { s.Address = "micollab" }, micollab.ErrAddressInvalid},
		"no version":            {func(s *micollab.Server) { s.Version = micollab.Version{} }, micollab.ErrVersionMissing},
		"9.8 without SP1":       {func(s *micollab.Server) { s.Version = micollab.Version{Major: 9, Minor: 8, Build: 33} }, micollab.ErrVersionTooOld},
		"Teams off":             {func(s *micollab.Server) { s.TeamsIntegration = false }, micollab.ErrTeamsIntegrationOff},
		"CloudLink off":         {func(s *micollab.Server) { s.CloudLinkIntegration = false }, micollab.ErrCloudLinkIntegrationOff},
		"no password":           {func(s *micollab.Server) { s.PasswordSet = false }, micollab.ErrPasswordMissing},
	} {
		t.Run(name, func(t *testing.T) {
			s := readyServer()
			c.change(&s)
			err := s.Ready()
			require.ErrorIs(t, err, c.want)
			var condition *micollab.ConditionError
			require.ErrorAs(t, err, &condition)
			assert.NotEmpty(t, condition.Remedy)
			assert.Contains(t, err.Error(), condition.Remedy)
			assert.Equal(t, errors.Is(c.want, micollab.ErrVersionTooOld), errors.Is(err, presence.ErrUnsupported))
		})
	}
}

func TestAllConditionsAreNamedAtOnce(t *testing.T) {
	err := micollab.Server{}.Ready()
	for _, want := range []error{
		micollab.ErrAddressMissing, micollab.ErrVersionMissing, micollab.ErrTeamsIntegrationOff,
		micollab.ErrCloudLinkIntegrationOff, micollab.ErrPasswordMissing,
	} {
		assert.ErrorIs(t, err, want)
	}
}

func TestTooOldSaysWhy(t *testing.T) {
	s := readyServer()
	s.Version, _ = micollab.ParseVersion("9.7")
	err := s.Ready()
	assert.ErrorIs(t, err, presence.ErrUnsupported)
	assert.EqualError(t, err, "micollab: MiCollab version too old: this server is 9.7, and Teams presence came with 9.8 SP1: upgrade MiCollab to 9.8 SP1 or later")
}
