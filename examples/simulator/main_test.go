package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/presencebridge/presencebridge/examples/internal/simulator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPrintsWhereEverythingIsAndServesUntilInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	var stderr bytes.Buffer
	done := make(chan int)
	go func() {
		done <- run(ctx, []string{"-addr", "127.0.0.1:0", "-tls", "-redirect", "http://localhost"}, writer, &stderr)
		_ = writer.Close()
	}()
	var info simulator.Info
	require.NoError(t, json.NewDecoder(reader).Decode(&info))
	go func() { _, _ = io.Copy(io.Discard, reader) }()

	certificate, err := os.ReadFile(info.CertificateFile)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(certificate))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, info.Control, nil)
	require.NoError(t, err)
	response, err := (&http.Client{Transport: transport}).Do(request)
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, response.StatusCode)
	require.NoError(t, response.Body.Close())

	interrupt()
	assert.Equal(t, exitOK, <-done)
	assert.Contains(t, stderr.String(), "GET "+info.Control)
	assert.NoFileExists(t, info.CertificateFile)
}

func TestExitCodes(t *testing.T) {
	tests := []struct {
		name string
		args []string
		code int
		says string
	}{
		{"help", []string{"-help"}, exitOK, "-allow-remote"},
		{"an unknown flag", []string{"-port", "1"}, exitUsage, "-port"},
		{"an argument", []string{"127.0.0.1:9400"}, exitUsage, "there are flags only"},
		{"an address that others reach", []string{"-addr", ":9400"}, exitFault, "use a loopback address"},
		{"a certificate that cannot be written", []string{"-addr", "127.0.0.1:0", "-tls", "-ca", "/nowhere/a.pem"}, exitFault, "certificate"},
		{"too many people", []string{"-addr", "127.0.0.1:0", "-people", "100000"}, exitUsage, "-people is 100000: use 0 to 1600"},
		{"a negative scale", []string{"-addr", "127.0.0.1:0", "-session-time-scale", "-1"}, exitFault, "SessionTimeScale"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stderr bytes.Buffer
			assert.Equal(t, tt.code, run(t.Context(), tt.args, io.Discard, &stderr))
			assert.Contains(t, stderr.String(), tt.says)
		})
	}
}
