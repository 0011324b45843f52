package verify

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// validating answers the handshake as it should be.
func validating(w http.ResponseWriter, r *http.Request) {
	token := r.URL.Query().Get("validationToken")
	if r.Method != http.MethodPost || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/plain") || token == "" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, token)
}

// at makes a check against a server for the notification URL, within a bubble.
func (o *outside) at(t *testing.T, p *plant, code Code, certificate tls.Certificate, handler http.HandlerFunc) Result {
	t.Helper()
	o.serve(t, "bridge.example.com", &certificate, handler)
	return p.oneOf(t, code, SystemOptions{HTTPClient: o.client}, nil)
}

func TestNotificationHandshake(t *testing.T) {
	answer := func(status int, contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	token := func(change func(string) string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, change(r.URL.Query().Get("validationToken")))
		}
	}
	endless := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, r.URL.Query().Get("validationToken")+strings.Repeat("x", 1<<20))
		<-r.Context().Done() // the end of the answer never comes
	}
	slow := func(by time.Duration) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(by):
				validating(w, r)
			case <-r.Context().Done():
			}
		}
	}
	for _, test := range []struct {
		name     string
		handler  http.HandlerFunc
		status   Status
		sentence string
		remedy   string
	}{
		{"right", validating, Passed, "", ""},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://login.example.com/sign-in?back=very-confidential", http.StatusFound)
		}, Failed, "redirects to login.example.com (302 Found)", "without a login page"},
		{"a redirect within", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/other", http.StatusMovedPermanently)
		}, Failed, "redirects to another path (301 Moved Permanently)", ""},
		{"a sign-in", answer(401, "text/html", "<html>"), Failed, "lets nobody in without a sign-in (401 Unauthorized)", "Exempt the path"},
		{"a firewall", answer(403, "text/html", "<html>"), Failed, "(403 Forbidden)", "Exempt the path"},
		{"another path", answer(404, "text/html", "<html>"), Failed, "does not lead to the bridge's notification handler (404 Not Found)", "Lead the path"},
		{"a proxy without a service", answer(502, "text/html", "<html>"), Failed, "answers with an error (502 Bad Gateway)", "which may not reach the service"},
		{"another success", answer(202, "text/plain", ""), Failed, "answers 202 Accepted, and Microsoft Graph wants 200", ""},
		{"a page", answer(200, "text/html; charset=utf-8", "<html>very-confidential"), Failed, `the content type "text/html; charset=utf-8", and Microsoft Graph wants text/plain`, ""},
		{"nothing", token(func(string) string { return "" }), Failed, "it returns nothing", ""},
		{"not decoded", token(url.QueryEscape), Failed, "it returns it URL-encoded", ""},
		{"decoded twice", token(func(s string) string { s, _ = url.QueryUnescape(s); return s }), Failed, "it returns something else", ""},
		{"a line end", token(func(s string) string { return s + "\n" }), Failed, "it returns it with white space around it", ""},
		{"quoted", token(func(s string) string { return `"` + s + `"` }), Failed, "it returns it in quotation marks", ""},
		{"endless", endless, Failed, "it returns something else", ""},
		{"slow", slow(4 * time.Second), Warned, "took 4s to answer", "what is slow"},
		{"just in time", slow(3 * time.Second), Passed, "", ""},
		{"too slow", slow(11 * time.Second), Failed, "gave no answer within 10s", "waits no longer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOutside(t)
				r := o.at(t, newPlant().unproved(), CodeNotificationHandshake, o.trusted.issue(t, -day, 90*day, "bridge.example.com"), test.handler)
				assert.Equal(t, test.status, r.Status, r.Sentence)
				assert.Contains(t, r.Sentence, test.sentence)
				assert.Contains(t, r.Remedy, test.remedy)
				assert.Equal(t, "not within the last day", evidenceOf(r, "seen from outside"))
				assert.NotContains(t, fmt.Sprint(r), "confidential")
				assert.NotContains(t, fmt.Sprint(r), "System check of presencebridge", "the token of the handshake is nobody's business")
			})
		})
	}
}

// The parameters of the notification URL come along, as they do with Microsoft Graph.
func TestNotificationHandshakeKeepsTheQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutside(t)
		certificate := o.trusted.issue(t, -day, 90*day, "bridge.example.com")
		var query url.Values
		o.serve(t, "bridge.example.com", &certificate, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			query = r.URL.Query()
			validating(w, r)
		}))
		r := newPlant().oneOf(t, CodeNotificationHandshake, SystemOptions{HTTPClient: o.client}, func(_ *SystemSources, s *SystemSettings) { s.NotificationURL += "?tenant=a&key=b" })
		assert.Equal(t, Passed, r.Status, r.Sentence)
		assert.Contains(t, evidenceOf(r, "seen from outside"), "Microsoft Graph notified monitor1@example.com")
		assert.Equal(t, "a", query.Get("tenant"))
		assert.Equal(t, "b", query.Get("key"))
	})
}

// A network may not lead to its own public address, and a firewall may let in
// nobody but Microsoft: what came from outside is worth more then.
func TestNotificationHandshakeThatOnlyMicrosoftCanMake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutside(t)
		r := newPlant().oneOf(t, CodeNotificationHandshake, SystemOptions{HTTPClient: o.client}, nil)
		assert.Equal(t, Warned, r.Status)
		assert.Contains(t, r.Sentence, `cannot be reached from here`)
		assert.Contains(t, r.Sentence, "; but Microsoft Graph notified monitor1@example.com")
		r = newPlant().unproved().oneOf(t, CodeNotificationHandshake, SystemOptions{HTTPClient: o.client}, nil)
		assert.Equal(t, Failed, r.Status)
		assert.Contains(t, r.Remedy, "listens there")

		r = o.at(t, newPlant(), CodeNotificationHandshake, o.trusted.issue(t, -day, 90*day, "bridge.example.com"), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
		assert.Equal(t, Warned, r.Status)
		assert.Contains(t, r.Remedy, "only the addresses of Microsoft")
	})
}

// What takes the connection and then says nothing can be reached from here, so that
// Microsoft Graph gets no further either. The certificate was seen all the same.
func TestNotificationHandshakeThatIsNotAnswered(t *testing.T) {
	for _, test := range []struct {
		name, sentence string
		handler        http.HandlerFunc
	}{
		{"hangs", "gave no answer within 10s", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
		{"hangs up", "takes the connection and does not answer", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOutside(t)
				certificate := o.trusted.issue(t, -day, 90*day, "bridge.example.com")
				r := o.at(t, newPlant(), CodeNotificationHandshake, certificate, test.handler)
				assert.Equal(t, Failed, r.Status)
				assert.Contains(t, r.Sentence, test.sentence)
				assert.NotEmpty(t, r.Remedy)
				assert.Contains(t, evidenceOf(r, "seen from outside"), "Microsoft Graph notified monitor1@example.com")
			})
			synctest.Test(t, func(t *testing.T) {
				o := newOutside(t)
				certificate := o.trusted.issue(t, -day, 90*day, "bridge.example.com")
				r := o.at(t, newPlant(), CodeNotificationCertificate, certificate, test.handler)
				assert.Equal(t, Passed, r.Status, r.Sentence)
			})
		})
	}
}

// The checks of the certificate and of the handshake send one request together.
func TestNotificationURLIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutside(t)
		certificate := o.trusted.issue(t, -day, 90*day, "bridge.example.com")
		requests := 0
		o.serve(t, "bridge.example.com", &certificate, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests++
			validating(w, r)
		}))
		p := newPlant()
		for _, r := range p.only(t, &SystemOptions{HTTPClient: o.client}, CodeNotificationCertificate, CodeNotificationHandshake) {
			assert.Equal(t, Passed, r.Status, r.Sentence)
		}
		assert.Equal(t, 1, requests)
	})
}

// transport is a transport in one function.
type transport func(*http.Request) (*http.Response, error)

func (a transport) RoundTrip(r *http.Request) (*http.Response, error) { return a(r) }

// A real connection on this machine, with a resolver and a network of its own.
func TestNotificationChecksOverLoopback(t *testing.T) {
	o := newOutside(t)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{Handler: http.HandlerFunc(validating), ReadHeaderTimeout: time.Minute}
	certificate := o.trusted.issue(t, -day, 90*day, "bridge.example.com")
	go func() {
		_ = server.Serve(tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}))
	}()
	defer func() { assert.NoError(t, server.Close()) }()
	o.client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, listener.Addr().String())
	}
	for _, r := range newPlant().only(t, &SystemOptions{HTTPClient: o.client}, CodeNotificationURL, CodeNotificationAddress, CodeNotificationCertificate, CodeNotificationHandshake) {
		assert.Equal(t, Passed, r.Status, r.Name()+": "+r.Sentence)
	}
}

// Whatever is answered, it is right only if it is what Microsoft Graph wants, and
// nothing of the body is told.
func FuzzValidationAnswer(f *testing.F) {
	const token = "a token: +/=%41"
	f.Add(200, "text/plain; charset=utf-8", "", token)
	f.Add(200, "text/plain", "", "a+token%3A+%2B%2F%3D%2541")
	f.Add(302, "text/html", "https://login.example.com/?back=x", "")
	f.Add(302, "", "://", "")
	f.Add(200, "text/html;;", "", "<html>")
	f.Add(-1, "", "", "")
	f.Fuzz(func(t *testing.T, status int, contentType, location, body string) {
		v := validation{token: token, status: status, contentType: contentType, location: location, body: body}
		sentence, what := v.wrong()
		if media, _, err := mime.ParseMediaType(contentType); (sentence == "") != (status == 200 && err == nil && media == "text/plain" && body == token) {
			t.Fatalf("%+v: %q", v, sentence)
		}
		if sentence == "" && what != "" || sentence != "" && !strings.HasSuffix(sentence, ".") {
			t.Fatalf("%q, %q", sentence, what)
		}
		if len(body) > 40 && strings.Contains(sentence, body) && !strings.Contains(contentType, body) && !strings.Contains(location, body) {
			t.Fatalf("%q tells the body", sentence)
		}
	})
}
