package simulator

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestNotificationsGoToLoopbackAddressesOnly(t *testing.T) {
	d := webhookDialer{}
	for _, address := range []string{"192.0.2.1:443", "webhook.test:443", "[2001:db8::1]:80", "localhost.webhook.test:80"} {
		_, err := d.dial(t.Context(), "tcp", address)
		assert.ErrorContains(t, err, "is not a loopback address", address)
		_, err = d.dialTLS(t.Context(), "tcp", address)
		assert.ErrorContains(t, err, "is not a loopback address", address)
	}
}
