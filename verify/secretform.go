package verify

import (
	"regexp"
	"strings"
	"unicode"
)

var (
	// pemForm is a key or a certificate (RFC 7468), also with escaped line ends.
	pemForm = regexp.MustCompile(`-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|$)`)
	// jwtForm is a JSON Web Token (RFC 7519), whose header begins with {" in base64.
	jwtForm = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*){0,4}`)
	// headerForm is a header that is made of credentials (RFC 9110, 11.6.2; RFC 6265),
	// up to the end of what it could be.
	headerForm = regexp.MustCompile(`(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)(\\?["']?\s*[:=]\s*(?:\[?\\?["'])?)([^"'\\\])}]+)`)
	// schemeForm is a credential after its scheme.
	schemeForm = regexp.MustCompile(`(?i)\b(bearer|basic|digest|negotiate)(\s+)([A-Za-z0-9._~+/=%-]{6,})`)
	// userForm is a user with a password in a URL (RFC 3986, 3.2.1).
	userForm = regexp.MustCompile(`(?i)\b([a-z][a-z0-9+.-]*://)[^\s/?#"'<>\[]+@`)
	// queryForm is one value of a query, of a fragment or of a form.
	queryForm = regexp.MustCompile(`([?&#])([A-Za-z0-9_.$~%-]+)=([^&\s"'<>#\\]*)`)
	// fieldForm is a secret by its name: in JSON, in a form, or after a colon.
	fieldForm = regexp.MustCompile(`(?i)([A-Za-z0-9_-]*(?:secret|password|passwd|passphrase|pwd|token|assertion|client_?state|verifier|api_?key|private_?key|credential|signature)[A-Za-z0-9_-]*)` +
		`(\\?["']?\s*[=:]\s*)(\\?["'])?`)
	// guidForm is a GUID (RFC 9562), which is a name and no secret.
	guidForm = regexp.MustCompile(`(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`)
	// mailForm is a mail address, or a user principal name.
	mailForm = regexp.MustCompile(`^[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$`)
	// wordForm is what a token may be part of.
	wordForm = regexp.MustCompile(`[A-Za-z0-9_~.\-+/=%@]{16,}`)
	// entraSecret is a client secret as Entra makes it, known by the Q~ in it.
	entraSecret = regexp.MustCompile(`[A-Za-z0-9_.~-]{3}[0-9]Q~[A-Za-z0-9_.~-]{8,}`)
)

// harmless are the parameters of queries whose values are shown.
var harmless = map[string]bool{
	"api-version": true, "$select": true, "$top": true, "$count": true, "$orderby": true, "$expand": true,
	"response_type": true, "response_mode": true, "prompt": true, "scope": true, "client_id": true, "redirect_uri": true, "code_challenge_method": true,
}

// notSecret are ends of names that speak of a secret and do not hold it.
var notSecret = []string{
	"type", "expires", "expiresat", "expires_at", "expiresin", "expires_in", "expiry", "expiration", "until", "description", "lifetime",
	"endpoint", "name", "count", "displayname", "keyid", "id",
}

// removeUnknown removes what looks like a secret. s is on one line.
func removeUnknown(s string) string {
	s = pemForm.ReplaceAllString(s, removed)
	s = jwtForm.ReplaceAllString(s, removed)
	s = replaceParts(headerForm, s, func(m []string) string {
		if strings.HasPrefix(m[3], removed[:len(removed)-1]) {
			return m[0]
		}
		return m[1] + m[2] + removed
	})
	s = replaceParts(schemeForm, s, func(m []string) string {
		if plainWord(m[3]) {
			return m[0]
		}
		return m[1] + m[2] + removed
	})
	s = userForm.ReplaceAllString(s, "$1"+removed+"@")
	s = replaceParts(queryForm, s, func(m []string) string {
		if m[3] == "" || harmless[strings.ToLower(strings.NewReplacer("%24", "$").Replace(m[2]))] {
			return m[0]
		}
		return m[1] + m[2] + "=" + removed
	})
	s = removeFields(s)
	s = entraSecret.ReplaceAllString(s, removed)
	return wordForm.ReplaceAllStringFunc(s, removeOpaque)
}

// replaceParts replaces each match, of which it gives the parts.
func replaceParts(form *regexp.Regexp, s string, with func([]string) string) string {
	return form.ReplaceAllStringFunc(s, func(match string) string { return with(form.FindStringSubmatch(match)) })
}

// plainWord reports whether a word after the name of a scheme is one of a sentence,
// as in "Bearer authentication".
func plainWord(w string) bool {
	w = strings.TrimRight(w, ".")
	for _, c := range w {
		if c < 'a' || c > 'z' {
			return false
		}
	}
	return len(w) <= 16
}

// removeFields removes the values of fields that are named like secrets.
func removeFields(s string) string {
	var out strings.Builder
	for {
		at := fieldForm.FindStringSubmatchIndex(s)
		if at == nil {
			break
		}
		key, value, quote := strings.ToLower(s[at[2]:at[3]]), s[at[1]:], ""
		if at[6] >= 0 {
			quote = s[at[6]:at[7]]
		}
		length := valueLength(value, quote)
		out.WriteString(s[:at[1]])
		if keepValue(key, s[at[4]:at[5]], value[:length], quote) {
			// What follows may itself be a field: "token: password=…".
			s = value
			continue
		}
		out.WriteString(removed)
		s = value[length:]
	}
	out.WriteString(s)
	return out.String()
}

// valueLength returns how long the value is at the beginning of s: to the quote, of
// which an escaped one within the value is none, or to the end of the word.
func valueLength(s, quote string) int {
	if quote == "" {
		if strings.HasPrefix(s, removed) {
			return len(removed)
		}
		if end := strings.IndexAny(s, " \"'&,;{}()[]"); end >= 0 {
			return end
		}
		return len(s)
	}
	for i := 0; i < len(s); i++ {
		switch {
		case strings.HasPrefix(s[i:], quote):
			return i
		case s[i] == '\\' && quote != `\"` && quote != `\'`:
			i++
		}
	}
	return len(s)
}

// keepValue reports whether the value of a field that is named like a secret is none.
func keepValue(key, separator, value, quote string) bool {
	if value == "" || value == removed {
		return true
	}
	for _, end := range notSecret {
		if strings.HasSuffix(key, end) {
			return true
		}
	}
	// "cannot fetch token: 401 Unauthorized" is a sentence, and so is "the token:
	// it has expired", and so is one error after another: "no token: cloudlink: …".
	sentence := quote == "" && strings.HasSuffix(separator, ": ") && strings.HasSuffix(key, "token")
	return sentence && (plainWord(strings.TrimSuffix(value, ":")) || len(value) <= 3)
}

// removeOpaque returns a word, or what is left of it without what looks like a
// token: letters of both cases and digits in no order that a name has.
func removeOpaque(word string) string {
	if mailForm.MatchString(strings.TrimRight(word, ".")) {
		return word
	}
	if guids := guidForm.FindAllStringIndex(word, -1); guids != nil {
		var out strings.Builder
		from := 0
		for _, at := range guids {
			out.WriteString(removeOpaque(word[from:at[0]]) + word[at[0]:at[1]])
			from = at[1]
		}
		return out.String() + removeOpaque(word[from:])
	}
	if strings.Contains(word, "/") {
		if len(word) >= 32 && hasBothCases(word) && density(word) >= 0.3 {
			return removed // base64, in which a slash is a digit like others
		}
		parts := strings.Split(word, "/")
		for i := range parts {
			parts[i] = removeOpaque(parts[i])
		}
		return strings.Join(parts, "/")
	}
	if hasBothCases(word) {
		// A name has few digits, if any.
		if digits := strings.ContainsAny(word, "0123456789"); len(word) >= 20 && (density(word) >= 0.3 || digits && density(word) >= 0.2) {
			return removed
		}
		return word
	}
	// A name of a host or of a process has short parts of one case.
	for part := range strings.FieldsFuncSeq(word, func(c rune) bool { return strings.ContainsRune("._-~+=%@", c) }) {
		if len(part) >= 24 && density(part) >= 0.2 {
			return removed
		}
	}
	return word
}

func hasBothCases(s string) bool {
	return strings.ContainsFunc(s, unicode.IsLower) && strings.ContainsFunc(s, unicode.IsUpper)
}

// density returns how often, per character, a small letter, a capital letter and a
// digit follow one another. A capital letter before a small one does not count:
// so begin the words in a name.
func density(s string) float64 {
	changes, before := 0, 0
	for _, c := range s {
		class := 0
		switch {
		case c >= '0' && c <= '9':
			class = 1
		case c >= 'a' && c <= 'z':
			class = 2
		case c >= 'A' && c <= 'Z':
			class = 3
		}
		if class != 0 && before != 0 && class != before && (before != 3 || class != 2) {
			changes++
		}
		before = class
	}
	return float64(changes) / float64(max(1, len(s)))
}
