package cloudlinktest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var resource = map[string]any{"name": "O'Hara", "role": "USER", "n": 5.0, "verified": true}

func TestFilter(t *testing.T) {
	for text, want := range map[string]bool{
		"name eq 'O''Hara'":                          true,
		"name eq 'Hara'":                             false,
		"name ne 'Hara'":                             true,
		"name lt 'P' and name gt 'N'":                true,
		"name ge 'O''Hara' and name le 'O''Hara'":    true,
		"contains(name,'Ha')":                        true,
		"substringof(name, 'ha')":                    false,
		"contains(n,'5')":                            false,
		"n ge 5 and n lt 5.5":                        true,
		"n eq '5'":                                   false,
		"n ne '5'":                                   true,
		"verified eq true":                           true,
		"verified ne true":                           false,
		"verified gt false":                          false,
		"role eq 'X' or role eq 'USER' and n eq 5":   true,
		"(role eq 'X' or role eq 'USER') and n eq 6": false,
		"role eq 'USER' or role eq 'X' and n eq 6":   true,
	} {
		f, err := parseFilter(text)
		if !assert.NoError(t, err, text) {
			continue
		}
		got, err := f(resource)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{
		"name", "name eq", "name eq O", "name eq 'x", "eq 'x'", "name eq 'x' and", "(name eq 'x'", "name eq 'x')", "name eq 'x' name eq 'y'",
		"contains(name)", "contains(name,5)", "contains name", "contains(name,'x'", strings.Repeat("(", 2000),
	} {
		_, err := parseFilter(text)
		assert.Error(t, err, text)
	}
	f, err := parseFilter(" ")
	require.NoError(t, err)
	assert.Nil(t, f, "nothing to match")
	f, err = parseFilter("name eq 'x' or colour eq 'red'")
	require.NoError(t, err)
	_, err = f(resource)
	assert.ErrorContains(t, err, "colour")
}

func TestPublicationFilter(t *testing.T) {
	document := map[string]any{"topic": "t", "content": map[string]any{"state": "ringing", "n": 5.0, "on": true, "list": []any{}, "none": nil}}
	for text, want := range map[string]bool{
		"$.publications[?(@.content.state == 'ringing')]":  true,
		`$.publications[?(@.content.state=="ringing")]`:    true,
		"$.publications[?(@.content.state == 'idle')]":     false,
		"$.publications[?( @.content.state != 'idle' )]":   true,
		"$.publications[?(@.topic == 't')]":                true,
		"$.publications[?(@.content.n == 5)]":              true,
		"$.publications[?(@.content.on == true)]":          true,
		"$.publications[?(@.content.on != true)]":          false,
		"$.publications[?(@.content.missing == 'x')]":      false,
		"$.publications[?(@.content.missing != 'x')]":      true,
		"$.publications[?(@.content.state.deeper == 'x')]": false,
		"$.publications[?(@.content.list == 'x')]":         false,
		"$.publications[?(@.content.none != 'x')]":         true,
	} {
		f, err := parsePublicationFilter(text)
		if assert.NoError(t, err, text) {
			assert.Equal(t, want, f.matches(document), text)
		}
	}
	for _, text := range []string{
		"x", "$.publications[*]", "$.publications[?(@.content.state)]", "$.publications[?(@.content.state == ringing)]",
		"$.publications[?(@.content.state =~ 'r.*')]", "$..publications", "$.publications[?(@.a == 'x' && @.b == 'y')]",
	} {
		_, err := parsePublicationFilter(text)
		assert.Error(t, err, text)
	}
}

func FuzzFilter(f *testing.F) {
	for _, text := range []string{"name eq 'O''Hara'", "(n ge 5 or verified eq true) and contains(name,'x')", "((", "'"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		match, err := parseFilter(text)
		if match != nil && err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if match != nil {
			_, _ = match(resource)
		}
	})
}

func FuzzPublicationFilter(f *testing.F) {
	for _, text := range []string{"", "$.publications[?(@.content.state == 'ringing')]", `$.publications[?(@.a!="b")]`, "$.publications[?(@.a == 5)]"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if filter, err := parsePublicationFilter(text); err == nil && filter != nil {
			filter.matches(resource)
		}
	})
}
