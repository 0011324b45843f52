package graphtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxFilterDepth bounds the nesting of a $filter.
const maxFilterDepth = 50

// maxFilterLength bounds a $filter; one that names 650 GUIDs has 26,000 bytes.
const maxFilterLength = 64 << 10

// parseFilter parses the part of OData's $filter that the double has: eq and ne
// with a string, true, false or null; in; startsWith and endsWith; and, or, not
// and parentheses. Strings are compared without regard to case, as Entra does.
func parseFilter(expression string) (func(User) bool, error) {
	p := filterParser{tokens: nil}
	var err error
	if p.tokens, err = filterTokens(expression); err != nil {
		return nil, err
	}
	match, err := p.or(0)
	if err != nil {
		return nil, err
	}
	if len(p.tokens) > 0 {
		return nil, fmt.Errorf("%q is not expected", p.tokens[0].text)
	}
	return match, nil
}

// parseIDs parses "id in ('…','…')", the filter of a presence subscription.
func parseIDs(expression string) ([]string, error) {
	tokens, err := filterTokens(expression)
	if err != nil {
		return nil, err
	}
	p := filterParser{tokens: tokens}
	if !p.takeWord("id") || !p.takeWord("in") {
		return nil, errors.New("only a filter of the form id in ('…') is supported")
	}
	ids, err := p.list()
	if err == nil && len(p.tokens) > 0 {
		err = fmt.Errorf("%q is not expected", p.tokens[0].text)
	}
	return ids, err
}

type filterToken struct {
	kind byte // 'w' word, 's' string, or the punctuation itself
	text string
}

func filterTokens(s string) ([]filterToken, error) {
	if len(s) > maxFilterLength {
		return nil, errors.New("the filter is too long")
	}
	var tokens []filterToken
	for i := 0; i < len(s); {
		switch c := s[i]; c {
		case ' ', '\t':
			i++
		case '(', ')', ',':
			tokens = append(tokens, filterToken{c, string(c)})
			i++
		case '\'':
			text, n, ok := quoted(s[i:])
			if !ok {
				return nil, errors.New("there is an unterminated string literal")
			}
			tokens = append(tokens, filterToken{'s', text})
			i += n
		default:
			n := strings.IndexAny(s[i:], " \t(),'")
			if n < 0 {
				n = len(s) - i
			}
			tokens = append(tokens, filterToken{'w', s[i : i+n]})
			i += n
		}
	}
	return tokens, nil
}

// quoted reads a string literal, in which a quote is doubled.
func quoted(s string) (text string, n int, ok bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != '\'' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == '\'' {
			b.WriteByte('\'')
			i++
			continue
		}
		return b.String(), i + 1, true
	}
	return "", 0, false
}

type filterParser struct{ tokens []filterToken }

func (p *filterParser) peek() filterToken {
	if len(p.tokens) == 0 {
		return filterToken{}
	}
	return p.tokens[0]
}

func (p *filterParser) next() filterToken {
	t := p.peek()
	if len(p.tokens) > 0 {
		p.tokens = p.tokens[1:]
	}
	return t
}

func (p *filterParser) takeWord(word string) bool {
	if t := p.peek(); t.kind == 'w' && strings.EqualFold(t.text, word) {
		p.next()
		return true
	}
	return false
}

func (p *filterParser) take(kind byte) error {
	if t := p.next(); t.kind != kind {
		return fmt.Errorf("%q stands where %q is expected", t.text, kind)
	}
	return nil
}

func (p *filterParser) or(depth int) (func(User) bool, error) {
	left, err := p.and(depth)
	for err == nil && p.takeWord("or") {
		var right func(User) bool
		if right, err = p.and(depth); err == nil {
			a := left
			left = func(u User) bool { return a(u) || right(u) }
		}
	}
	return left, err
}

func (p *filterParser) and(depth int) (func(User) bool, error) {
	left, err := p.primary(depth)
	for err == nil && p.takeWord("and") {
		var right func(User) bool
		if right, err = p.primary(depth); err == nil {
			a := left
			left = func(u User) bool { return a(u) && right(u) }
		}
	}
	return left, err
}

func (p *filterParser) primary(depth int) (func(User) bool, error) {
	if depth > maxFilterDepth {
		return nil, errors.New("the filter is nested too deeply")
	}
	if p.peek().kind == '(' {
		p.next()
		inner, err := p.or(depth + 1)
		if err != nil {
			return nil, err
		}
		return inner, p.take(')')
	}
	if p.takeWord("not") {
		inner, err := p.primary(depth + 1)
		if err != nil {
			return nil, err
		}
		return func(u User) bool { return !inner(u) }, nil
	}
	word := p.next()
	if word.kind != 'w' {
		return nil, fmt.Errorf("%q stands where a property is expected", word.text)
	}
	for name, compare := range map[string]func(s, part string) bool{"startswith": strings.HasPrefix, "endswith": strings.HasSuffix} {
		if strings.EqualFold(word.text, name) {
			return p.function(compare)
		}
	}
	property, err := filterProperty(word.text)
	if err != nil {
		return nil, err
	}
	operator := p.next()
	switch strings.ToLower(operator.text) {
	case "eq", "ne":
		wanted, err := p.literal()
		if err != nil {
			return nil, err
		}
		equal := strings.EqualFold(operator.text, "eq")
		return func(u User) bool { return sameValue(u.property(property), wanted) == equal }, nil
	case "in":
		values, err := p.list()
		if err != nil {
			return nil, err
		}
		return func(u User) bool {
			return slices.ContainsFunc(values, func(v string) bool { return sameValue(u.property(property), v) })
		}, nil
	default:
		return nil, fmt.Errorf("the operator %q is not supported", operator.text)
	}
}

// function parses the arguments of startsWith and endsWith.
func (p *filterParser) function(compare func(s, part string) bool) (func(User) bool, error) {
	if err := p.take('('); err != nil {
		return nil, err
	}
	property, err := filterProperty(p.next().text)
	if err != nil {
		return nil, err
	}
	if err := p.take(','); err != nil {
		return nil, err
	}
	part := p.next()
	if part.kind != 's' {
		return nil, fmt.Errorf("%q stands where a string is expected", part.text)
	}
	return func(u User) bool {
		s, ok := u.property(property).(string)
		return ok && compare(strings.ToLower(s), strings.ToLower(part.text))
	}, p.take(')')
}

func (p *filterParser) literal() (any, error) {
	t := p.next()
	switch {
	case t.kind == 's':
		return t.text, nil
	case t.kind == 'w' && strings.EqualFold(t.text, "true"):
		return true, nil
	case t.kind == 'w' && strings.EqualFold(t.text, "false"):
		return false, nil
	case t.kind == 'w' && strings.EqualFold(t.text, "null"):
		return nil, nil
	default:
		return nil, fmt.Errorf("%q stands where a value is expected", t.text)
	}
}

func (p *filterParser) list() ([]string, error) {
	if err := p.take('('); err != nil {
		return nil, err
	}
	var values []string
	for {
		t := p.next()
		if t.kind != 's' {
			return nil, fmt.Errorf("%q stands where a quoted value is expected", t.text)
		}
		values = append(values, t.text)
		switch t := p.next(); t.kind {
		case ',':
		case ')':
			return values, nil
		default:
			return nil, fmt.Errorf("%q stands where a comma or a parenthesis is expected", t.text)
		}
	}
}

// filterProperty returns a property that can be filtered by, in Graph's spelling.
func filterProperty(name string) (string, error) {
	property, ok := canonical(userProperties(), name)
	if !ok {
		return "", fmt.Errorf("could not find a property named %q on type 'microsoft.graph.user'", name)
	}
	return property, nil
}

func sameValue(have, want any) bool {
	a, okA := have.(string)
	b, okB := want.(string)
	if okA && okB {
		return strings.EqualFold(a, b)
	}
	if _, list := have.([]string); list {
		return false
	}
	return have == want
}
