package graph

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/microsoftgraph/msgraph-sdk-go/communications"

	"github.com/presencebridge/presencebridge/presence"
)

// MaxBulkUsers is how many users one request reads
// (learn.microsoft.com/graph/api/cloudcommunications-getpresencesbyuserid).
const MaxBulkUsers = 650

// maxBulkAnswer bounds the answer of one bulk request: about 50 KB for each of
// its users, which a status message may fill.
const maxBulkAnswer = 32 << 20

// Presences returns what Teams shows for any number of users, by object id, in no
// order and each once. It sends one request for each 650 users, several at a time
// ([Options].MaxInFlight).
//
// A user that Microsoft Graph leaves out, or reports in a way that cannot be
// read, is left out here. When a request fails, the others still count: then the
// error is a [*PartialError] with the users that were not read, and what was read
// is returned beside it.
func (c *Client) Presences(ctx context.Context, userIDs []string) ([]presence.Presence, error) {
	var (
		wanted  = make([]string, 0, len(userIDs))
		seen    = make(map[string]struct{}, len(userIDs))
		partial PartialError
		faults  []error
	)
	for _, id := range userIDs {
		if _, again := seen[id]; again {
			continue
		}
		seen[id] = struct{}{}
		// One id that is none would make the service refuse all 650.
		if checkUserID(id) != nil {
			partial.Unread = append(partial.Unread, id)
			continue
		}
		wanted = append(wanted, id)
	}
	if n := len(partial.Unread); n > 0 {
		faults = append(faults, invalid(opReadPresences, "%d of the ids, %q first, are not object ids of accounts", n, partial.Unread[0]))
	}
	chunks := slices.Collect(slices.Chunk(wanted, MaxBulkUsers))
	results := make([]bulkResult, len(chunks))
	if len(chunks) == 1 {
		results[0] = c.readChunk(ctx, chunks[0])
	} else {
		c.readChunks(ctx, chunks, results)
	}
	all := make([]presence.Presence, 0, len(wanted))
	for i, r := range results {
		all = append(all, r.presences...)
		if r.err != nil {
			faults = append(faults, r.err)
			partial.Unread = append(partial.Unread, chunks[i]...)
		}
	}
	if len(faults) == 0 {
		return all, nil
	}
	partial.Err = errors.Join(faults...)
	return all, &partial
}

type bulkResult struct {
	presences []presence.Presence
	err       error
}

func (c *Client) readChunks(ctx context.Context, chunks [][]string, results []bulkResult) {
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(c.maxInFlight, len(chunks)) {
		workers.Go(func() {
			for i := range next {
				results[i] = c.readChunk(ctx, chunks[i])
			}
		})
	}
	for i := range chunks {
		next <- i
	}
	close(next)
	workers.Wait()
}

// readChunk reads at most MaxBulkUsers users.
func (c *Client) readChunk(ctx context.Context, ids []string) bulkResult {
	if err := context.Cause(ctx); err != nil {
		return bulkResult{err: transportError(opReadPresences.name, err)}
	}
	body := communications.NewGetPresencesByUserIdPostRequestBody()
	body.SetIds(ids)
	info, err := communications.NewGetPresencesByUserIdRequestBuilderInternal(c.path, c.adapter).ToPostRequestInformation(ctx, body, nil)
	if err != nil {
		return bulkResult{err: buildError(opReadPresences, err)}
	}
	var (
		presences []presence.Presence
		skipped   int
	)
	err = c.do(ctx, opReadPresences, info, maxBulkAnswer, func(body io.Reader) error {
		presences, skipped, err = decodePresences(body, ids)
		return err
	})
	if err != nil {
		// What was decoded before the answer broke off is not kept: all users of
		// the request count as unread.
		return bulkResult{err: err}
	}
	if skipped > 0 {
		c.metrics.skipped(ctx, opReadPresences.name, skipped)
		c.logger.WarnContext(ctx, "presences that could not be read were left out", "skipped", skipped, "asked", len(ids))
	}
	return bulkResult{presences: presences}
}

// wirePresence is one presence as the service writes it. One value serves all
// items of an answer, so that an item costs no memory but its sequence number.
type wirePresence struct {
	ID             wireText         `json:"id"`
	Availability   wireAvailability `json:"availability"`
	Activity       wireActivity     `json:"activity"`
	SequenceNumber string           `json:"sequenceNumber"`
	OutOfOffice    struct {
		Is bool `json:"isOutOfOffice"`
	} `json:"outOfOfficeSettings"`
}

func (w *wirePresence) presence() presence.Presence {
	return presence.Presence{
		Availability:   presence.Availability(w.Availability),
		Activity:       presence.Activity(w.Activity),
		OutOfOffice:    w.OutOfOffice.Is,
		SequenceNumber: w.SequenceNumber,
	}
}

func (w *wirePresence) reset() { *w = wirePresence{ID: w.ID[:0]} }

// wireText is a JSON string whose memory is used again.
type wireText []byte

func (t *wireText) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*t = (*t)[:0]
		return nil
	}
	raw, ok := plain(b)
	if !ok {
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		raw = []byte(s)
	}
	*t = append((*t)[:0], raw...)
	return nil
}

// plain returns what stands between the quotes of a JSON string without escapes.
func plain(b []byte) ([]byte, bool) {
	if len(b) < 2 || b[0] != '"' || slices.Contains(b, '\\') {
		return nil, false
	}
	return b[1 : len(b)-1], true
}

type wireAvailability presence.Availability

var availabilities = words(presence.Availabilities())

func (a *wireAvailability) UnmarshalJSON(b []byte) error {
	word, err := parseWord(b, availabilities, presence.ParseAvailability)
	*a = wireAvailability(word)
	return err
}

type wireActivity presence.Activity

var activities = words(presence.Activities())

func (a *wireActivity) UnmarshalJSON(b []byte) error {
	word, err := parseWord(b, activities, presence.ParseActivity)
	*a = wireActivity(word)
	return err
}

func words[T ~string](all []T) map[string]T {
	m := make(map[string]T, len(all))
	for _, w := range all {
		m[string(w)] = w
	}
	return m
}

// parseWord finds the documented spelling without making a string of b, and
// leaves everything else to parse.
func parseWord[T ~string](b []byte, known map[string]T, parse func(string) T) (T, error) {
	if raw, ok := plain(b); ok {
		if w, ok := known[string(raw)]; ok {
			return w, nil
		}
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return "", err
	}
	return parse(s), nil
}

// decodePresence reads the answer for one user.
func decodePresence(body io.Reader) (presence.Presence, error) {
	var item wirePresence
	if err := json.NewDecoder(body).Decode(&item); err != nil {
		return presence.Presence{}, err
	}
	if len(item.ID) == 0 && item.Availability == "" {
		return presence.Presence{}, errors.New("graph: the answer is not a presence")
	}
	return item.presence(), nil
}

// decodePresences reads a bulk answer item by item. An item that cannot be read,
// has no id, or was not asked for, is skipped and counted. The ids are those of
// the request, letter by letter.
func decodePresences(body io.Reader, ids []string) (presences []presence.Presence, skipped int, err error) {
	left := make(map[string]string, len(ids))
	for _, id := range ids {
		left[id] = id
	}
	presences = make([]presence.Presence, 0, len(ids))
	var item wirePresence
	err = eachValue(body, func(d *json.Decoder) error {
		item.reset()
		if err := d.Decode(&item); err != nil {
			if isSyntax(err) {
				return err
			}
			skipped++
			return nil
		}
		id, asked := left[string(item.ID)]
		if !asked {
			id, asked = foldKey(left, string(item.ID))
		}
		if !asked {
			skipped++
			return nil
		}
		delete(left, id)
		p := item.presence()
		p.UserID = id
		presences = append(presences, p)
		return nil
	})
	return presences, skipped, err
}

// foldKey finds a key whatever its case. It is the exception: the service
// repeats ids as they were sent.
func foldKey(m map[string]string, key string) (string, bool) {
	if key == "" {
		return "", false
	}
	for k := range m {
		if strings.EqualFold(k, key) {
			return k, true
		}
	}
	return "", false
}

// isSyntax reports whether the decoder cannot go on: after an error of another
// kind, such as a number in the place of a string, it stands behind the item.
func isSyntax(err error) bool {
	var syntax *json.SyntaxError
	return errors.As(err, &syntax) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errTooLarge)
}

// eachValue walks an OData collection, {"value":[…],…}, and calls item with the
// decoder in front of each element.
func eachValue(body io.Reader, item func(*json.Decoder) error) error {
	_, err := eachValueAndLink(body, item)
	return err
}

// eachValueAndLink does the same and returns @odata.nextLink.
func eachValueAndLink(body io.Reader, item func(*json.Decoder) error) (nextLink string, err error) {
	d := json.NewDecoder(body)
	if err := expectDelim(d, json.Delim('{')); err != nil {
		return "", err
	}
	found := false
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return "", err
		}
		switch key {
		case "value":
			found = true
			if err := expectDelim(d, json.Delim('[')); err != nil {
				return "", err
			}
			for d.More() {
				before := d.InputOffset()
				if err := item(d); err != nil {
					return "", err
				}
				if d.InputOffset() == before {
					// The body has broken off within an item. More sees what is there
					// of it and would say so for ever; Decode repeats what Read said.
					return "", d.Decode(new(skippedJSON))
				}
			}
			if err := expectDelim(d, json.Delim(']')); err != nil {
				return "", err
			}
		case "@odata.nextLink":
			if err := d.Decode(&nextLink); err != nil {
				return "", err
			}
		default:
			var other skippedJSON
			if err := d.Decode(&other); err != nil {
				return "", err
			}
		}
	}
	if err := expectDelim(d, json.Delim('}')); err != nil {
		return "", err
	}
	if !found {
		return "", errors.New("graph: the answer is not a collection")
	}
	return nextLink, nil
}
