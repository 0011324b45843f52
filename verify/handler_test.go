package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/presence"
)

// people is a user check.
type people struct {
	syncErr, resetErr error
	started           chan struct{} // if set, SyncAll closes it, and waits for its context
	ended             chan error
}

func (p *people) Check(_ context.Context, email string) (*UserReport, error) {
	switch email {
	case "nobody@example.com":
		return nil, fmt.Errorf("%w: %s", presencebridge.ErrUnknownUser, email)
	case "broken@example.com":
		return nil, errors.New("the service hangs with " + testSecret)
	case "panic@example.com":
		panic("hunter2")
	case "abort@example.com":
		panic(http.ErrAbortHandler)
	}
	return &UserReport{Kind: UserReportKind, Version: UserReportVersion, Email: email}, nil
}

func (p *people) ResetPhone(_ context.Context, email string) (*ResetReport, error) {
	return &ResetReport{Kind: ResetReportKind, Version: UserReportVersion, Email: email}, p.resetErr
}

func (p *people) SyncAll(ctx context.Context, progress func(presencebridge.SyncReport)) (*SyncReport, error) {
	progress(presencebridge.SyncReport{
		Total: 2, Done: 1, Blocked: map[string]presencebridge.Block{"id-bob": presencebridge.BlockDamping}, Failed: map[string]string{"id-cy": "gone"},
	})
	if p.started != nil {
		close(p.started)
		<-ctx.Done()
		p.ended <- ctx.Err()
	}
	return &SyncReport{Kind: SyncReportKind, Version: UserReportVersion, Total: 2, Changed: 2}, p.syncErr
}

// serving returns a client of a handler that is served below a path.
func serving(t *testing.T, system *SystemCheck, users UserService, opts *HandlerOptions) (*Client, *httptest.Server) {
	t.Helper()
	h, err := NewHandler(system, users, opts)
	require.NoError(t, err)
	server := httptest.NewServer(http.StripPrefix("/admin/verify", h))
	t.Cleanup(server.Close)
	c, err := NewClient(server.URL+"/admin/verify/", server.Client())
	require.NoError(t, err)
	return c, server
}

func TestClientMakesTheChecksOfARunningBridge(t *testing.T) {
	system := engine(t, newPlant(), nil, made("root", broken), made("leaf", fine, on("root")...), made("other", passed(Evidence{"seen", "now"})))
	c, _ := serving(t, system, nil, nil)
	ctx := t.Context()

	checks, err := c.Checks(ctx)
	require.NoError(t, err)
	require.Len(t, checks, 3)
	assert.Equal(t, on("root"), checks[1].DependsOn)

	_, err = c.Last(ctx)
	require.ErrorIs(t, err, ErrNoReport)

	var steps []Progress
	report, err := c.Run(ctx, &RunOptions{Progress: func(p Progress) { steps = append(steps, p) }})
	require.NoError(t, err)
	assert.Equal(t, system.Last(), report, "what the bridge found")
	require.Len(t, steps, 5, "two begin, three end")
	assert.Equal(t, 3, steps[4].Done)
	last, err := c.Last(ctx)
	require.NoError(t, err)
	assert.Equal(t, report, last)

	steps = nil
	_, err = c.Run(ctx, &RunOptions{Only: []Code{"root", "leaf"}, Progress: func(p Progress) { steps = append(steps, p) }})
	require.NoError(t, err)
	require.NotEmpty(t, steps)
	assert.Equal(t, 2, steps[0].Total)

	_, err = c.Run(ctx, &RunOptions{Only: []Code{"rood"}})
	require.ErrorIs(t, err, ErrUnknownCode)
	require.ErrorContains(t, err, "rood")
}

func TestClientAsksForPeople(t *testing.T) {
	users := &people{}
	var log bytes.Buffer
	c, _ := serving(t, engine(t, newPlant(), nil), users, &HandlerOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	ctx := t.Context()
	got, err := c.Check(ctx, "ada+x@example.com")
	require.NoError(t, err)
	assert.Equal(t, &UserReport{Kind: UserReportKind, Version: UserReportVersion, Email: "ada+x@example.com"}, got)
	reset, err := c.ResetPhone(ctx, "ada@example.com")
	require.NoError(t, err)
	assert.Equal(t, &ResetReport{Kind: ResetReportKind, Version: UserReportVersion, Email: "ada@example.com"}, reset)
	assert.Contains(t, log.String(), "/user/reset", "who changes something is told to the log")

	users.resetErr = errors.New("the telephones hang with " + testSecret)
	reset, err = c.ResetPhone(ctx, "ada@example.com")
	require.ErrorContains(t, err, "the telephones hang with [removed]")
	assert.Equal(t, &ResetReport{Kind: ResetReportKind, Version: UserReportVersion, Email: "ada@example.com"}, reset, "what was done until then")

	_, err = c.Check(ctx, "nobody@example.com")
	require.ErrorIs(t, err, presencebridge.ErrUnknownUser)
	_, err = c.Check(ctx, "broken@example.com")
	require.ErrorContains(t, err, "the service hangs with [removed]")
	_, err = c.Check(ctx, "panic@example.com")
	require.ErrorContains(t, err, "broke off")
	assert.NotContains(t, err.Error()+log.String(), "hunter2")
	_, err = c.Check(ctx, "")
	require.ErrorContains(t, err, "email is missing")
	_, err = c.Check(ctx, strings.Repeat("a", 300))
	require.ErrorContains(t, err, "too long")
	_, err = c.Check(ctx, "abort@example.com")
	require.ErrorContains(t, err, "does not answer")
	assert.NotContains(t, err.Error(), "abort@example.com")

	var steps []int
	synced, err := c.SyncAll(ctx, func(r presencebridge.SyncReport) {
		steps = append(steps, r.Done)
		assert.Empty(t, r.Blocked, "names are in the report")
		assert.Empty(t, r.Failed)
	})
	require.NoError(t, err)
	assert.Equal(t, []int{1}, steps)
	assert.Equal(t, 2, synced.Changed)
	users.syncErr = presencebridge.ErrStopped
	synced, err = c.SyncAll(ctx, nil)
	require.ErrorContains(t, err, presencebridge.ErrStopped.Error())
	assert.Equal(t, 2, synced.Changed, "what was done comes with the error")
}

func TestWhatAClientAskedForEndsWhenItLeaves(t *testing.T) {
	ended := make(chan struct{})
	hangs := made("hangs", fine)
	hangs.run = func(ctx context.Context, _ *facts, _ string) finding {
		<-ctx.Done()
		close(ended)
		return broken
	}
	hangs.bound = func(*SystemOptions) time.Duration { return time.Hour }
	users := &people{started: make(chan struct{}), ended: make(chan error, 1)}
	c, _ := serving(t, engine(t, newPlant(), nil, hangs), users, nil)

	left := errors.New("the administrator has left")
	ctx, leave := context.WithCancelCause(t.Context())
	_, err := c.Run(ctx, &RunOptions{Progress: func(p Progress) { leave(left) }})
	require.ErrorIs(t, err, left)
	<-ended

	ctx, stop := context.WithCancel(t.Context())
	synced, err := c.SyncAll(ctx, func(presencebridge.SyncReport) {
		<-users.started
		stop()
	})
	require.ErrorIs(t, err, context.Canceled)
	require.NotNil(t, synced, "what was told last")
	assert.Equal(t, 2, synced.Total)
	assert.False(t, synced.Complete)
	assert.ErrorIs(t, <-users.ended, context.Canceled)
}

// deafWriter is the connection of a client that accepts some lines and then stops
// reading.
type deafWriter struct {
	httptest.ResponseRecorder
	lines    int
	deadline time.Time
}

func (w *deafWriter) SetWriteDeadline(at time.Time) error {
	w.deadline = at
	return nil
}

func (w *deafWriter) Write(data []byte) (int, error) {
	if w.lines--; w.lines < 0 {
		time.Sleep(time.Until(w.deadline))
		return 0, errors.New("i/o timeout")
	}
	return w.ResponseRecorder.Write(data)
}

func TestAClientThatDoesNotReadHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := made("hangs", fine)
		hangs.run = func(ctx context.Context, _ *facts, _ string) finding {
			<-ctx.Done()
			return broken
		}
		hangs.bound = func(*SystemOptions) time.Duration { return time.Hour }
		h, err := NewHandler(engine(t, newPlant(), nil, made("quick", fine), hangs), nil, &HandlerOptions{LineTimeout: 5 * time.Second})
		require.NoError(t, err)
		began := time.Now()
		w := &deafWriter{ResponseRecorder: *httptest.NewRecorder(), lines: 1}
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/system", nil))
		assert.Equal(t, 5*time.Second, time.Since(began), "the run ended with its client, not with its checks")
		assert.True(t, w.deadline.IsZero(), "the next request on the connection has its own time")
	})
}

// strictWriter is a stream of HTTP/2: a deadline ends it as soon as it has passed,
// though nothing is being written.
type strictWriter struct {
	httptest.ResponseRecorder
	timer  *time.Timer
	passed bool
}

func (w *strictWriter) SetWriteDeadline(at time.Time) error {
	w.timer.Stop()
	if !at.IsZero() {
		w.timer = time.AfterFunc(time.Until(at), func() { w.passed = true })
	}
	return nil
}

func TestAStreamOutlivesThePausesBetweenItsLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := made("slow", fine)
		slow.run = func(context.Context, *facts, string) finding {
			time.Sleep(time.Minute)
			return fine
		}
		slow.bound = func(*SystemOptions) time.Duration { return time.Hour }
		h, err := NewHandler(engine(t, newPlant(), nil, slow), nil, &HandlerOptions{LineTimeout: 5 * time.Second})
		require.NoError(t, err)
		w := &strictWriter{ResponseRecorder: *httptest.NewRecorder()}
		// As a server with a WriteTimeout leaves it.
		w.timer = time.AfterFunc(30*time.Second, func() { w.passed = true })
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/system", nil))
		synctest.Wait()
		assert.False(t, w.passed, "the time of a line is not that of the pause after it")
		assert.Contains(t, w.Body.String(), `"report"`)
	})
}

func TestHandlerRefuses(t *testing.T) {
	h, err := NewHandler(engine(t, newPlant(), nil, made("only", fine)), &people{}, nil)
	require.NoError(t, err)
	try := func(method, target, body string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		assert.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
		return w
	}
	for _, target := range []string{"/system", "/sync", "/user/reset?email=ada@example.com"} {
		assert.Equal(t, http.StatusForbidden, try(http.MethodPost, target, "", "Sec-Fetch-Site", "cross-site").Code, target)
		assert.Equal(t, http.StatusForbidden, try(http.MethodPost, target, "", "Origin", "https://evil.example").Code, target)
		assert.Equal(t, http.StatusRequestEntityTooLarge, try(http.MethodPost, target, strings.Repeat("x", 5000)).Code, target)
		assert.Equal(t, http.StatusOK, try(http.MethodPost, target, "ignored", "Sec-Fetch-Site", "same-origin").Code, target)
		assert.Equal(t, http.StatusMethodNotAllowed, try(http.MethodDelete, target, "").Code, target)
	}
	for _, target := range []string{"/sync", "/user/reset?email=ada@example.com"} {
		assert.Equal(t, http.StatusMethodNotAllowed, try(http.MethodGet, target, "").Code, "%s: what changes something is no GET", target)
	}
	assert.Equal(t, http.StatusNotFound, try(http.MethodGet, "/", "").Code)
	w := try(http.MethodPost, "/system?only=x&only=only", "")
	assert.Equal(t, http.StatusBadRequest, w.Code)
	var f failure
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &f))
	assert.Equal(t, "unknown-check", f.Reason)
	w = try(http.MethodPost, "/system?only=+only+,,&only=", "")
	assert.Equal(t, streamType, w.Header().Get("Content-Type"))
	assert.True(t, w.Flushed)

	// The errors of a user check hold none of its secrets either.
	d := newDesk()
	d.resetErr = errors.New("refused: the plain-word")
	h, err = NewHandler(nil, d.check(t, &UserOptions{Secrets: []presence.Secret{presence.NewSecret("plain-word")}}), nil)
	require.NoError(t, err)
	w = try(http.MethodPost, "/user/reset?email=ada@example.com", "")
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &f))
	assert.Equal(t, "refused: the [removed]", f.Error)

	_, err = NewHandler(nil, nil, nil)
	require.ErrorContains(t, err, "nothing to serve")
	_, err = NewHandler(nil, &people{}, &HandlerOptions{LineTimeout: -1})
	require.ErrorContains(t, err, "LineTimeout")
	h, err = NewHandler(nil, &people{}, nil)
	require.NoError(t, err)
	assert.Equal(t, http.StatusNotFound, try(http.MethodGet, "/checks", "").Code)
}

func TestClientTellsWhatAnswersInPlaceOfTheBridge(t *testing.T) {
	var status int
	var kind, body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	defer server.Close()
	c, err := NewClient(server.URL, nil)
	require.NoError(t, err)
	report := `{"kind":"presencebridge system check","version":1}`
	for _, answer := range []struct {
		status           int
		kind, body, want string
	}{
		{200, "text/html", "<html>", "pages of login"},
		{302, "", "", "pages of login"},
		{401, "text/plain", "", "sign in"},
		{404, "text/plain", "", "is the handler mounted there?"},
		{500, "application/json", `{"error":"with password: hunter2"}`, "with password: [removed]"},
		{500, "application/json", `[]`, "500 Internal Server Error"},
		{200, streamType, "", "broke off"},
		{200, streamType, `{"progress":{}}` + "\n\n" + `{"later":1}` + "\n", "broke off"},
		{200, streamType, "nonsense\n", "no JSON object"},
		{200, streamType, `{"progress":7}`, "progress cannot be read"},
		{200, streamType, `{"report":{"kind":"another"}}`, `its kind is "another"`},
		{200, streamType, `{"report":{"kind":"presencebridge system check","version":9}}`, "same release"},
		{200, streamType, `{"error":"the client secret=hunter2 is wrong"}`, "secret=[removed] is wrong"},
		{200, streamType, `{"report":` + report + `,"error":"cut short"}`, "cut short"},
		{200, streamType + "; charset=utf-8", `{"report":` + report + `}`, ""},
	} {
		status, kind, body = answer.status, answer.kind, answer.body
		got, err := c.Run(t.Context(), &RunOptions{Progress: func(Progress) {}})
		if answer.want == "" {
			require.NoError(t, err)
			assert.Equal(t, ReportKind, got.Kind)
			continue
		}
		require.ErrorContains(t, err, answer.want, answer.body)
		assert.NotContains(t, err.Error(), "hunter2")
		assert.Equal(t, answer.want == "cut short", got != nil)
	}
	status, kind, body = 200, "application/json", `{"kind":"x"}`
	_, err = c.Last(t.Context())
	require.ErrorContains(t, err, "correct the address")
	_, err = c.Checks(t.Context())
	require.ErrorContains(t, err, "cannot be read")
	for _, answer := range []struct{ body, want string }{{`{}`, "correct the address"}, {`{"kind":"presencebridge user check","version":9}`, "same release"}} {
		body = answer.body
		_, err = c.Check(t.Context(), "ada@example.com")
		require.ErrorContains(t, err, answer.want)
		_, err = c.ResetPhone(t.Context(), "ada@example.com")
		require.ErrorContains(t, err, "correct the address")
	}
	status = 500
	for _, body = range []string{`{"error":"broken","report":{"kind":"another"}}`, `{"error":"broken","report":7}`, `{"error":"broken"}`} {
		reset, err := c.ResetPhone(t.Context(), "ada@example.com")
		require.ErrorContains(t, err, "500 Internal Server Error: broken")
		assert.Nil(t, reset, body)
	}
	status, kind, body = 200, streamType, `{"report":{"total":3}}`
	_, err = c.SyncAll(t.Context(), nil)
	require.ErrorContains(t, err, "correct the address")

	for _, address := range []string{"", "bridge.example.com", "ftp://x", "https://x?y=1", "https://u:hunter2@\x00"} {
		_, err := NewClient(address, nil)
		require.ErrorContains(t, err, "baseURL")
		assert.NotContains(t, err.Error(), "hunter2")
	}
}

func FuzzReadStream(f *testing.F) {
	f.Add([]byte(`{"progress":{"done":1,"total":2,"result":{"code":"x","durationMilliseconds":3}}}` + "\n" + `{"report":{"kind":"presencebridge system check","version":1,"results":[{"code":"x"}]}}`))
	f.Add([]byte("{\"error\":\"x\"}\n{\"report\":1}"))
	f.Add([]byte(`{"report":null,"error":"password=x"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var report *Report
		told := 0
		err := readStream(bytes.NewReader(data), 4096, tell(func(p Progress) {
			told++
			assert.GreaterOrEqual(t, p.Result.Duration, time.Duration(0))
		}), func(data json.RawMessage) (err error) {
			require.Nil(t, report, "a stream has one report")
			report, err = decodeReport(data)
			return err
		})
		if err == nil {
			require.NotNil(t, report, "a stream without a report is an error")
			assert.Equal(t, ReportKind, report.Kind)
			again, err := json.Marshal(report)
			require.NoError(t, err)
			_, err = decodeReport(again)
			require.NoError(t, err)
		}
		assert.LessOrEqual(t, told, bytes.Count(data, []byte("\n"))+1)
	})
}
