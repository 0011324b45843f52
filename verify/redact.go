package verify

import (
	"regexp"
	"strings"

	"github.com/presencebridge/presencebridge/presence"
)

// maxText is the longest sentence or value of a report, in bytes.
const maxText = 1200

const removed = "[removed]"

// redactor removes from texts what must not leave the process: the secrets that it
// knows, and what looks like one.
type redactor struct{ known *strings.Replacer }

func newRedactor(secrets []presence.Secret) *redactor {
	var pairs []string
	for _, s := range secrets {
		// A value this short would turn up by chance, and is no secret.
		if v := s.Reveal(); len(v) >= 6 {
			pairs = append(pairs, v, removed)
		}
	}
	return &redactor{strings.NewReplacer(pairs...)}
}

var (
	// jwtForm is a JSON Web Token (RFC 7519), whose header begins with {" in base64.
	jwtForm = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{5,}(\.[A-Za-z0-9_-]*){0,4}`)
	// bearerForm is a credential of the header Authorization (RFC 9110, 11.6.2).
	bearerForm = regexp.MustCompile(`(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}`)
	// fieldForm is a secret by its name, in a form, in JSON or in a sentence.
	fieldForm = regexp.MustCompile(`(?i)\b(client_?secret|client_?state|password|passwd|refresh_?token|access_?token|id_?token|client_assertion|code_verifier|code|sippassword|x-mitel-shared-secret)("?\s*[=:]\s*"?)([^\s"&,;}]+)`)
)

// text returns s without secrets, on one line and not too long.
func (r *redactor) text(s string) string {
	s = r.known.Replace(s)
	s = jwtForm.ReplaceAllString(s, removed)
	s = bearerForm.ReplaceAllString(s, "$1 "+removed)
	s = fieldForm.ReplaceAllString(s, "$1$2"+removed)
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}
