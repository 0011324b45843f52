package graphtest

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

var errDuration = errors.New("not an ISO 8601 duration of days, hours, minutes and seconds")

// maxDurationPart bounds each part of a duration, so that no sum overflows.
const maxDurationPart = 10_000 * 24 * time.Hour

// parseDuration parses the durations that OData sends (Edm.Duration): days,
// hours, minutes and seconds of ISO 8601, each at most once, in this order, the
// last with an optional fraction where it is seconds.
func parseDuration(s string) (time.Duration, error) {
	rest, ok := strings.CutPrefix(s, "P")
	if !ok {
		return 0, errDuration
	}
	days, clock, hasClock := strings.Cut(rest, "T")
	if hasClock && clock == "" || rest == "" {
		return 0, errDuration
	}
	total, err := parseUnits(days, []unit{{'D', 24 * time.Hour}})
	if err != nil {
		return 0, err
	}
	d, err := parseUnits(clock, []unit{{'H', time.Hour}, {'M', time.Minute}, {'S', time.Second}})
	if err != nil {
		return 0, err
	}
	return total + d, nil
}

type unit struct {
	letter byte
	worth  time.Duration
}

func parseUnits(s string, units []unit) (time.Duration, error) {
	var total time.Duration
	for _, u := range units {
		number, rest, ok := strings.Cut(s, string(u.letter))
		if !ok {
			continue
		}
		s = rest
		if number == "" || strings.Trim(number, "0123456789.") != "" || number[0] == '.' || number[len(number)-1] == '.' {
			return 0, errDuration
		}
		if u.letter != 'S' && strings.Contains(number, ".") {
			return 0, errDuration
		}
		value, err := strconv.ParseFloat(number, 64)
		part := math.Round(value * float64(u.worth))
		if err != nil || part > float64(maxDurationPart) {
			return 0, errDuration
		}
		total += time.Duration(part)
	}
	if s != "" {
		return 0, errDuration
	}
	return total, nil
}
