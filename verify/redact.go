package verify

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/presencebridge/presencebridge/presence"
)

const (
	// maxText is the longest sentence or value of a report, in bytes.
	maxText = 1200
	// maxForeign is how much of a text is looked at, in bytes: what somebody sends
	// may be long.
	maxForeign = 32 << 10
	// shortestSecret is how long a known secret is at least, in bytes. A shorter value
	// would turn up by chance, and is no secret.
	shortestSecret = 6

	removed = "[removed]"
)

// redactor removes from texts what must not leave the process: the secrets that it
// knows, in every form in which errors and messages carry them, and what looks like
// one. When in doubt it removes. Its zero value knows no secrets.
type redactor struct {
	forms   []string // of the known secrets, the longest first
	known   *strings.Replacer
	longest int
}

func newRedactor(secrets []presence.Secret) *redactor {
	seen := make(map[string]bool)
	r := new(redactor)
	for _, s := range secrets {
		value := s.Reveal()
		if len(value) < shortestSecret {
			continue
		}
		for _, form := range formsOf(value) {
			// A form that is part of what takes its place could never be removed.
			if len(form) < shortestSecret || seen[form] || strings.Contains(removed, form) {
				continue
			}
			seen[form] = true
			r.forms = append(r.forms, form)
			r.longest = max(r.longest, len(form))
		}
	}
	// One secret may begin with another, and a replacer takes the first that fits.
	slices.SortFunc(r.forms, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b)) })
	pairs := make([]string, 0, 2*len(r.forms))
	for _, form := range r.forms {
		pairs = append(pairs, form, removed)
	}
	r.known = strings.NewReplacer(pairs...)
	return r
}

// formsOf returns the forms in which a value appears: as it is, escaped for a URL,
// for JSON (also JSON within JSON) and by Go's %q, in base64 and in hexadecimal
// digits, and each as text leaves it.
func formsOf(value string) []string {
	forms := []string{value}
	add := func(s ...string) { forms = append(forms, s...) }
	for _, escaped := range []string{url.QueryEscape(value), url.PathEscape(value)} {
		add(escaped, lowerEscapes(escaped))
	}
	for _, quoted := range []string{inJSON(value), strconv.Quote(value), strconv.QuoteToASCII(value)} {
		inner := quoted[1 : len(quoted)-1]
		twice := inJSON(inner)
		// Slashes are escaped by some encoders, and those of HTML not by all.
		add(inner, twice[1:len(twice)-1], strings.ReplaceAll(inner, "/", `\/`), plainHTML.Replace(inner))
	}
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding} {
		encoded := e.EncodeToString([]byte(value))
		add(encoded, url.QueryEscape(encoded))
	}
	digits := hex.EncodeToString([]byte(value))
	add(digits, strings.ToUpper(digits))
	for _, form := range forms {
		add(oneLine(form))
	}
	return forms
}

func inJSON(s string) string {
	data, err := json.Marshal(s)
	if err != nil { // no string fails
		return strconv.Quote(s)
	}
	return string(data)
}

// plainHTML undoes what Go's JSON does to signs of HTML.
var plainHTML = strings.NewReplacer(`\u0026`, "&", `\u003c`, "<", `\u003e`, ">")

// lowerEscapes returns the percent escapes of s in lower case, as some write them.
func lowerEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			b[i+1], b[i+2] = byte(unicode.ToLower(rune(b[i+1]))), byte(unicode.ToLower(rune(b[i+2])))
			i += 2
		}
	}
	return string(b)
}

// text returns s without secrets, in valid UTF-8, on one line, without control
// characters, and not longer than maxText. Giving it what it returned changes
// nothing.
func (r *redactor) text(s string) string {
	if len(s) > maxForeign {
		// At the cut there may be a part of a secret, of which nothing is known. The
		// known ones are removed first, so that what is dropped is that part.
		s = r.removeKnown(s[:maxForeign])
		s = s[:max(0, len(s)-r.longest)]
		s = s[:strings.LastIndexAny(s, " \t\n,;{}[]\"")+1]
	}
	// What is removed, and the cut, may bring together what looks like a secret.
	for range 6 {
		next := shortened(r.once(s))
		if next == s {
			return s
		}
		s = next
	}
	if r.once(s) != s {
		return removed
	}
	return s
}

func (r *redactor) once(s string) string {
	return removeUnknown(r.removeKnown(oneLine(r.removeKnown(s))))
}

func (r *redactor) removeKnown(s string) string {
	if r.known == nil {
		return s
	}
	return r.known.Replace(s)
}

// shortened cuts s to maxText.
func shortened(s string) string {
	const more = "…"
	if len(s) <= maxText {
		return s
	}
	end := maxText - len(more)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return strings.TrimRight(s[:end], " ") + more
}

// oneLine returns s in valid UTF-8, with single blanks between its words, and
// without characters that a terminal or a reader does not show: a text of foreign
// origin must not move the cursor nor turn the direction of writing.
func oneLine(s string) string {
	s = strings.Map(func(c rune) rune {
		switch {
		case unicode.IsSpace(c):
			return ' '
		case c == utf8.RuneError, unicode.IsControl(c), unicode.Is(unicode.Cf, c), unicode.Is(unicode.Co, c):
			return -1
		default:
			return c
		}
	}, s)
	return strings.Join(strings.Fields(s), " ")
}
