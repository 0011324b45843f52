package double

import (
	"net/http"
	"path"
	"strings"
)

// Match returns a control that answers with reply the requests of a method
// whose path fits a pattern. An empty method, or "*", stands for every method.
//
// The pattern is compared segment by segment, each as in [path.Match]; the
// segment "**" stands for any number of segments. A pattern that does not begin
// with a slash may begin at any segment of the path.
func Match(method, pattern string, reply Reply) Control {
	if !strings.HasPrefix(pattern, "/") {
		pattern = "**/" + pattern
	}
	segments := strings.Split(strings.TrimPrefix(pattern, "/"), "/")
	return func(r *http.Request) *Reply {
		if method != "" && method != "*" && !strings.EqualFold(method, r.Method) {
			return nil
		}
		if !matchSegments(segments, strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")) {
			return nil
		}
		answer := reply
		return &answer
	}
}

func matchSegments(pattern, segments []string) bool {
	for len(pattern) > 0 {
		if pattern[0] == "**" {
			for i := range len(segments) + 1 {
				if matchSegments(pattern[1:], segments[i:]) {
					return true
				}
			}
			return false
		}
		if len(segments) == 0 {
			return false
		}
		if ok, err := path.Match(pattern[0], segments[0]); err != nil || !ok {
			return false
		}
		pattern, segments = pattern[1:], segments[1:]
	}
	return len(segments) == 0
}
