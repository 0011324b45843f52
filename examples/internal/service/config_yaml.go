package service

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// document reads a YAML file key by key and gathers everything that is wrong
// with it, so that all of it is reported at once.
type document struct {
	file     string
	lookup   func(name string) (string, bool) // an environment variable
	mistakes []*Mistake
	warnings []*Mistake
}

func (d *document) fail(line int, key, format string, args ...any) {
	d.mistakes = append(d.mistakes, &Mistake{d.file, line, key, fmt.Sprintf(format, args...)})
}

func (d *document) warn(line int, key, format string, args ...any) {
	d.warnings = append(d.warnings, &Mistake{d.file, line, key, fmt.Sprintf(format, args...)})
}

// err joins the mistakes in the order of their lines.
func (d *document) err() error {
	byLine := func(a, b *Mistake) int { return cmp.Compare(a.Line, b.Line) }
	slices.SortStableFunc(d.mistakes, byLine)
	slices.SortStableFunc(d.warnings, byLine)
	faults := make([]error, len(d.mistakes))
	for i, m := range d.mistakes {
		faults[i] = m
	}
	return errors.Join(faults...)
}

// root parses the text and returns its one mapping.
func (d *document) root(text []byte) *section {
	var top, second yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	err := decoder.Decode(&top)
	if errors.Is(err, io.EOF) {
		d.fail(0, "", "the file is empty: start from bridge.sample.yaml")
		return &section{doc: d}
	}
	if err == nil {
		switch err = decoder.Decode(&second); {
		case err == nil:
			d.fail(second.Line, "", "a second document begins here, and a file holds one configuration: remove it, or put it into a file of its own")
		case errors.Is(err, io.EOF):
			err = nil
		}
	}
	if err != nil {
		line, problem := yamlProblem(err)
		d.fail(line, "", "this is not YAML: %s", problem)
		return &section{doc: d}
	}
	return d.section("", top.Content[0])
}

// yamlProblem takes the message of the YAML package apart, which begins with
// "yaml: line N: ", or with "yaml: " alone for the file's first line. Of what its
// grammar expected, and not its words, it counts the lines from 0.
func yamlProblem(err error) (line int, problem string) {
	problem = strings.TrimPrefix(err.Error(), "yaml: ")
	if number, rest, ok := strings.Cut(strings.TrimPrefix(problem, "line "), ": "); ok {
		if n, err := strconv.Atoi(number); err == nil {
			line, problem = n, rest
		}
	}
	for _, expected := range []string{"',' or", "key", "'-'", "node content", "<document start>"} {
		if strings.HasPrefix(problem, "did not find expected "+expected) {
			line++
			break
		}
	}
	return line, problem
}

// section reads a node that must be a mapping.
func (d *document) section(key string, node *yaml.Node) *section {
	node = resolve(node)
	s := &section{doc: d, key: key, line: node.Line, present: true, fields: map[string]field{}}
	if node.Kind != yaml.MappingNode {
		s.present = false
		d.fail(node.Line, key, "this must be keys and values, each on a line of its own")
		return s
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name := node.Content[i]
		if first, twice := s.fields[name.Value]; twice {
			d.fail(name.Line, s.path(name.Value), "this key is there already, in line %d: remove one of them", first.line)
			continue
		}
		s.fields[name.Value] = field{name.Line, resolve(node.Content[i+1])}
	}
	return s
}

// resolve follows an alias to what it stands for.
func resolve(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode && node.Alias != nil {
		return node.Alias
	}
	return node
}

// section is one mapping of the file. The section of a key that is not there
// has no fields and present is false.
type section struct {
	doc     *document
	key     string
	line    int
	present bool
	fields  map[string]field
	asked   []string
}

type field struct {
	line int
	node *yaml.Node
}

func (s *section) path(name string) string {
	if s.key == "" || name == "" {
		return s.key + name
	}
	return s.key + "." + name
}

func (s *section) fail(name, format string, args ...any) {
	line := s.line
	if f, ok := s.fields[name]; ok {
		line = f.line
	}
	s.doc.fail(line, s.path(name), format, args...)
}

// take returns the value of a key; one without a value counts as absent.
func (s *section) take(name string) (field, bool) {
	s.asked = append(s.asked, name)
	f, ok := s.fields[name]
	return f, ok && f.node.Tag != "!!null"
}

func (s *section) has(name string) bool {
	f, ok := s.fields[name]
	return ok && f.node.Tag != "!!null"
}

// scalar returns the text of a key, whatever type YAML takes it for.
func (s *section) scalar(name, expected string) (string, bool) {
	f, ok := s.take(name)
	if !ok {
		return "", false
	}
	if f.node.Kind != yaml.ScalarNode {
		s.fail(name, "this must be %s, not a list or keys of its own", expected)
		return "", false
	}
	return f.node.Value, true
}

func (s *section) text(name string) string {
	value, _ := s.scalar(name, "a text")
	return strings.TrimSpace(value)
}

// required is text that must be there; hint says where to find it.
func (s *section) required(name, hint string) string {
	value := s.text(name)
	if _, wrong := s.fields[name]; value == "" && (!wrong || !s.has(name)) {
		s.fail(name, "is missing: %s", hint)
	}
	return value
}

func (s *section) flag(name string) bool {
	value, ok := s.scalar(name, "true or false")
	if !ok {
		return false
	}
	b, err := strconv.ParseBool(strings.ToLower(value))
	if err != nil {
		s.fail(name, "%s is neither true nor false", quote(value))
	}
	return b
}

// duration returns a length of time, 0 where there is none.
func (s *section) duration(name string) time.Duration {
	value, ok := s.scalar(name, "a length of time such as 10m or 90s")
	if !ok {
		return 0
	}
	length, err := time.ParseDuration(value)
	switch {
	case err != nil:
		s.fail(name, "%s is not a length of time: write it like 10m, 90s or 1h30m", quote(value))
		return 0
	case length <= 0:
		s.fail(name, "%s is not above zero: leave the key out for the default", quote(value))
		return 0
	}
	return length
}

// number returns a number from 1 on, 0 where there is none.
func (s *section) number(name string) float64 {
	value, ok := s.scalar(name, "a number")
	if !ok {
		return 0
	}
	n, err := strconv.ParseFloat(value, 64)
	if err != nil || !(n > 0) || n > 1e6 {
		s.fail(name, "%s is not a number above zero: leave the key out for the default", quote(value))
		return 0
	}
	return n
}

func (s *section) count(name string) int {
	n := s.number(name)
	if n != float64(int(n)) {
		s.fail(name, "%v is not a whole number", n)
		return 0
	}
	return int(n)
}

// choice returns the first of the choices where the key is absent.
func (s *section) choice(name string, choices ...string) string {
	value := s.text(name)
	switch {
	case value == "":
		return choices[0]
	case slices.Contains(choices, value):
		return value
	}
	s.fail(name, "%s is not one of %s%s", quote(value), strings.Join(choices, ", "), suggest(value, choices))
	return choices[0]
}

func (s *section) sub(name string) *section {
	f, ok := s.take(name)
	if !ok {
		return &section{doc: s.doc, key: s.path(name), line: s.line}
	}
	sub := s.doc.section(s.path(name), f.node)
	sub.line = f.line
	return sub
}

// names returns the keys of a section whose keys are the user's own, in order,
// and accepts all of them.
func (s *section) names() []string {
	names := slices.Sorted(maps.Keys(s.fields))
	s.asked = append(s.asked, names...)
	return names
}

// list returns the texts of a list.
func (s *section) list(name string) []string {
	f, ok := s.take(name)
	if !ok {
		return nil
	}
	if f.node.Kind != yaml.SequenceNode {
		s.fail(name, "this must be a list: one entry a line, each after a dash")
		return nil
	}
	var values []string
	for _, item := range f.node.Content {
		if item = resolve(item); item.Kind != yaml.ScalarNode || strings.TrimSpace(item.Value) == "" {
			s.doc.fail(item.Line, s.path(name), "an entry of this list must be a text")
			continue
		}
		values = append(values, strings.TrimSpace(item.Value))
	}
	return values
}

// close reports the keys that nothing has asked for.
func (s *section) close() {
	for _, name := range slices.Sorted(maps.Keys(s.fields)) {
		if slices.Contains(s.asked, name) {
			continue
		}
		if hint := suggest(name, s.asked); hint != "" {
			s.fail(name, "there is no such key%s", hint)
			continue
		}
		known := slices.Compact(slices.Sorted(slices.Values(s.asked)))
		s.fail(name, "there is no such key: the keys here are %s", strings.Join(known, ", "))
	}
}
