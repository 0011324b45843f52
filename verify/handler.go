package verify

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/internal/secret"
	"github.com/presencebridge/presencebridge/presence"
)

// UserService makes the user check and what belongs to it. A [UserCheck] is one,
// and a [Client], so that a program need not know in which process it works. Its
// functions are called concurrently. The errors for somebody whom nobody knows match
// [presencebridge.ErrUnknownUser]. A report that comes with an error is what was done
// until then; over HTTP it comes, too.
type UserService interface {
	// Check tells what each hop holds of a user.
	Check(ctx context.Context, email string) (*UserReport, error)
	// ResetPhone resets the phone state of a user.
	ResetPhone(ctx context.Context, email string) (*ResetReport, error)
	// SyncAll brings all Teams presence to MiCollab, and tells how far it is. Who was
	// blocked and who failed is in the report; over HTTP, progress is without them.
	SyncAll(ctx context.Context, progress func(presencebridge.SyncReport)) (*SyncReport, error)
}

// SystemService makes the system check. A [SystemCheck] is one, and a [Client].
type SystemService interface {
	// Run makes the checks.
	Run(ctx context.Context, opts *RunOptions) (*Report, error)
}

var (
	_ UserService   = (*UserCheck)(nil)
	_ UserService   = (*Client)(nil)
	_ SystemService = (*SystemCheck)(nil)
	_ SystemService = (*Client)(nil)
)

// HandlerOptions are the settings of a [Handler]. The zero value of every field is
// its default.
type HandlerOptions struct {
	// Logger takes what is asked for that changes something, and what breaks; who asks
	// is known to the embedding service alone. Default: discards.
	Logger *slog.Logger
	// LineTimeout is how long a client may take to accept a line of a stream. One
	// that stops reading would otherwise keep everybody else from a run. Default: 30
	// seconds.
	LineTimeout time.Duration
}

// Handler serves the checks of a running bridge over HTTP, for an administrator's
// page or for a [Client].
//
// IT HAS NO AUTHENTICATION OF ITS OWN. What it tells is personal: who is on the
// telephone, who is absent, and how the company's systems are configured; and what
// it does changes presence. Mount it behind the embedding service's own
// authentication and authorization of administrators, over HTTPS, and never beside
// the webhook handlers that the world can reach.
//
//	GET  /checks              all checks: a list of [Check]
//	GET  /system              the last [Report] of a system check; 404 if there is none
//	POST /system?only=a,b     makes the checks, or those of the codes, and streams;
//	                          probe=E is the test user of the end-to-end probe
//	GET  /user?email=E        the user check of one person
//	POST /user/reset?email=E  resets the person's phone state
//	POST /sync                syncs all Teams presence with MiCollab, and streams
//
// A stream is of the type application/x-ndjson: one JSON object a line, flushed,
// each with "progress" (a [Progress], or a [presencebridge.SyncReport]), and at the
// end one with "report", with "error", or with both. A stream that ends without
// either was broken off. When the client leaves, the checks that are under way end;
// a reset and a sync are wishes, with which the bridge goes on.
//
// Any other answer is one JSON value; an error is an object with "error", a
// sentence, perhaps "reason", and "report" where something was done before it.
// Requests that a browser sends from another site are refused (403), and bodies,
// which are ignored, above 4 KiB (413).
type Handler struct {
	system *SystemCheck
	users  UserService
	opts   HandlerOptions
	redact *redactor
	inner  http.Handler
}

// NewHandler returns a handler of a system check and of a user check. One of them
// may be nil, and its paths answer 404. To mount it below a path, use
// [http.StripPrefix].
func NewHandler(system *SystemCheck, users UserService, opts *HandlerOptions) (*Handler, error) {
	if system == nil && users == nil {
		return nil, errors.New("verify: NewHandler has nothing to serve: give a SystemCheck or a UserService")
	}
	h := &Handler{system: system, users: users}
	if opts != nil {
		h.opts = *opts
	}
	if h.opts.LineTimeout < 0 {
		return nil, fmt.Errorf("verify: LineTimeout is %v: it cannot be negative", h.opts.LineTimeout)
	}
	if h.opts.Logger == nil {
		h.opts.Logger = slog.New(slog.DiscardHandler)
	}
	h.opts.LineTimeout = cmp.Or(h.opts.LineTimeout, 30*time.Second)
	mux := http.NewServeMux()
	var secrets []presence.Secret
	if system != nil {
		secrets = append(append(secrets, system.settings.Secret), system.opts.Secrets...)
		mux.HandleFunc("GET /checks", h.checks)
		mux.HandleFunc("GET /system", h.lastReport)
		mux.HandleFunc("POST /system", h.runSystem)
	}
	if check, ok := users.(*UserCheck); ok {
		secrets = append(secrets, check.opts.Secrets...)
	}
	h.redact = newRedactor(secrets)
	if users != nil {
		mux.HandleFunc("GET /user", forUser(h, users.Check))
		mux.HandleFunc("POST /user/reset", forUser(h, users.ResetPhone))
		mux.HandleFunc("POST /sync", h.sync)
	}
	h.inner = http.NewCrossOriginProtection().Handler(mux)
	return h, nil
}

// ServeHTTP answers a request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	out := &response{ResponseWriter: w}
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if v == http.ErrAbortHandler { //nolint:errorlint // the server compares it like this
			panic(v)
		}
		h.opts.Logger.ErrorContext(r.Context(), "a request to the checks broke off", "path", r.URL.Path, "panic", secret.PanicText(v))
		if !out.begun {
			h.fail(out, http.StatusInternalServerError, "", errors.New("the request broke off: the log of the service says where"))
		}
	}()
	// Reading the body is what lets the server notice that a client leaves.
	if _, err := io.Copy(io.Discard, http.MaxBytesReader(out, r.Body, 4<<10)); err != nil {
		h.fail(out, http.StatusRequestEntityTooLarge, "", errors.New("the body is too long, or ended early: send none"))
		return
	}
	h.inner.ServeHTTP(out, r)
}

// response knows whether an answer has begun.
type response struct {
	http.ResponseWriter
	begun bool
}

func (a *response) WriteHeader(status int) {
	a.begun = true
	a.ResponseWriter.WriteHeader(status)
}

func (a *response) Write(data []byte) (int, error) {
	a.begun = true
	return a.ResponseWriter.Write(data)
}

// Unwrap is for [http.ResponseController].
func (a *response) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (h *Handler) checks(w http.ResponseWriter, _ *http.Request) { h.send(w, h.system.checks) }

func (h *Handler) lastReport(w http.ResponseWriter, _ *http.Request) {
	report := h.system.Last()
	if report == nil {
		h.fail(w, http.StatusNotFound, reasonNoReport, ErrNoReport)
		return
	}
	h.send(w, report)
}

func (h *Handler) runSystem(w http.ResponseWriter, r *http.Request) {
	var o RunOptions
	for _, list := range r.URL.Query()["only"] {
		for code := range strings.SplitSeq(list, ",") {
			if code = strings.TrimSpace(code); code != "" {
				o.Only = append(o.Only, Code(code))
			}
		}
	}
	if _, err := h.system.wanted(o.Only); err != nil {
		h.fail(w, http.StatusBadRequest, reasonUnknownCode, err)
		return
	}
	if o.ProbeUser = strings.TrimSpace(r.URL.Query().Get("probe")); o.ProbeUser != "" {
		if len(o.ProbeUser) > maxEmail || h.system.sources.Sessions == nil {
			h.fail(w, http.StatusBadRequest, "", errors.New("the parameter probe is too long, or there is no probe here: leave it out"))
			return
		}
		h.opts.Logger.InfoContext(r.Context(), "asked to probe with a session of a test user")
	}
	s := h.stream(w, r)
	defer s.end()
	o.Progress = func(p Progress) { s.line(streamLine{Progress: p}) }
	report, err := h.system.Run(s.ctx, &o)
	if report == nil {
		s.line(streamLine{Error: h.sentence(err)})
		return
	}
	s.line(streamLine{Report: report, Error: h.sentence(err)})
}

// forUser serves a function of the user check.
func forUser[R any](h *Handler, do func(context.Context, string) (*R, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		email := strings.TrimSpace(r.URL.Query().Get("email"))
		if email == "" || len(email) > maxEmail {
			h.fail(w, http.StatusBadRequest, "", errors.New("the parameter email is missing or too long: give the user's e-mail address"))
			return
		}
		if r.Method != http.MethodGet {
			h.opts.Logger.InfoContext(r.Context(), "asked to change the state of a user", "path", r.URL.Path)
		}
		report, err := do(r.Context(), email)
		if err == nil {
			h.send(w, report)
			return
		}
		f, status := failure{Error: h.sentence(err)}, http.StatusInternalServerError
		if errors.Is(err, presencebridge.ErrUnknownUser) {
			f.Reason, status = reasonUnknownUser, http.StatusNotFound
		}
		if report != nil {
			if f.Report, err = json.Marshal(report); err != nil {
				f.Report = nil // why the request failed matters more
			}
		}
		h.refuse(w, status, f)
	}
}

// maxEmail is the longest mail address (RFC 3696, erratum 1690, has 254; a user
// principal name may have 113 and is no longer).
const maxEmail = 254

func (h *Handler) sync(w http.ResponseWriter, r *http.Request) {
	h.opts.Logger.InfoContext(r.Context(), "asked to sync all Teams presence with MiCollab")
	s := h.stream(w, r)
	defer s.end()
	report, err := h.users.SyncAll(s.ctx, func(p presencebridge.SyncReport) {
		// Thousands of names in each of hundreds of lines would be more than the report.
		p.Blocked, p.Failed = nil, nil
		s.line(streamLine{Progress: p})
	})
	s.line(streamLine{Report: report, Error: h.sentence(err)})
}

// sentence returns an error without secrets; empty for none.
func (h *Handler) sentence(err error) string {
	if err == nil {
		return ""
	}
	return cmp.Or(h.redact.text(err.Error()), "the request failed")
}

// send answers with a value.
func (h *Handler) send(w http.ResponseWriter, value any) {
	data, err := json.Marshal(value)
	if err != nil {
		h.fail(w, http.StatusInternalServerError, "", fmt.Errorf("the answer cannot be written as JSON: %w", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(data, '\n'))
}

// failure is the answer to a request that failed.
type failure struct {
	Error  string `json:"error"`
	Reason string `json:"reason,omitempty"`
	// Report is what was done before.
	Report json.RawMessage `json:"report,omitempty"`
}

// fail answers with an error.
func (h *Handler) fail(w http.ResponseWriter, status int, reason string, err error) {
	h.refuse(w, status, failure{Error: h.sentence(err), Reason: reason})
}

func (h *Handler) refuse(w http.ResponseWriter, status int, f failure) {
	data, _ := json.Marshal(f) // of strings and of JSON, which cannot fail
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(data, '\n'))
}
