package verify

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// streamType is the type of streams of JSON lines.
const streamType = "application/x-ndjson"

// streamLine is one line of a stream.
type streamLine struct {
	Progress any    `json:"progress,omitempty"`
	Report   any    `json:"report,omitempty"`
	Error    string `json:"error,omitempty"`
}

// stream writes lines to a client. If one cannot be written, ctx ends, and with it
// what the client has asked for.
type stream struct {
	ctx     context.Context //nolint:containedctx // it belongs to the request, as the stream does
	cancel  context.CancelCauseFunc
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

// errLeft is why what a client asked for ends when it does not read on.
var errLeft = errors.New("verify: the client has left")

// stream begins a stream. The client is told at once that its request was accepted,
// as a run may have to wait for another one.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request) *stream {
	ctx, cancel := context.WithCancelCause(r.Context())
	s := &stream{ctx: ctx, cancel: cancel, w: w, control: http.NewResponseController(w), timeout: h.opts.LineTimeout}
	w.Header().Set("Content-Type", streamType)
	w.Header().Set("X-Accel-Buffering", "no") // nginx would hold the lines back
	w.WriteHeader(http.StatusOK)
	s.bounded(s.flush)
	return s
}

func (s *stream) end() { s.cancel(nil) }

// bounded gives the client the time of one line for what is sent, and none for the
// pause after it: over HTTP/2 a deadline that passes while nothing is being written
// ends the stream, and a server's own WriteTimeout would end a run that takes longer.
func (s *stream) bounded(send func()) {
	_ = s.control.SetWriteDeadline(time.Now().Add(s.timeout))
	send()
	_ = s.control.SetWriteDeadline(time.Time{})
}

// line writes a line. It is not called concurrently.
func (s *stream) line(line streamLine) {
	if errors.Is(context.Cause(s.ctx), errLeft) {
		return
	}
	data, err := json.Marshal(line)
	if err != nil {
		data, _ = json.Marshal(streamLine{Error: fmt.Sprintf("the answer cannot be written as JSON: %v", err)})
	}
	s.bounded(func() {
		if _, err := s.w.Write(append(data, '\n')); err != nil {
			s.cancel(errLeft)
			return
		}
		s.flush()
	})
}

// flush sends what was written. A writer that cannot flush sends it when it likes.
func (s *stream) flush() {
	if err := s.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		s.cancel(errLeft)
	}
}

// errBrokenOff is returned for a stream that has no end.
var errBrokenOff = errors.New("the stream broke off before the report came: look at the log of the service, and ask again")

// readStream reads a stream to its report or its error, of lines that are at most
// limit bytes long, and gives what it reads. Lines of a kind that it does not know
// are skipped: a later release may have more.
func readStream(r io.Reader, limit int, progress, report func(json.RawMessage) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, limit)
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var line struct {
			Progress json.RawMessage `json:"progress"`
			Report   json.RawMessage `json:"report"`
			Error    string          `json:"error"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return fmt.Errorf("a line of the stream is no JSON object: is there a proxy that changes it? %w", err)
		}
		if len(line.Progress) > 0 && progress != nil {
			if err := progress(line.Progress); err != nil {
				return fmt.Errorf("the progress cannot be read: %w", err)
			}
		}
		if len(line.Report) > 0 && string(line.Report) != "null" {
			if err := report(line.Report); err != nil {
				return fmt.Errorf("the report cannot be read: %w", err)
			}
			if line.Error == "" {
				return nil
			}
		}
		if line.Error != "" {
			return errors.New(new(redactor).text(line.Error))
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%w: %w", errBrokenOff, err)
	}
	return errBrokenOff
}
