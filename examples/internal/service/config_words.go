package service

import (
	"strconv"
	"strings"
)

// suggest returns ": did you mean …?" for a word that is nearly one of known.
func suggest(word string, known []string) string {
	best, least := "", 3
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < least && d < len(k)-1 {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return ": did you mean " + best + "?"
}

// distance is how many letters have to be added, removed, changed or swapped
// with their neighbour. Long words are not compared.
func distance(a, b string) int {
	if len(a) > 40 || len(b) > 40 {
		return 40
	}
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// quote shows what somebody wrote, cut short.
func quote(value string) string { return strconv.Quote(cut(value)) }

// shown is quote without the quotes where there is nothing to quote.
func shown(value string) string {
	if q := quote(value); q != `"`+value+`"` {
		return q
	}
	return value
}

func cut(value string) string {
	if runes := []rune(value); len(runes) > 60 {
		return string(runes[:59]) + "…"
	}
	return value
}
