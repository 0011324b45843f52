package cloudlink

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// CloudLink is free with its types: whoami gives booleans and times as strings
// ("false", "1591690894"), other resources give them as such. These types take
// every form and never fail, so that one odd field does not hide the others.

// text is a string that may come as a number or a boolean. Anything else is "".
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	*t = ""
	b = bytes.TrimSpace(b)
	switch {
	case len(b) == 0 || b[0] == '{' || b[0] == '[' || string(b) == "null":
	case b[0] == '"':
		var s string
		if json.Unmarshal(b, &s) == nil {
			*t = text(s)
		}
	default:
		*t = text(b)
	}
	return nil
}

// flag is a boolean that may come as a string. Anything but true is false.
type flag bool

func (f *flag) UnmarshalJSON(b []byte) error {
	var t text
	_ = t.UnmarshalJSON(b)
	v, err := strconv.ParseBool(strings.ToLower(strings.TrimSpace(string(t))))
	*f = flag(err == nil && v)
	return nil
}

// number is an integer that may come as a string or with a fraction, which is
// dropped. Anything else is 0.
type number int64

func (n *number) UnmarshalJSON(b []byte) error {
	var t text
	_ = t.UnmarshalJSON(b)
	*n = 0
	s := strings.TrimSpace(string(t))
	if v, err := strconv.ParseInt(s, 10, 64); err == nil {
		*n = number(v)
	} else if f, err := strconv.ParseFloat(s, 64); err == nil && f > -1e15 && f < 1e15 {
		*n = number(f)
	}
	return nil
}

// instant is a time that may come as RFC 3339 text or as the seconds or
// milliseconds since 1970, as a number or in a string. Anything else is zero.
type instant struct{ time.Time }

// firstMillisecond divides seconds from milliseconds: as seconds it is the year
// 5138, as milliseconds 1973.
const firstMillisecond = 100_000_000_000

func (i *instant) UnmarshalJSON(b []byte) error {
	i.Time = time.Time{}
	var t text
	_ = t.UnmarshalJSON(b)
	if parsed, err := time.Parse(time.RFC3339Nano, strings.TrimSpace(string(t))); err == nil {
		i.Time = parsed
		return nil
	}
	var n number
	_ = n.UnmarshalJSON(b)
	switch {
	case n <= 0:
	case n < firstMillisecond:
		i.Time = time.Unix(int64(n), 0).UTC()
	default:
		i.Time = time.UnixMilli(int64(n)).UTC()
	}
	return nil
}
