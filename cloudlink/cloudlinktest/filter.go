package cloudlinktest

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// predicate tells whether a resource matches a $filter. It fails where the
// filter names a field that the resource has not.
type predicate func(resource map[string]any) (bool, error)

// maxFilter bounds a $filter, and with it the depth of its parentheses.
const maxFilter = 1000

// filterToken is one word of a $filter: a text in quotes, in which a doubled
// quote is one quote, a parenthesis, a comma, or a run of other characters.
var filterToken = regexp.MustCompile(`^\s*('(?:[^']|'')*'|[(),]|[^\s(),']+)`)

// parseFilter reads the part of OData's $filter that CloudLink documents: eq,
// ne, lt, gt, le and ge between a field and a literal, contains and substringof,
// joined by and, or, and parentheses. An empty filter is nil.
func parseFilter(text string) (predicate, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	if len(text) > maxFilter {
		return nil, fmt.Errorf("longer than %d characters", maxFilter)
	}
	var p filterParser
	for rest := text; strings.TrimSpace(rest) != ""; {
		m := filterToken.FindStringSubmatch(rest)
		if m == nil {
			return nil, errors.New("a quote is not closed")
		}
		p.tokens = append(p.tokens, m[1])
		rest = rest[len(m[0]):]
	}
	result, err := p.or()
	if err != nil {
		return nil, err
	}
	if len(p.tokens) > 0 {
		return nil, fmt.Errorf("unexpected %s", p.tokens[0])
	}
	return result, nil
}

type filterParser struct{ tokens []string }

func (p *filterParser) peek() string {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0]
}

func (p *filterParser) next() string {
	token := p.peek()
	if token != "" {
		p.tokens = p.tokens[1:]
	}
	return token
}

func (p *filterParser) expect(token string) error {
	if got := p.next(); got != token {
		return fmt.Errorf("expected %s instead of %q", token, got)
	}
	return nil
}

func (p *filterParser) or() (predicate, error) {
	return p.chain("or", p.and, func(a, b bool) bool { return a || b })
}

func (p *filterParser) and() (predicate, error) {
	return p.chain("and", p.term, func(a, b bool) bool { return a && b })
}

// chain reads operands that one operator joins. Both sides are always judged,
// so that a field that does not exist is always found.
func (p *filterParser) chain(operator string, operand func() (predicate, error), join func(a, b bool) bool) (predicate, error) {
	left, err := operand()
	if err != nil {
		return nil, err
	}
	for p.peek() == operator {
		p.next()
		right, err := operand()
		if err != nil {
			return nil, err
		}
		first := left
		left = func(r map[string]any) (bool, error) {
			a, errA := first(r)
			b, errB := right(r)
			return join(a, b), errors.Join(errA, errB)
		}
	}
	return left, nil
}

func (p *filterParser) term() (predicate, error) {
	switch word := p.next(); word {
	case "":
		return nil, errors.New("it ends where a comparison is expected")
	case "(":
		inner, err := p.or()
		if err != nil {
			return nil, err
		}
		return inner, p.expect(")")
	case "contains", "substringof":
		return p.contains()
	default:
		return p.comparison(word)
	}
}

// contains reads the arguments of contains(field,'text') or
// substringof(field,'text'): Mitel's client gives both the field first.
func (p *filterParser) contains() (predicate, error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	field := p.next()
	if err := p.expect(","); err != nil {
		return nil, err
	}
	value, err := literal(p.next())
	if err != nil {
		return nil, err
	}
	part, isText := value.(string)
	if !isText {
		return nil, errors.New("contains needs a text in quotes")
	}
	return on(field, func(have any) bool {
		text, isText := have.(string)
		return isText && strings.Contains(text, part)
	}), p.expect(")")
}

func (p *filterParser) comparison(field string) (predicate, error) {
	holds := map[string]func(int) bool{
		"eq": func(c int) bool { return c == 0 }, "ne": func(c int) bool { return c != 0 },
		"lt": func(c int) bool { return c < 0 }, "gt": func(c int) bool { return c > 0 },
		"le": func(c int) bool { return c <= 0 }, "ge": func(c int) bool { return c >= 0 },
	}
	operator := p.next()
	if holds[operator] == nil {
		return nil, fmt.Errorf("%q is no operator: use eq, ne, lt, gt, le or ge", operator)
	}
	want, err := literal(p.next())
	if err != nil {
		return nil, err
	}
	return on(field, func(have any) bool {
		switch want := want.(type) {
		case string:
			if have, same := have.(string); same {
				return holds[operator](cmp.Compare(have, want))
			}
		case float64:
			if have, same := have.(float64); same {
				return holds[operator](cmp.Compare(have, want))
			}
		case bool:
			if have, same := have.(bool); same {
				return (operator == "eq") == (have == want) && (operator == "eq" || operator == "ne")
			}
		}
		return operator == "ne"
	}), nil
}

// literal reads a text in quotes, a number, true or false.
func literal(token string) (any, error) {
	switch {
	case len(token) >= 2 && token[0] == '\'':
		return strings.ReplaceAll(token[1:len(token)-1], "''", "'"), nil
	case token == "true" || token == "false":
		return token == "true", nil
	}
	if n, err := strconv.ParseFloat(token, 64); err == nil {
		return n, nil
	}
	return nil, fmt.Errorf("%q is neither a text in quotes nor a number nor true or false", token)
}

func on(field string, test func(any) bool) predicate {
	return func(r map[string]any) (bool, error) {
		value, exists := r[field]
		if !exists {
			return false, fmt.Errorf("there is no field %q", field)
		}
		return test(value), nil
	}
}
