package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// engine returns a system check that makes other checks than the real ones.
func engine(t require.TestingT, p *plant, opts *SystemOptions, checks ...Check) *SystemCheck {
	c, err := NewSystemCheck(p.sources(), p.settings(), opts)
	require.NoError(t, err)
	c.checks = checks
	return c
}

// made is a check that returns the outcome.
func made(code Code, o finding, deps ...Dependency) Check {
	return Check{
		Code: code, Area: AreaService, Title: "Title of " + string(code), Severity: SeverityError, DependsOn: deps,
		Remedy: "Mend " + string(code) + ".", Administrator: Operator, Basis: "a test",
		run: func(context.Context, *facts, string) finding { return o },
	}
}

var fine, broken = passed(), failed("It is broken.", "")

// statuses are the results by name, in words: status, and what it was skipped for.
func statuses(r *Report) map[string]string {
	all := make(map[string]string, len(r.Results))
	for _, result := range r.Results {
		all[result.Name()] = strings.TrimSpace(string(result.Status) + " " + strings.Join(result.Because, " "))
	}
	return all
}

func TestRunSkipsWhatDependsOnAFailure(t *testing.T) {
	c := engine(t, newPlant(), nil,
		made("leaf", fine, on("middle", "sound")...), // before what it depends on
		made("middle", fine, on("root")...),
		made("root", broken),
		made("sound", fine),
		made("other-root", broken),
		made("both", fine, on("leaf", "other-root", "middle")...),
	)
	report, err := c.Run(t.Context(), nil)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{
		"root": "failed", "other-root": "failed", "sound": "passed", "middle": "skipped root", "leaf": "skipped root", "both": "skipped other-root root",
	}, statuses(report), "a skipped check names the checks that failed, and not those that were skipped for them")
	leaf, ok := report.Result("leaf", "")
	require.True(t, ok)
	assert.Equal(t, "This has not passed: root.", leaf.Sentence)
	assert.Empty(t, leaf.Remedy, "what is skipped asks nobody for anything")
	assert.Zero(t, leaf.StartedAt)
	root, _ := report.Result("root", "")
	assert.Equal(t, "Mend root.", root.Remedy)
	assert.Equal(t, Operator, root.Administrator)
	assert.Equal(t, "a test", root.Basis)
	assert.True(t, report.Complete)
	assert.Equal(t, ExitFailed, report.ExitCode())
}

func TestRunJudgesStatusesBySeverityAndStrictness(t *testing.T) {
	mild := made("mild", failed("It ends soon.", ""))
	mild.Severity = SeverityWarning
	c := engine(t, newPlant(), nil, mild,
		made("absent", notApplicable("It is not used.")),
		made("content", fine, on("mild", "absent")...),
		made("strict", fine, strictly("mild", "absent")...),
	)
	report, err := c.Run(t.Context(), nil)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"mild": "warning", "absent": "not applicable", "content": "passed", "strict": "skipped mild"}, statuses(report))
	assert.Equal(t, ExitWarned, report.ExitCode())
}

func TestRunFollowsSubjects(t *testing.T) {
	perMonitor := func(check Check) Check {
		check.Per = PerMonitor
		return check
	}
	second := perMonitor(made("account", fine))
	second.run = func(_ context.Context, _ *facts, subject string) finding {
		if subject == "monitor2@example.com" {
			return broken
		}
		return fine
	}
	c := engine(t, newPlant(), nil, second,
		perMonitor(made("same", fine, on("account")...)),
		made("every", fine, on("account")...),
		made("fixed", fine, Dependency{Code: "account", Subject: "Monitor1@Example.com"}),
		perMonitor(made("fixed-each", fine, Dependency{Code: "account", Subject: "monitor2@example.com"})),
	)
	report, err := c.Run(t.Context(), nil)
	require.NoError(t, err)
	const cause = "skipped account[monitor2@example.com]"
	assert.Equal(t, map[string]string{
		"account[monitor1@example.com]": "passed", "account[monitor2@example.com]": "failed",
		"same[monitor1@example.com]": "passed", "same[monitor2@example.com]": cause,
		"every": cause, "fixed": "passed",
		"fixed-each[monitor1@example.com]": cause, "fixed-each[monitor2@example.com]": cause,
	}, statuses(report))
}

func TestRunSaysWhatDoesNotApplyWhateverElseFailed(t *testing.T) {
	p := newPlant()
	p.pool.Monitors = nil
	each := made("each", broken)
	each.Per = PerMonitor
	unused := made("unused", broken, on("root")...)
	unused.applies = func(*facts) string { return "It is not used." }
	report, err := engine(t, p, nil, made("root", broken), unused, each, made("after", fine, on("each")...)).Run(t.Context(), nil)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"root": "failed", "unused": "not applicable", "each": "not applicable", "after": "passed"}, statuses(report))
	result, _ := report.Result("each", "")
	assert.Equal(t, "There is no presence monitor.", result.Sentence)
}

func TestRunOutlivesBrokenChecks(t *testing.T) {
	panics := made("panics", fine)
	panics.run = func(context.Context, *facts, string) finding { panic("hunter2") }
	applies := made("applies", fine)
	applies.applies = func(*facts) string { panic(errors.New("hunter2")) }
	report, err := engine(t, newPlant(), nil, panics, applies, made("nothing", finding{}), made("odd", finding{Status: Skipped})).Run(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, 4, report.Count(Failed), "none of them may look as if it had passed")
	for _, result := range report.Results {
		assert.Equal(t, brokenRemedy, result.Remedy)
		assert.NotContains(t, result.Sentence, "hunter2", "a panic's value may hold a secret")
	}
	assert.Equal(t, "The check broke off: string.", report.Results[0].Sentence)
}

func TestRunBoundsChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		deaf := made("deaf", fine)
		deaf.run = func(context.Context, *facts, string) finding {
			<-release
			return fine
		}
		obeys := made("obeys", fine)
		obeys.run = func(ctx context.Context, _ *facts, _ string) finding {
			<-ctx.Done()
			return failed("It waited for the directory.", "")
		}
		long := made("long", fine)
		long.bound = func(o *SystemOptions) time.Duration { return 3 * o.Timeout }
		long.run = func(ctx context.Context, _ *facts, _ string) finding {
			time.Sleep(50 * time.Second)
			if ctx.Err() != nil {
				return broken
			}
			return fine
		}
		c := engine(t, newPlant(), nil, deaf, obeys, long, made("quick", fine), made("after", fine, on("deaf")...))
		report, err := c.Run(t.Context(), nil)
		require.NoError(t, err)
		assert.Equal(t, map[string]string{"deaf": "failed", "obeys": "failed", "long": "passed", "quick": "passed", "after": "skipped deaf"}, statuses(report))
		result := func(code Code) Result {
			r, ok := report.Result(code, "")
			require.True(t, ok)
			return r
		}
		assert.Equal(t, "There was no outcome within 20s.", result("deaf").Sentence)
		assert.Equal(t, 21*time.Second, result("deaf").Duration)
		assert.Equal(t, "It waited for the directory.", result("obeys").Sentence)
		assert.Equal(t, 20*time.Second, result("obeys").Duration)
		assert.Equal(t, 50*time.Second, result("long").Duration)
		assert.Equal(t, 50*time.Second, report.EndedAt.Sub(report.StartedAt))
		close(release)
	})
}

func TestRunMakesNoMoreThanParallelAtATime(t *testing.T) {
	for _, parallel := range []int{0, 1, 3} {
		synctest.Test(t, func(t *testing.T) {
			var now, most atomic.Int32
			var checks []Check
			for i := range 9 {
				check := made(Code(fmt.Sprint("check-", i)), fine)
				check.run = func(context.Context, *facts, string) finding {
					n := now.Add(1)
					defer now.Add(-1)
					for m := most.Load(); n > m; m = most.Load() {
						if most.CompareAndSwap(m, n) {
							break
						}
					}
					time.Sleep(time.Second)
					return fine
				}
				checks = append(checks, check)
			}
			_, err := engine(t, newPlant(), &SystemOptions{Parallel: parallel}, checks...).Run(t.Context(), nil)
			require.NoError(t, err)
			want := parallel
			if want == 0 {
				want = 4
			}
			assert.EqualValues(t, want, most.Load())
		})
	}
}

func TestRunTellsProgress(t *testing.T) {
	c := engine(t, newPlant(), nil, made("last", fine, on("first", "second")...), made("skipped", fine, on("second")...), made("first", fine), made("second", broken))
	var steps []Progress
	report, err := c.Run(t.Context(), &RunOptions{Progress: func(p Progress) { steps = append(steps, p) }})
	require.NoError(t, err)
	ended := map[string]int{}
	began := map[string]int{}
	done := 0
	for i, p := range steps {
		assert.Equal(t, 4, p.Total)
		if p.Result.Status == Running {
			began[p.Result.Name()] = i
			assert.NotContains(t, ended, p.Result.Name())
		} else {
			done++
			ended[p.Result.Name()] = i
			want, ok := report.Result(p.Result.Code, p.Result.Subject)
			require.True(t, ok)
			assert.Equal(t, want, p.Result)
		}
		assert.Equal(t, done, p.Done)
	}
	assert.Len(t, ended, 4)
	assert.Len(t, began, 2, "a skipped check does not begin")
	assert.Greater(t, ended["skipped"], ended["second"])
	assert.Greater(t, ended["last"], ended["second"], "what a check waits for is told to have ended first")
	require.NotEmpty(t, steps)
	assert.Equal(t, 4, steps[len(steps)-1].Done)
}

func TestRunDoesNotWaitForWhoeverIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended atomic.Int32
		var checks []Check
		for i := range 6 {
			check := made(Code(fmt.Sprint("check-", i)), fine)
			check.run = func(context.Context, *facts, string) finding { ended.Add(1); return fine }
			checks = append(checks, check)
		}
		first := true
		_, err := engine(t, newPlant(), &SystemOptions{Parallel: 1}, checks...).Run(t.Context(), &RunOptions{Progress: func(Progress) {
			if first {
				first = false
				synctest.Wait()
				assert.EqualValues(t, 6, ended.Load(), "the checks go on")
			}
		}})
		require.NoError(t, err)
	})
}

// switched is a check whose outcome a test changes between runs.
func switched(code Code, o *finding, deps ...Dependency) Check {
	check := made(code, fine, deps...)
	check.run = func(context.Context, *facts, string) finding { return *o }
	return check
}

func TestRunOnlyMakesWhatIsAskedForAndWhatItDependsOn(t *testing.T) {
	root, other := fine, fine
	c := engine(t, newPlant(), nil, switched("root", &root), made("leaf", fine, on("root")...), switched("other", &other))
	assert.Nil(t, c.Last())
	only := &RunOptions{Only: []Code{"leaf"}}
	report, err := c.Run(t.Context(), only)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"root": "passed", "leaf": "passed"}, statuses(report))
	assert.False(t, report.Complete, "nobody knows of the other")
	assert.Equal(t, ExitFailed, report.ExitCode())

	other = broken
	report, err = c.Run(t.Context(), nil)
	require.NoError(t, err)
	assert.True(t, report.Complete)
	other, root = fine, broken
	report, err = c.Run(t.Context(), only)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"root": "failed", "leaf": "skipped root", "other": "failed"}, statuses(report), "of the other, an earlier run told")
	assert.True(t, report.Complete)
	assert.Equal(t, report, c.Last())
	c.Last().Results[0].Sentence = "changed by its holder"
	assert.Equal(t, report, c.Last(), "each gets a report of its own")
	report.Results[1].Because[0] = "changed by its holder"
	report, err = c.Run(t.Context(), &RunOptions{Only: []Code{"other"}})
	require.NoError(t, err)
	assert.Equal(t, "skipped root", statuses(report)["leaf"], "and what is kept is nobody's")

	_, err = c.Run(t.Context(), &RunOptions{Only: []Code{"leaf", "leef", "rood"}})
	require.ErrorIs(t, err, ErrUnknownCode)
	assert.ErrorContains(t, err, "leef")
	assert.ErrorContains(t, err, "rood", "all that are unknown are named at once")
}

func TestRunSaysWhatIsToBeMadeAgain(t *testing.T) {
	root, other := broken, broken
	c := engine(t, newPlant(), nil, switched("root", &root), switched("other", &other), made("leaf", fine, on("root")...), made("both", fine, on("root", "other")...))
	_, err := c.Run(t.Context(), nil)
	require.NoError(t, err)
	root = fine
	report, err := c.Run(t.Context(), &RunOptions{Only: []Code{"root"}})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"root": "passed", "other": "failed", "leaf": "skipped", "both": "skipped other"}, statuses(report))
	leaf, _ := report.Result("leaf", "")
	assert.Equal(t, "What this check was skipped for stands in its way no longer: root. Make it again.", leaf.Sentence)
	both, _ := report.Result("both", "")
	assert.Equal(t, "This has not passed: other.", both.Sentence)
	assert.False(t, report.Complete)
	other = fine
	report, err = c.Run(t.Context(), &RunOptions{Only: []Code{"leaf", "both"}})
	require.NoError(t, err)
	assert.True(t, report.Complete)
	assert.Equal(t, ExitPassed, report.ExitCode(), "one by one, until all pass")
}

func TestRunSaysWhatAWarningLetsThrough(t *testing.T) {
	root, other := broken, fine
	c := engine(t, newPlant(), nil, switched("root", &root), switched("other", &other), made("leaf", fine, on("root", "other")...),
		made("below", fine, on("leaf")...), made("strict", fine, strictly("root")...))
	_, err := c.Run(t.Context(), nil)
	require.NoError(t, err)
	root = warned("It could be better.", "")
	report, err := c.Run(t.Context(), &RunOptions{Only: []Code{"root"}})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"root": "warning", "other": "passed", "leaf": "skipped", "below": "skipped", "strict": "skipped root"}, statuses(report))
	assert.False(t, report.Complete, "a warning keeps only the strict from being made")
	assert.Equal(t, ExitFailed, report.ExitCode())

	other = broken
	report, err = c.Run(t.Context(), &RunOptions{Only: []Code{"other"}})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"root": "warning", "other": "failed", "leaf": "skipped other", "below": "skipped other", "strict": "skipped root"}, statuses(report))
	assert.True(t, report.Complete, "something else is in the way")
}

func TestRunCutShortLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := made("slow", fine, on("quick")...)
		hang := true
		slow.run = func(ctx context.Context, _ *facts, _ string) finding {
			if hang {
				<-ctx.Done()
				return failed("It could not be asked: "+ctx.Err().Error()+".", "")
			}
			return fine
		}
		quick := fine
		c := engine(t, newPlant(), nil, switched("quick", &quick), slow, made("after", fine, on("slow")...), made("failing", broken), made("mixed", fine, on("slow", "failing")...))
		gone := errors.New("the administrator has left")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(5*time.Second, func() { cancel(gone) })
		report, err := c.Run(ctx, nil)
		require.ErrorIs(t, err, gone)
		require.NotNil(t, report)
		assert.Equal(t, map[string]string{"quick": "passed", "slow": "skipped", "after": "skipped", "failing": "failed", "mixed": "skipped failing"}, statuses(report), "the end of the run is no fault of anything")
		result, _ := report.Result("slow", "")
		assert.Equal(t, "The run was ended before this check had an outcome.", result.Sentence)
		assert.False(t, report.Complete)
		assert.Nil(t, c.Last())

		report, err = c.Run(t.Context(), &RunOptions{Only: []Code{"quick"}})
		require.NoError(t, err)
		assert.Equal(t, map[string]string{"quick": "passed", "failing": "failed", "mixed": "skipped failing"}, statuses(report))
		assert.False(t, report.Complete)

		hang = false
		whole, err := c.Run(t.Context(), nil)
		require.NoError(t, err)
		assert.True(t, whole.Complete)
		hang = true
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		_, err = c.Run(ctx, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, whole, c.Last())
		report, err = c.Run(t.Context(), &RunOptions{Only: []Code{"quick"}})
		require.NoError(t, err)
		assert.Equal(t, statuses(whole), statuses(report), "what an earlier run found outlives a run that was cut short")

		_, err = c.Run(ctx, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestRunIsCompleteIfItsContextEndsAfterTheLastCheck(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	report, err := engine(t, newPlant(), nil, made("only", fine)).Run(ctx, &RunOptions{Progress: func(p Progress) {
		if p.Done == p.Total {
			cancel()
		}
	}})
	require.NoError(t, err)
	assert.True(t, report.Complete)
}

func TestRunsHappenOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var under atomic.Int32
		check := made("check", fine)
		check.run = func(context.Context, *facts, string) finding {
			assert.EqualValues(t, 1, under.Add(1))
			time.Sleep(2 * time.Second)
			under.Add(-1)
			return fine
		}
		c := engine(t, newPlant(), nil, check)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				_, err := c.Run(t.Context(), nil)
				assert.NoError(t, err)
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		report, err := c.Run(ctx, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded, "waiting ends with the context")
		assert.Nil(t, report)
		began := time.Now()
		wg.Wait()
		assert.Equal(t, 5*time.Second, time.Since(began))
	})
}

func TestRunFollowsMonitorsThatComeAndGo(t *testing.T) {
	p := newPlant()
	each := made("each", broken)
	each.Per = PerMonitor
	c := engine(t, p, nil, each, made("once", fine))
	_, err := c.Run(t.Context(), nil)
	require.NoError(t, err)
	p.pool.Monitors = append(p.pool.Monitors[1:], monitor.MonitorStatus{PrincipalName: "monitor3@example.com"}, monitor.MonitorStatus{PrincipalName: "old@example.com", Leaving: true})
	report, err := c.Run(t.Context(), &RunOptions{Only: []Code{"once"}})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"each[monitor2@example.com]": "failed", "once": "passed"}, statuses(report), "a monitor that is gone has no results")
	assert.False(t, report.Complete, "nobody has looked at monitor3")
	report, err = c.Run(t.Context(), nil)
	require.NoError(t, err)
	assert.True(t, report.Complete)
	assert.Equal(t, map[string]string{"each[monitor2@example.com]": "failed", "each[monitor3@example.com]": "failed", "once": "passed"}, statuses(report))
}

func TestRunRedactsWhatChecksTell(t *testing.T) {
	o := failed("Refused: "+testSecret+".", "Replace "+testSecret+".", Evidence{"answer", `{"password":"hunter2"}`}, Evidence{"empty", ""}, Evidence{"known", "extra-secret"}, Evidence{"of " + testSecret, "a name from elsewhere"}).on("asked with " + testSecret)
	o.Lacks = []Lack{{Kind: LackRegistration, Name: "the secret " + testSecret, Remedy: "Enter " + testSecret + ".", Unknown: true}}
	report, err := engine(t, newPlant(), &SystemOptions{Secrets: []presence.Secret{presence.NewSecret("extra-secret")}}, made("leaks", o)).Run(t.Context(), nil)
	require.NoError(t, err)
	result := report.Results[0]
	assert.Equal(t, "Refused: [removed].", result.Sentence)
	assert.Equal(t, "Replace [removed].", result.Remedy)
	assert.Equal(t, "asked with [removed]", result.Basis)
	assert.Equal(t, []Evidence{{"answer", `{"password":"[removed]"}`}, {"known", "[removed]"}, {"of [removed]", "a name from elsewhere"}}, result.Evidence)
	assert.Equal(t, []Lack{{Kind: LackRegistration, Name: "the secret [removed]", Remedy: "Enter [removed].", Unknown: true}}, result.Lacks)
}

func TestOnceAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		ask := once(t.Context(), time.Minute, func(context.Context) (int, error) {
			asked++
			time.Sleep(time.Second)
			return 7, nil
		})
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				n, err := ask()
				assert.NoError(t, err)
				assert.Equal(t, 7, n)
			})
		}
		wg.Wait()
		assert.Equal(t, 1, asked)

		_, err := once(t.Context(), time.Minute, func(context.Context) (int, error) { panic("hunter2") })()
		require.ErrorContains(t, err, "broke off: string")

		release := make(chan struct{})
		deaf := once(t.Context(), time.Minute, func(context.Context) (int, error) { <-release; return 7, nil })
		check := made("deaf", fine)
		check.bound = func(*SystemOptions) time.Duration { return time.Minute }
		check.run = func(context.Context, *facts, string) finding {
			_, err := deaf()
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			return failed("The service hangs: "+err.Error()+".", "")
		}
		report, err := engine(t, newPlant(), nil, check).Run(t.Context(), nil)
		require.NoError(t, err)
		assert.Equal(t, "The service hangs: there was no answer within 1m0s: context deadline exceeded.", report.Results[0].Sentence, "the check tells what hangs, before its own bound is over")
		close(release)
	})
}

// TestRunOverRandomDependencies compares runs with what the documentation of
// Dependency and of Result.Because says, worked out in another way: by looking
// from each check down to all that it rests on.
func TestRunOverRandomDependencies(t *testing.T) {
	p := newPlant()
	monitors := []string{"monitor1@example.com", "monitor2@example.com"}
	rapid.Check(t, func(t *rapid.T) {
		type key struct {
			code    Code
			subject string
		}
		var checks []Check
		wish := map[key]Status{}
		deps := map[key][]key{}
		strict := map[[2]key]bool{}
		per := map[Code]bool{}
		subjects := func(code Code) []string {
			if per[code] {
				return monitors
			}
			return []string{""}
		}
		for n := range rapid.IntRange(1, 12).Draw(t, "checks") {
			code := Code(fmt.Sprint("c", n))
			per[code] = rapid.Bool().Draw(t, "per monitor")
			check := made(code, fine)
			if per[code] {
				check.Per = PerMonitor
			}
			for d := range n {
				if rapid.IntRange(0, 3).Draw(t, "depends") > 0 {
					continue
				}
				dep := Dependency{Code: Code(fmt.Sprint("c", d)), Strict: rapid.Bool().Draw(t, "strict")}
				if per[dep.Code] && rapid.IntRange(0, 3).Draw(t, "fixed") == 0 {
					dep.Subject = rapid.SampledFrom(monitors).Draw(t, "subject")
				}
				check.DependsOn = append(check.DependsOn, dep)
				for _, s := range subjects(code) {
					for _, on := range subjects(dep.Code) {
						if dep.Subject == on || dep.Subject == "" && (on == s || per[code] != per[dep.Code]) {
							from, to := key{code, s}, key{dep.Code, on}
							deps[from] = append(deps[from], to)
							strict[[2]key{from, to}] = dep.Strict
						}
					}
				}
			}
			for _, s := range subjects(code) {
				wish[key{code, s}] = rapid.SampledFrom([]Status{Passed, Passed, Warned, Failed, NotApplicable}).Draw(t, "status")
			}
			check.run = func(_ context.Context, _ *facts, subject string) finding {
				return finding{Status: wish[key{code, subject}], Sentence: "As the test wants it."}
			}
			checks = append(checks, check)
		}
		// roots returns what keeps a check from being made.
		var roots func(k key) map[string]bool
		roots = func(k key) map[string]bool {
			found := map[string]bool{}
			for _, d := range deps[k] {
				lower := roots(d)
				for name := range lower {
					found[name] = true
				}
				if len(lower) == 0 && (wish[d] == Failed || wish[d] == Warned && strict[[2]key{k, d}]) {
					found[name(d.code, d.subject)] = true
				}
			}
			return found
		}
		shuffled := rapid.Permutation(checks).Draw(t, "order")
		report, err := engine(t, p, &SystemOptions{Parallel: rapid.IntRange(1, 3).Draw(t, "parallel")}, shuffled...).Run(context.Background(), nil)
		require.NoError(t, err)
		require.Len(t, report.Results, len(wish))
		for _, result := range report.Results {
			k := key{result.Code, result.Subject}
			want := roots(k)
			if len(want) == 0 {
				assert.Equal(t, wish[k], result.Status, result.Name())
				assert.Empty(t, result.Because)
				continue
			}
			assert.Equal(t, Skipped, result.Status, result.Name())
			assert.Len(t, result.Because, len(want))
			assert.True(t, slices.IsSorted(result.Because))
			for _, because := range result.Because {
				assert.True(t, want[because], "%s was skipped for %s, which is not below it", result.Name(), because)
			}
		}
	})
}
