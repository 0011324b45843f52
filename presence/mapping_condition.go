package presence

import (
	"strconv"
	"strings"
)

// The kinds of token on the left of the arrow; '/', '+' and '*' are kinds of
// their own.
const (
	tokenWord   = 'w'
	tokenQuoted = 'q'
	tokenEnd    = 'e'
)

type token struct {
	kind rune
	text string
}

// conditionParser reads the left side of a rule. It keeps the first fault and
// goes on, so that no step has to look for it.
type conditionParser struct {
	rest  string
	next  token
	fault *SyntaxError
}

func parseCondition(s string) (condition, *SyntaxError) {
	p := &conditionParser{rest: s}
	p.advance()
	var c condition
	switch first := p.next; {
	case first.kind == tokenWord && strings.EqualFold(first.text, wordPhone):
		p.advance()
		c = p.phone()
	case first.kind == tokenWord && strings.EqualFold(first.text, wordTeams):
		p.advance()
		c = p.teams()
	default:
		p.fail("a rule begins with "+wordPhone+" or "+wordTeams, "write one of these words first")
	}
	if p.next.kind != tokenEnd {
		p.fail(strconv.Quote(p.next.text)+" does not belong there", "put the arrow -> before it, or remove it")
	}
	return c, p.fault
}

func (p *conditionParser) fail(problem, remedy string) {
	if p.fault == nil {
		p.fault = &SyntaxError{Problem: problem, Remedy: remedy}
	}
	p.rest, p.next = "", token{kind: tokenEnd}
}

// advance reads the next token. Words are letters and digits; a quoted word may
// also have the signs that identifiers have.
func (p *conditionParser) advance() {
	p.rest = strings.TrimSpace(p.rest)
	if p.rest == "" {
		p.next = token{kind: tokenEnd}
		return
	}
	switch c := p.rest[0]; {
	case c == '/' || c == '+' || c == '*':
		p.next = token{kind: rune(c), text: p.rest[:1]}
		p.rest = p.rest[1:]
	case c == '"':
		word, rest, closed := strings.Cut(p.rest[1:], `"`)
		if !closed || word == "" || strings.TrimLeft(strings.ToLower(word), "abcdefghijklmnopqrstuvwxyz0123456789_.-") != "" {
			p.fail("the word in quotes is not closed, is empty, or has signs in it",
				"write letters, digits, and the signs _ . - only, between double quotes")
			return
		}
		p.next, p.rest = token{tokenQuoted, word}, rest
	case isWordByte(c):
		n := 1
		for n < len(p.rest) && isWordByte(p.rest[n]) {
			n++
		}
		p.next, p.rest = token{tokenWord, p.rest[:n]}, p.rest[n:]
	default:
		p.fail("a sign stands there that has no meaning", "use letters, digits and the signs / + * only, and -> before the result")
	}
}

func isWordByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// phone reads STATE, dnd, dnd+STATE or STATE+dnd.
func (p *conditionParser) phone() condition {
	c := condition{phone: true, state: anyWord}
	p.phoneWord(&c)
	if p.next.kind == '+' {
		p.advance()
		p.phoneWord(&c)
	}
	return c
}

func (p *conditionParser) phoneWord(c *condition) {
	switch {
	case !c.flag && p.next.kind == tokenWord && strings.EqualFold(p.next.text, wordDND):
		c.flag = true
		p.advance()
	case c.state == anyWord:
		c.state = selector(p, lineStates, "line state", "")
	default:
		p.fail("one rule speaks of one line state", "write "+wordDND+"+STATE, or two rules")
	}
}

// teams reads AVAILABILITY/ACTIVITY and perhaps +outofoffice.
func (p *conditionParser) teams() condition {
	var c condition
	c.availability = selector(p, availabilities, "availability", anyWord)
	if p.next.kind == '/' {
		p.advance()
	} else {
		p.fail("an activity is missing", "write AVAILABILITY/ACTIVITY, or AVAILABILITY/* for every activity")
	}
	c.activity = selector(p, activities, "activity", anyWord)
	if c.availability == anyWord && c.activity == anyWord {
		p.fail("*/* speaks of everything", "name an availability or an activity")
	}
	if p.next.kind == '+' {
		p.advance()
		if p.next.kind == tokenWord && strings.EqualFold(p.next.text, wordOutOfOffice) {
			c.flag = true
			p.advance()
		} else {
			p.fail("only "+wordOutOfOffice+" may follow a plus sign", "write +"+wordOutOfOffice+", or remove the plus sign")
		}
	}
	return c
}

// selector reads a documented word, a quoted one, or wildcard if there is one.
// A word that is not documented must be quoted, because otherwise a slip of the
// pen would be a rule that never holds.
func selector[T ~string](p *conditionParser, documented []T, noun string, wildcard T) T {
	next := p.next
	var word T
	switch {
	case next.kind == tokenQuoted || next.kind == tokenWord:
		if i := indexWord(documented, next.text); i >= 0 {
			word = documented[i]
		} else {
			word = T(strings.ToLower(next.text))
			if next.kind == tokenWord {
				p.fail(strconv.Quote(next.text)+" is no documented "+noun,
					"write one of "+list(documented)+"; or put it in double quotes if the service really sends it")
			}
		}
		p.advance()
	case wildcard != noWord && next.kind == rune(anyWord[0]):
		word = wildcard
		p.advance()
	default:
		p.fail("the "+noun+" is missing", "write one of "+list(documented))
	}
	return word
}
