package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/presencebridge/presencebridge"
)

var update = flag.Bool("update", false, "write the files that tests compare with")

// golden compares with a file, or writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, string(want), got, "%s differs: if that is meant, run go test ./verify -update", file)
}

// sampleReport has a result of every kind.
func sampleReport() *Report {
	at := time.Date(2026, 3, 4, 5, 6, 7, 89e6, time.UTC)
	r := &Report{Kind: ReportKind, Version: ReportVersion, Name: "acme", StartedAt: at, EndedAt: at.Add(2345 * time.Millisecond), Direction: presencebridge.Bidirectional, Complete: true}
	add := func(result Result) {
		if result.Status != Skipped && result.Status != NotApplicable {
			result.StartedAt, result.Duration = at.Add(time.Second), 12*time.Millisecond
		}
		if result.Status == Failed || result.Status == Warned {
			result.Basis = "a sign-in of the application, made now"
		}
		r.Results = append(r.Results, result)
	}
	add(Result{Code: "entra-reachable", Area: AreaEntra, Title: "The login service answers", Severity: SeverityError, Status: Passed, Evidence: []Evidence{{"answered", "in 12ms"}}})
	add(Result{
		Code: "entra-secret", Area: AreaEntra, Title: "The client secret of the feature is accepted", Severity: SeverityError, Status: Failed,
		Sentence:      "Entra refuses the client secret of the application presencebridge, because it ended on 2026-03-01, three days ago.",
		Remedy:        "Create a new client secret of the application in Entra, with the name of the integration as its description, and enter its Value in the configuration.",
		Administrator: AzureAdministrator, Evidence: []Evidence{{"code", "AADSTS7000222"}, {"ended", "2026-03-01T00:00:00Z"}},
	})
	for _, m := range []string{"monitor1@example.com", "monitor2@example.com"} {
		add(Result{
			Code: "monitor-mail", Subject: m, Area: AreaMonitors, Title: "The monitor's account has a mail address", Severity: SeverityError, Status: Failed,
			Sentence: m + " has no mail address.", Remedy: "Give the account a mail address in Entra.", Administrator: AzureAdministrator,
		})
	}
	add(Result{Code: "monitor-heard", Subject: "monitor1@example.com", Area: AreaMonitors, Title: "The monitor's subscription brings notifications", Severity: SeverityWarning, Status: Warned, Sentence: "Nothing came for 8 days.", Remedy: "Let Microsoft Graph reach the notification URL.", Administrator: Operator})
	add(Result{Code: "probe", Area: AreaReadiness, Title: "A session appears", Severity: SeverityError, Status: NotApplicable, Sentence: "No test user is chosen: the end-to-end probe is off."})
	add(Result{Code: "one-way-ready", Area: AreaReadiness, Title: "The telephone's state appears in Teams", Severity: SeverityError, Status: Skipped, Because: []string{"entra-secret"}, Sentence: "This has not passed: entra-secret."})
	return r
}

func TestReportText(t *testing.T) {
	for name, opts := range map[string]*TextOptions{"report": nil, "report-verbose": {Verbose: true}, "report-narrow": {Width: 60}} {
		var out strings.Builder
		require.NoError(t, sampleReport().WriteText(&out, opts))
		golden(t, "testdata/"+name+".txt", out.String())
	}
	whole := sampleReport()
	whole.Results = whole.Results[:1]
	whole.Name, whole.Complete = "", false
	var out strings.Builder
	require.NoError(t, whole.WriteText(&out, &TextOptions{Width: -1}))
	golden(t, "testdata/report-incomplete.txt", out.String())
}

func TestReportTextSaysWhatIsFromEarlierRuns(t *testing.T) {
	text := func(r *Report) string {
		var out strings.Builder
		require.NoError(t, r.WriteText(&out, nil))
		return out.String()
	}
	r := sampleReport()
	assert.NotContains(t, text(r), "earlier runs")
	r.Results[0].StartedAt = r.StartedAt.Add(-time.Hour)
	r.Results[1].StartedAt = r.StartedAt.Add(-2 * time.Hour)
	assert.Contains(t, text(r), "Of these, 2 were not made now: they are from earlier runs, since 2026-03-04 03:06:07 UTC.\n")
}

func TestReportTextStaysWithinItsWidth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(60, 120).Draw(t, "width") // wider than any word of the sample
		r := sampleReport()
		r.Results[1].Sentence = rapid.StringMatching(`([a-zé]{1,15} ){0,60}`).Draw(t, "sentence")
		var out strings.Builder
		require.NoError(t, r.WriteText(&out, &TextOptions{Width: width}))
		for line := range strings.Lines(out.String()) {
			line = strings.TrimSuffix(line, "\n")
			assert.Equal(t, strings.TrimRight(line, " "), line)
			assert.LessOrEqual(t, utf8.RuneCountInString(line), width, line)
		}
	})
}

func TestReportTextDoesNotCommandTheTerminal(t *testing.T) {
	r := sampleReport()
	r.Results[1].Subject = "a\x1b[2Jb\u202ec\nd"
	r.Results[1].Evidence = []Evidence{{"x\r", "\x07"}}
	var out strings.Builder
	require.NoError(t, r.WriteText(&out, nil))
	assert.NotContains(t, out.String(), "\x1b")
	assert.NotContains(t, out.String(), "\u202e")
	assert.Contains(t, out.String(), "a[2Jbc d (entra-secret)")
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("the disk is full") }

func TestReportTextTellsTheWritersError(t *testing.T) {
	require.ErrorContains(t, sampleReport().WriteText(brokenWriter{}, nil), "the disk is full")
}

func TestReportJSON(t *testing.T) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	require.NoError(t, encoder.Encode(sampleReport()))
	golden(t, "testdata/report.json", out.String())
	var back Report
	require.NoError(t, json.Unmarshal(out.Bytes(), &back))
	assert.Equal(t, sampleReport(), &back, "a program reads what another has written")
	for _, ms := range []string{"-1", "9223372036854775807", `"1s"`} {
		var r Result
		require.Error(t, json.Unmarshal([]byte(`{"durationMilliseconds":`+ms+`}`), &r))
	}
}

func TestAReportSaysOnceWhatIsTheSameOfSeveralSubjects(t *testing.T) {
	r := &Report{Complete: true}
	for i := range 154 {
		r.Results = append(r.Results, Result{Code: "monitor-mail", Area: AreaMonitors, Title: "The monitor's account has a mail address", Subject: fmt.Sprintf("monitor%d@example.com", i), Status: Passed})
	}
	r.Results[7].Status, r.Results[7].Sentence, r.Results[7].Remedy = Failed, "There is none.", "Give it one."
	r.Results[9].Status, r.Results[9].Sentence = Skipped, "This has not passed: monitor-account."
	var text, verbose strings.Builder
	require.NoError(t, r.WriteText(&text, nil))
	assert.Contains(t, text.String(), "  passed  The monitor's account has a mail address: 152 of 154 (monitor-mail)\n")
	assert.Contains(t, text.String(), "  FAILED  The monitor's account has a mail address: monitor7@example.com (monitor-mail)\n")
	assert.Contains(t, text.String(), "  skipped The monitor's account has a mail address: monitor9@example.com (monitor-mail)\n")
	assert.NotContains(t, text.String(), "monitor8@example.com")
	require.NoError(t, r.WriteText(&verbose, &TextOptions{Verbose: true}))
	assert.Contains(t, verbose.String(), "monitor8@example.com")
}
