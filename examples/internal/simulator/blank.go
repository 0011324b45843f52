package simulator

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// blanked stands in the list of requests for what is secret. The simulator's own
// secrets are worth nothing, but whoever points a client at it by mistake may
// have sent real ones.
const blanked = "[redacted]"

// secretField reports whether a field of a form, a JSON body or a query holds a
// secret.
func secretField(name string) bool {
	switch strings.ToLower(name) {
	case "client_secret", "clientsecret", "client_assertion", "password", "refresh_token", "refreshtoken", "access_token", "id_token",
		"token", "code", "code_verifier", "assertion", "clientstate", "validationtoken", "sippassword", "secrettext":
		return true
	default:
		return false
	}
}

func blankHeader(h http.Header) map[string][]string {
	shown := h.Clone()
	for _, name := range []string{"Authorization", "Proxy-Authorization", "Cookie", "X-Api-Key"} {
		if shown.Get(name) != "" {
			shown.Set(name, blanked)
		}
	}
	return shown
}

func blankQuery(path string) string {
	before, query, found := strings.Cut(path, "?")
	if !found {
		return path
	}
	return before + "?" + blankForm(query)
}

// blankForm blanks in place, so that everything else stays as it was sent.
func blankForm(form string) string {
	parts := strings.Split(form, "&")
	for i, part := range parts {
		name, _, _ := strings.Cut(part, "=")
		if unescaped, err := url.QueryUnescape(name); err != nil || secretField(unescaped) {
			parts[i] = name + "=" + url.QueryEscape(blanked)
		}
	}
	return strings.Join(parts, "&")
}

// blankBody shows forms and JSON. What is neither, or cannot be read, is not
// shown, since nobody can tell what it holds.
func blankBody(contentType string, body []byte) string {
	if len(body) == 0 {
		return ""
	}
	kind, _, _ := mime.ParseMediaType(contentType)
	if kind == "application/x-www-form-urlencoded" {
		return blankForm(string(body))
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil || d.More() {
		return blanked
	}
	shown, err := json.Marshal(blankValue(value))
	if err != nil {
		return blanked
	}
	return string(shown)
}

func blankValue(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			if secretField(name) {
				v[name] = blanked
			} else {
				v[name] = blankValue(member)
			}
		}
	case []any:
		for i, member := range v {
			v[i] = blankValue(member)
		}
	}
	return value
}
