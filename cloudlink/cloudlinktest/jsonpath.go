package cloudlinktest

import (
	"errors"
	"regexp"
	"strings"
)

// publicationFilter is a JSONPath filter of the form that Mitel documents:
// $.publications[?(@.content.state == 'ringing')].
type publicationFilter struct {
	path   []string
	equals bool
	value  any
}

var publicationFilterForm = regexp.MustCompile(
	`^\s*\$\.publications\[\?\(\s*@((?:\.[A-Za-z_][A-Za-z0-9_]*)+)\s*(==|!=)\s*('[^']*'|"[^"]*"|[^\s'"()]+)\s*\)\]\s*$`)

// parsePublicationFilter reads a filter with one comparison, == or !=, of a
// field with a text, a number, true or false. No filter is nil.
func parsePublicationFilter(text string) (*publicationFilter, error) {
	if text == "" {
		return nil, nil
	}
	m := publicationFilterForm.FindStringSubmatch(text)
	if m == nil {
		return nil, errors.New("not of the form $.publications[?(@.content.state == 'ringing')]")
	}
	given := m[3]
	if strings.HasPrefix(given, `"`) {
		given = "'" + strings.Trim(given, `"`) + "'"
	}
	value, err := literal(given)
	if err != nil {
		return nil, err
	}
	return &publicationFilter{path: strings.Split(m[1][1:], "."), equals: m[2] == "==", value: value}, nil
}

// matches judges a publication as decoded JSON. A field that it has not equals nothing.
func (f *publicationFilter) matches(document any) bool {
	for _, name := range f.path {
		object, isObject := document.(map[string]any)
		if !isObject {
			return !f.equals
		}
		document = object[name]
	}
	switch document.(type) {
	case string, float64, bool:
		return (document == f.value) == f.equals
	default:
		return !f.equals
	}
}
