package tenant_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

func discarded() *log.Logger { return log.New(io.Discard, "", 0) }

// formSecrets and jsonSecrets are the fields of forms and of JSON that carry what
// must not leave the process. In JSON a code is that of an error, and no secret.
var (
	formSecrets = []string{"client_secret", "refresh_token", "access_token", "code", "code_verifier", "client_assertion", "password"}
	jsonSecrets = []string{"access_token", "refresh_token", "id_token", "clientState", "sipPassword"}
)

// recorder is a transport that notes every secret that passes.
type recorder struct {
	base http.RoundTripper
	mu   sync.Mutex
	seen map[string]string // what it is, by value
}

func newRecorder(base http.RoundTripper) *recorder {
	return &recorder{base: base, seen: make(map[string]string)}
}

func (r *recorder) note(what, value string) {
	// A shorter one would be found by chance.
	if len(value) < 6 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen[value] = what
}

// secrets returns what was noted.
func (r *recorder) secrets() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[string]string, len(r.seen))
	for value, what := range r.seen {
		all[value] = what
	}
	return all
}

func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	if _, token, found := strings.Cut(request.Header.Get("Authorization"), " "); found {
		r.note("token of a request", token)
	}
	if request.Body != nil {
		body, err := io.ReadAll(request.Body)
		_ = request.Body.Close()
		if err != nil {
			return nil, err
		}
		request.Body = io.NopCloser(bytes.NewReader(body))
		if form, err := url.ParseQuery(string(body)); err == nil {
			for _, field := range formSecrets {
				r.note(field, form.Get(field))
			}
		}
		r.noteJSON(body)
	}
	response, err := r.base.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		response.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{err}))
		return response, nil //nolint:nilerr // The client finds out by reading.
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	r.noteJSON(body)
	return response, nil
}

func (r *recorder) noteJSON(body []byte) {
	var value any
	if json.Unmarshal(body, &value) == nil {
		r.noteFields(value)
	}
}

func (r *recorder) noteFields(value any) {
	switch value := value.(type) {
	case []any:
		for _, one := range value {
			r.noteFields(one)
		}
	case map[string]any:
		for name, one := range value {
			r.noteFields(one)
			for _, field := range jsonSecrets {
				if text, ok := one.(string); ok && strings.EqualFold(name, field) {
					r.note(field, text)
				}
			}
		}
	}
}

// failing is a reader of nothing but an error.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
