package service

import (
	"errors"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/presencebridge/presencebridge/presence"
)

// readMapping reads the layers of the mapping table: everyone's, the groups'
// and single persons'.
func (s *Settings) readMapping(in *section) {
	layers := &presence.Layers{Everyone: readRules(in), Groups: map[string]presence.Rules{}, Users: map[string]presence.Rules{}}
	s.Groups = map[string][]string{}
	groups := in.sub("groups")
	for _, name := range groups.names() {
		group := groups.sub(name)
		layers.Groups[name] = readRules(group)
		for _, address := range group.list("members") {
			key := presence.NormalizeEmail(address)
			s.Groups[key] = append(s.Groups[key], name)
		}
		group.close()
	}
	users := in.sub("users")
	for _, address := range users.names() {
		user := users.sub(address)
		layers.Users[address] = readRules(user)
		user.close()
	}
	in.close()
	mapping, err := presence.NewMapping(layers)
	for _, err := range Unjoin(err) {
		in.fail("", "%s", Plain(err))
	}
	s.Bridge.Mapping = mapping
}

// readRules reads rules from a file or from the text in this file.
func readRules(in *section) presence.Rules {
	if in.has("file") && in.has("text") {
		in.fail("text", "there is a file too: use one or the other")
	}
	if path := in.file("file"); path != "" {
		rules, err := presence.ParseRules(in.contents("file"))
		for _, fault := range syntaxErrors(err) {
			in.fail("file", "%s, line %d: %s: %s: %s", shown(path), fault.Line, quote(fault.Text), fault.Problem, fault.Remedy)
		}
		in.asked = append(in.asked, "text")
		return rules
	}
	text, ok := in.scalar("text", "rules, one a line")
	if !ok {
		return presence.Rules{}
	}
	rules, err := presence.ParseRules([]byte(text))
	for _, fault := range syntaxErrors(err) {
		in.doc.fail(ruleLine(in.fields["text"], fault.Line), in.path("text"), "%s: %s: %s", quote(fault.Text), fault.Problem, fault.Remedy)
	}
	return rules
}

func syntaxErrors(err error) []*presence.SyntaxError {
	var faults []*presence.SyntaxError
	for _, e := range Unjoin(err) {
		var fault *presence.SyntaxError
		if errors.As(e, &fault) {
			faults = append(faults, fault)
		}
	}
	return faults
}

// ruleLine is the line of the configuration file in which a rule stands. A
// literal block ("text: |") keeps its lines, and begins below its key.
func ruleLine(f field, line int) int {
	if f.node.Style&yaml.LiteralStyle != 0 || strings.Count(f.node.Value, "\n") > 1 {
		return f.node.Line + line
	}
	return f.node.Line
}
