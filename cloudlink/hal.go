package cloudlink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"

	"github.com/presencebridge/presencebridge/presence"
)

// maxPages bounds a listing whose pages never end.
const maxPages = 10_000

// page is one page of a HAL collection: {count, _links: {self, next?},
// _embedded: {items: []}} (the media API's definition of a collection).
type page struct {
	items []json.RawMessage
	next  string
}

func parsePage(body []byte) (page, error) {
	var w struct {
		Links struct {
			Next link `json:"next"`
		} `json:"_links"`
		Embedded struct {
			Items []json.RawMessage `json:"items"`
		} `json:"_embedded"`
	}
	if err := decodeObject(body, &w); err != nil {
		return page{}, err
	}
	return page{items: w.Embedded.Items, next: string(w.Links.Next)}, nil
}

// link is a HAL link: {"href": "..."}, or its URL alone.
type link string

func (l *link) UnmarshalJSON(b []byte) error {
	var object struct {
		Href text `json:"href"`
	}
	if b = bytes.TrimSpace(b); len(b) > 0 && b[0] == '{' && json.Unmarshal(b, &object) == nil {
		*l = link(object.Href)
		return nil
	}
	var t text
	_ = t.UnmarshalJSON(b)
	*l = link(t)
	return nil
}

// listing yields the items of a collection, page by page. Where a page names
// the next one, that is followed, on the same host only, because the token goes
// with it. Where no page ever does, the next one is asked for with $skip as long
// as pages are full.
//
// parse turns an item into a T. An item it refuses is yielded as an error that
// matches presence.ErrUnreadable, and the listing goes on; any other error ends it.
func listing[T any](ctx context.Context, c *Client, first call, parse func(json.RawMessage) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var (
			zero    T
			linked  bool   // a page has named its next one
			skip    int    // items so far
			opening []byte // the first item of the page before
		)
		base := c.bases[first.service]
		start := base.JoinPath(first.path)
		seen := make(map[string]bool)
		query := url.Values{"$top": {strconv.Itoa(c.pageSize)}}
		maps.Copy(query, first.query)
		start.RawQuery = query.Encode()
		for at, n := start, 0; at != nil; n++ {
			if seen[at.String()] || n == maxPages {
				yield(zero, &Error{Operation: first.operation, kind: ErrUnexpectedAnswer, cause: "the pages of the listing go in a circle"})
				return
			}
			seen[at.String()] = true
			var p page
			err := c.do(ctx, call{operation: first.operation, method: http.MethodGet, at: at, decode: func(body []byte) (err error) {
				p, err = parsePage(body)
				return err
			}})
			if err != nil {
				yield(zero, err)
				return
			}
			// A service that does not know $skip sends the same page again.
			if skip > 0 && !linked && len(p.items) > 0 && bytes.Equal(p.items[0], opening) {
				return
			}
			for _, raw := range p.items {
				item, err := parse(raw)
				if err != nil {
					err = &Error{Operation: first.operation, Err: errors.Join(presence.ErrUnreadable, err), kind: ErrUnexpectedAnswer, cause: "one item cannot be read"}
				}
				if !yield(item, err) {
					return
				}
			}
			skip += len(p.items)
			switch {
			case p.next != "":
				linked = true
				if at, err = at.Parse(p.next); err != nil || at.Scheme != base.Scheme || at.Host != base.Host || at.User != nil {
					yield(zero, &Error{Operation: first.operation, kind: ErrUnexpectedAnswer, cause: "the next page is said to be on another host"})
					return
				}
			case linked || len(p.items) < c.pageSize:
				at = nil
			default:
				opening = p.items[0]
				query.Set("$skip", strconv.Itoa(skip))
				next := *start
				next.RawQuery = query.Encode()
				at = &next
			}
		}
	}
}

// collect reads a whole listing that is known to be short.
func collect[T any](items iter.Seq2[T, error]) ([]T, error) {
	var (
		all    []T
		faults []error
	)
	for item, err := range items {
		if err != nil {
			faults = append(faults, err)
			continue
		}
		all = append(all, item)
	}
	return all, errors.Join(faults...)
}
