package verify

import (
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/presencebridge/presencebridge"
)

// cleanReport returns the report as it may leave the process. What it was made of is
// left alone.
func cleanReport(redact *redactor, report *UserReport) *UserReport {
	if report.Explanation != nil {
		e := *report.Explanation
		cut(&e.User.Endpoints)
		cut(&e.User.Groups)
		cut(&e.Endpoints)
		report.Explanation, report.User = &e, &e.User
	}
	report = clean(redact, report)
	if e := report.Explanation; e != nil {
		shorten(e.Writes, e.Failures)
	}
	return report
}

// cleanReset is cleanReport for what a reset did.
func cleanReset(redact *redactor, reset presencebridge.PhoneReset) presencebridge.PhoneReset {
	for _, state := range []*presencebridge.PhoneState{&reset.Before, &reset.After} {
		cut(&state.Endpoints)
	}
	cut(&reset.User.Endpoints)
	cut(&reset.User.Groups)
	reset = clean(redact, reset)
	shorten(reset.Writes, reset.Failures)
	return reset
}

// cut leaves the first entries of a list.
func cut[T any](list *[]T) {
	if len(*list) > maxListed {
		*list = (*list)[:maxListed]
	}
}

// maxWriteText is the longest text of one of several writes or failures, in bytes: the
// parting, or a note, has the whole error that matters.
const maxWriteText = 300

// shorten takes out of writes what the document has elsewhere, and what has no JSON
// form.
func shorten(writes []presencebridge.Write, failures []presencebridge.Failure) {
	for i := range writes {
		w := &writes[i]
		w.User.Endpoints, w.User.Groups, w.Err = nil, nil, nil
		w.Error, w.Rule = short(w.Error), short(w.Rule)
	}
	for i := range failures {
		failures[i].Error = short(failures[i].Error)
	}
}

func short(text string) string {
	if len(text) <= maxWriteText {
		return text
	}
	return strings.ToValidUTF8(text[:maxWriteText], "") + "…"
}

// clean returns a copy of a value in which every text is redacted and short, every
// time is in UTC, and every empty list is nil: the value that its JSON form gives
// back. It goes through whatever the type has, so that a field that is added to a
// report one day cannot be forgotten here.
func clean[T any](redact *redactor, v T) T {
	return cleanValue(redact, reflect.ValueOf(&v).Elem()).Interface().(T)
}

func cleanValue(redact *redactor, v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.String:
		out.SetString(redact.text(v.String()))
	case reflect.Pointer:
		if !v.IsNil() {
			out.Set(reflect.New(v.Type().Elem()))
			out.Elem().Set(cleanValue(redact, v.Elem()))
		}
	case reflect.Slice:
		for i := range v.Len() {
			out.Set(reflect.Append(out, cleanValue(redact, v.Index(i))))
		}
	case reflect.Map:
		if v.Len() > 0 {
			out.Set(reflect.MakeMapWithSize(v.Type(), v.Len()))
		}
		for _, key := range v.MapKeys() {
			out.SetMapIndex(cleanValue(redact, key), cleanValue(redact, v.MapIndex(key)))
		}
	case reflect.Struct:
		if t, ok := v.Interface().(time.Time); ok {
			out.Set(reflect.ValueOf(t.UTC().Round(0)))
			break
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				out.Field(i).Set(cleanValue(redact, v.Field(i)))
			}
		}
	case reflect.Interface: // an error, which a report has as text
	default:
		out.Set(v)
	}
	return out
}

// plain returns a text without what a terminal would obey, or that turns the order of
// letters: the answer of a service may be in it.
func plain(text string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) && !unicode.IsSpace(c) || unicode.Is(unicode.Bidi_Control, c) {
			return -1
		}
		return c
	}, text)
}
