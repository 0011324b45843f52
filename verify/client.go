package verify

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge"
)

// ErrNoReport is matched by the error of asking for the last report where there is
// none.
var ErrNoReport = errors.New("no system check was made since the service started: make one")

// Reasons of refusals, by which a client tells them apart.
const (
	reasonNoReport    = "no-report"
	reasonUnknownCode = "unknown-check"
	reasonUnknownUser = "unknown-user"
)

// maxAnswer is the longest answer, or line of a stream, that a [Client] reads: some
// ten thousand results.
const maxAnswer = 32 << 20

// Client asks the [Handler] of a running bridge, as the program of an administrator
// does. Its functions may be called concurrently.
type Client struct {
	base *url.URL
	http *http.Client
}

// NewClient returns a client of the handler that is mounted at baseURL. client
// sends the requests, with what the embedding service's authentication wants; it
// should have no Timeout, since a run takes minutes and each function has a
// context. Redirects are not followed: they lead to pages of login. Default: an
// [http.Client] without authentication.
func NewClient(baseURL string, client *http.Client) (*Client, error) {
	base, err := url.Parse(baseURL)
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" || base.RawQuery != "" || base.Fragment != "" {
		// The URL is not repeated: it may have a password.
		return nil, errors.New("verify: baseURL is no address of a handler: give one such as https://bridge.example.com/admin/verify")
	}
	c := &Client{base: base, http: &http.Client{}}
	if client != nil {
		copied := *client
		c.http = &copied
	}
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

// Checks returns the checks that the bridge makes.
func (c *Client) Checks(ctx context.Context) ([]Check, error) {
	var checks []Check
	err := c.ask(ctx, http.MethodGet, "checks", nil, &checks)
	return checks, err
}

// Last returns the last report; the error matches [ErrNoReport] if there is none.
func (c *Client) Last(ctx context.Context) (*Report, error) {
	var data json.RawMessage
	if err := c.ask(ctx, http.MethodGet, "system", nil, &data); err != nil {
		return nil, err
	}
	report, err := decodeReport(data)
	if err != nil {
		return nil, unreadReport(err)
	}
	return report, nil
}

// Run makes the checks, or those of opts.Only with what they depend on, and returns
// the report. opts.ProbeUser is the test user of the end-to-end probe. opts.Progress
// is called with each step; while it does not return, the run goes on, for as long
// as the handler's LineTimeout. If the run is cut short on the other side, the error
// comes with the report as far as it came. The error matches [ErrUnknownCode] for a
// check that the bridge does not have.
func (c *Client) Run(ctx context.Context, opts *RunOptions) (*Report, error) {
	var o RunOptions
	if opts != nil {
		o = *opts
	}
	query := url.Values{}
	if o.ProbeUser != "" {
		query.Set("probe", o.ProbeUser)
	}
	if len(o.Only) > 0 {
		codes := make([]string, len(o.Only))
		for i, code := range o.Only {
			codes[i] = string(code)
		}
		query.Set("only", strings.Join(codes, ","))
	}
	var report *Report
	err := c.follow(ctx, "system", query, tell(o.Progress), func(data json.RawMessage) (err error) {
		report, err = decodeReport(data)
		return err
	})
	return report, err
}

// Check makes the user check of a person. The error for somebody whom nobody knows
// matches [presencebridge.ErrUnknownUser].
func (c *Client) Check(ctx context.Context, email string) (*UserReport, error) {
	report := new(UserReport)
	if err := c.ask(ctx, http.MethodGet, "user", url.Values{"email": {email}}, report); err != nil {
		return nil, err
	}
	if err := asExpected(report.Kind, UserReportKind, report.Version, UserReportVersion); err != nil {
		return nil, unreadReport(err)
	}
	return report, nil
}

// ResetPhone resets the phone state of a person. The error for somebody whom nobody
// knows matches [presencebridge.ErrUnknownUser]. An error of the bridge comes with what
// was done until then, if anything was.
func (c *Client) ResetPhone(ctx context.Context, email string) (*ResetReport, error) {
	report := new(ResetReport)
	if err := c.ask(ctx, http.MethodPost, "user/reset", url.Values{"email": {email}}, report); err != nil {
		r := (*refused)(nil)
		if !errors.As(err, &r) || json.Unmarshal(r.report, report) != nil || asExpected(report.Kind, ResetReportKind, report.Version, UserReportVersion) != nil {
			return nil, err
		}
		return report, err
	}
	if err := asExpected(report.Kind, ResetReportKind, report.Version, UserReportVersion); err != nil {
		return nil, unreadReport(err)
	}
	return report, nil
}

// SyncAll syncs all Teams presence with MiCollab. progress, if not nil, is called with
// figures, without names, whenever some more are done. When ctx ends, the report has the
// figures that were told last, without the names, and the bridge goes on with the
// others.
func (c *Client) SyncAll(ctx context.Context, progress func(presencebridge.SyncReport)) (*SyncReport, error) {
	started := time.Now()
	var last *presencebridge.SyncReport
	var report *SyncReport
	note := func(p presencebridge.SyncReport) {
		last = &p
		if progress != nil {
			progress(p)
		}
	}
	err := c.follow(ctx, "sync", nil, tell(note), func(data json.RawMessage) error {
		var r SyncReport
		if err := json.Unmarshal(data, &r); err != nil {
			return err
		}
		if err := asExpected(r.Kind, SyncReportKind, r.Version, UserReportVersion); err != nil {
			return err
		}
		report = &r
		return nil
	})
	if err != nil && report == nil && last != nil {
		report = &SyncReport{
			Kind: SyncReportKind, Version: UserReportVersion, StartedAt: stamp(started), EndedAt: stamp(time.Now()), Error: err.Error(),
			Total: last.Total, Skipped: last.Skipped, Read: last.Read, Changed: last.Changed, AlreadyRight: last.AlreadyRight,
		}
	}
	return report, err
}

// tell returns what decodes progress and tells it.
func tell[P any](progress func(P)) func(json.RawMessage) error {
	if progress == nil {
		return nil
	}
	return func(data json.RawMessage) error {
		var p P
		if err := json.Unmarshal(data, &p); err != nil {
			return err
		}
		progress(p)
		return nil
	}
}

// decodeReport reads a report, and refuses what is none of this release.
func decodeReport(data []byte) (*Report, error) {
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, err
	}
	if err := asExpected(r.Kind, ReportKind, r.Version, ReportVersion); err != nil {
		return nil, err
	}
	return &r, nil
}

// asExpected refuses a report of another kind or version: one in which nothing is
// found could pass for one that found nothing wrong.
func asExpected(kind, wantedKind string, version, wantedVersion int) error {
	if kind != wantedKind {
		return fmt.Errorf("its kind is %q, and not %q: correct the address", oneLine(kind), wantedKind)
	}
	if version != wantedVersion {
		return fmt.Errorf("its version is %d, and not %d: use a program of the same release as the bridge", version, wantedVersion)
	}
	return nil
}

func unreadReport(err error) error { return fmt.Errorf("verify: the report cannot be read: %w", err) }

// ask decodes the answer to a request.
func (c *Client) ask(ctx context.Context, method, path string, query url.Values, into any) error {
	body, err := c.open(ctx, method, path, query, "application/json")
	if err != nil {
		return err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, maxAnswer+1))
	if err == nil && len(data) > maxAnswer {
		err = fmt.Errorf("it is longer than %d MiB", maxAnswer>>20)
	}
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		return fmt.Errorf("verify: the bridge's answer cannot be read: %w", err)
	}
	return nil
}

// follow reads the stream that answers a request.
func (c *Client) follow(ctx context.Context, path string, query url.Values, progress, report func(json.RawMessage) error) error {
	body, err := c.open(ctx, http.MethodPost, path, query, streamType)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := readStream(body, maxAnswer, progress, report); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("verify: %w", err)
	}
	return nil
}

// open sends a request and returns the body of the answer, which is of the type.
func (c *Client) open(ctx context.Context, method, path string, query url.Values, wanted string) (io.ReadCloser, error) {
	at := c.base.JoinPath(path)
	at.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, method, at.String(), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("verify: the request cannot be made: %w", err)
	}
	request.Header.Set("Accept", wanted+", application/json")
	response, err := c.http.Do(request)
	if err != nil {
		if e := (*url.Error)(nil); errors.As(err, &e) {
			err = e.Err // without the address, which names a person
		}
		return nil, fmt.Errorf("verify: the bridge does not answer: %w", err)
	}
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if response.StatusCode == http.StatusOK && kind == wanted {
		return response.Body, nil
	}
	defer response.Body.Close()
	return nil, refusal(response, kind)
}

// refusal returns the error of an answer that is not what was asked for.
func refusal(response *http.Response, kind string) error {
	status := fmt.Sprintf("%d %s", response.StatusCode, http.StatusText(response.StatusCode))
	var f failure
	if kind == "application/json" {
		data, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswer)) // what has come is enough
		_ = json.Unmarshal(data, &f)                                    // what it does not say is not told
	}
	if f.Error == "" {
		switch {
		case response.StatusCode >= 300 && response.StatusCode < 400, kind == "text/html":
			return fmt.Errorf("verify: the address answered %s (%s), as pages of login do: sign in, or correct the address", status, cmp.Or(oneLine(kind), "of no type"))
		case response.StatusCode == http.StatusUnauthorized, response.StatusCode == http.StatusForbidden:
			return fmt.Errorf("verify: the address answered %s: sign in as somebody who may make the checks", status)
		}
		return fmt.Errorf("verify: the address answered %s: is the handler mounted there?", status)
	}
	r := &refused{text: fmt.Sprintf("verify: the bridge answered %s: %s", status, new(redactor).text(f.Error)), report: f.Report}
	for reason, sentinel := range map[string]error{reasonNoReport: ErrNoReport, reasonUnknownCode: ErrUnknownCode, reasonUnknownUser: presencebridge.ErrUnknownUser} {
		if f.Reason == reason {
			r.text, r.is = "verify: the bridge answered: "+new(redactor).text(f.Error), sentinel
		}
	}
	return r
}

// refused has the text of the bridge, and what was done before, if anything was. It
// matches a sentinel, if there is one for the reason.
type refused struct {
	text   string
	is     error
	report json.RawMessage
}

func (r *refused) Error() string { return r.text }
func (r *refused) Unwrap() error { return r.is }
