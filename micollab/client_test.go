package micollab_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/micollab"
	"github.com/presencebridge/presencebridge/presence"
)

var ann = presence.User{TeamsID: "ann-id", PrincipalID: "ann-principal", Email: "ann@example.com"}

// driver is a Driver made of functions.
type driver struct {
	status    func(context.Context, presence.User) (presence.Status, error)
	setStatus func(context.Context, presence.User, presence.Status) error
}

func (d driver) Status(ctx context.Context, u presence.User) (presence.Status, error) {
	return d.status(ctx, u)
}

func (d driver) SetStatus(ctx context.Context, u presence.User, s presence.Status) error {
	return d.setStatus(ctx, u, s)
}

type bulkDriver struct {
	driver
	statusesOf func(context.Context, []presence.User) (map[string]presence.Status, error)
}

func (d bulkDriver) StatusesOf(ctx context.Context, users []presence.User) (map[string]presence.Status, error) {
	return d.statusesOf(ctx, users)
}

func holding(name presence.Status) driver {
	return driver{status: func(context.Context, presence.User) (presence.Status, error) { return name, nil }}
}

func failing(err error) driver {
	return driver{
		status:    func(context.Context, presence.User) (presence.Status, error) { return "", err },
		setStatus: func(context.Context, presence.User, presence.Status) error { return err },
	}
}

func newClient(t *testing.T, d micollab.Driver, opts *micollab.Options) *micollab.Client {
	t.Helper()
	c, err := micollab.NewClient(d, readyServer(), opts)
	require.NoError(t, err)
	return c
}

func TestNewClientNamesAllFaults(t *testing.T) {
	_, err := micollab.NewClient(nil, micollab.Server{Version: micollab.Version{Major: 9, Minor: 7}}, &micollab.Options{
		Timeout:  -time.Second,
		Statuses: []presence.Status{" "},
		Names:    map[presence.Status]string{presence.StatusBusy: "Available"},
	})
	require.ErrorIs(t, err, micollab.ErrVersionTooOld)
	require.ErrorIs(t, err, micollab.ErrAddressMissing)
	for _, text := range []string{"driver is nil", "Timeout", "empty status", `"Busy" the name of the status "Available"`} {
		assert.ErrorContains(t, err, text)
	}
}

func TestNamesMustBeReversible(t *testing.T) {
	for name, c := range map[string]struct {
		opts micollab.Options
		want string
	}{
		"one name for two":      {micollab.Options{Names: map[presence.Status]string{"Busy": "Besetzt", "In a call": "besetzt"}}, "same name"},
		"one status twice":      {micollab.Options{Names: map[presence.Status]string{"Busy": "Besetzt", "busy": "Belegt"}}, "twice"},
		"empty name":            {micollab.Options{Names: map[presence.Status]string{"Busy": " "}}, "empty"},
		"name of a custom one":  {micollab.Options{Statuses: []presence.Status{"Lunch"}, Names: map[presence.Status]string{"Away": "lunch"}}, `status "Lunch"`},
		"exchanged names":       {micollab.Options{Names: map[presence.Status]string{"Busy": "Away", "Away": "Busy"}}, ""},
		"own name in new case":  {micollab.Options{Names: map[presence.Status]string{"Busy": "BUSY"}}, ""},
		"name nobody else uses": {micollab.Options{Names: map[presence.Status]string{"Busy": "Besetzt"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := micollab.NewClient(holding(""), readyServer(), &c.opts)
			if c.want == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, c.want)
			}
		})
	}
}

func TestNamesAreTranslatedBothWays(t *testing.T) {
	var wrote presence.Status
	d := holding("BESETZT")
	d.setStatus = func(_ context.Context, _ presence.User, s presence.Status) error { wrote = s; return nil }
	c := newClient(t, d, &micollab.Options{Names: map[presence.Status]string{"busy": "Besetzt"}})

	got, err := c.Status(t.Context(), ann)
	require.NoError(t, err)
	assert.Equal(t, presence.StatusBusy, got)

	require.NoError(t, c.SetStatus(t.Context(), ann, presence.StatusBusy))
	assert.Equal(t, presence.Status("Besetzt"), wrote)
	require.NoError(t, c.SetStatus(t.Context(), ann, presence.StatusAway))
	assert.Equal(t, presence.StatusAway, wrote)
	assert.ErrorIs(t, c.SetStatus(t.Context(), ann, "besetzt"), presence.ErrInvalid, "it would be read back as Busy")
	assert.Equal(t, presence.StatusAway, wrote)
}

func TestStatusIsReadInTheTablesSpelling(t *testing.T) {
	for name, want := range map[presence.Status]presence.Status{"IN A CALL": presence.StatusInACall, "Lunch": "Lunch", "": ""} {
		got, err := newClient(t, holding(name), nil).Status(t.Context(), ann)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
}

func TestStatusThatIsNotAllowedNeverReachesTheDriver(t *testing.T) {
	d := driver{setStatus: func(_ context.Context, _ presence.User, s presence.Status) error {
		return fmt.Errorf("the driver was asked to set %q", s)
	}}
	every := newClient(t, d, nil)
	some := newClient(t, d, &micollab.Options{Statuses: []presence.Status{"Busy"}})
	for _, err := range []error{every.SetStatus(t.Context(), ann, ""), every.SetStatus(t.Context(), ann, " \t"), some.SetStatus(t.Context(), ann, "Away")} {
		assert.ErrorIs(t, err, presence.ErrInvalid)
		assert.ErrorAs(t, err, new(*micollab.Error))
		assert.NotContains(t, err.Error(), "the driver was asked")
	}
	assert.ErrorContains(t, some.SetStatus(t.Context(), ann, "busy"), "the driver was asked")
	assert.ErrorContains(t, every.SetStatus(t.Context(), ann, "Lunch"), "the driver was asked")
}

type throttled struct{}

func (throttled) Error() string             { return "slow down" }
func (throttled) Is(target error) bool      { return target == presence.ErrThrottled }
func (throttled) RetryAfter() time.Duration { return 3 * time.Second }

func TestErrorsOfTheDriverAreWrapped(t *testing.T) {
	c := newClient(t, failing(throttled{}), nil)
	_, readErr := c.Status(t.Context(), ann)
	for operation, err := range map[string]error{"read status": readErr, "set status": c.SetStatus(t.Context(), ann, "Busy")} {
		var e *micollab.Error
		require.ErrorAs(t, err, &e)
		assert.Equal(t, operation, e.Operation)
		assert.Equal(t, "ann-id", e.UserID)
		assert.ErrorIs(t, err, presence.ErrThrottled)
		d, ok := presence.RetryAfter(err)
		assert.True(t, ok)
		assert.Equal(t, 3*time.Second, d)
		assert.EqualError(t, err, "micollab: "+operation+" of user ann-id: slow down")
	}
	assert.Zero(t, (&micollab.Error{Err: errors.New("x")}).RetryAfter())
}

func TestDriverThatDoesNotAnswerIsUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := driver{status: func(ctx context.Context, _ presence.User) (presence.Status, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}}
		for _, opts := range []*micollab.Options{nil, {Timeout: time.Minute}} {
			want := micollab.DefaultTimeout
			if opts != nil {
				want = opts.Timeout
			}
			start := time.Now()
			_, err := newClient(t, d, opts).Status(t.Context(), ann)
			assert.Equal(t, want, time.Since(start))
			assert.ErrorIs(t, err, presence.ErrUnavailable)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
		}
	})
}

func TestCallerWhoGivesUpDoesNotBlameTheServer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := newClient(t, failing(context.Canceled), nil).Status(ctx, ann)
	assert.ErrorIs(t, err, context.Canceled)
	assert.NotErrorIs(t, err, presence.ErrUnavailable)
}

func TestPanicOfTheDriverIsContained(t *testing.T) {
	for name, c := range map[string]struct {
		panic func()
		want  string
	}{
		"runtime fault": {func() { var m map[string]int; m["x"] = 1 }, "nil map"}, //nolint:govet,staticcheck // the fault is meant
		"secret text":   {func() { panic("password hunter2") }, "value of type string"},
		"error value":   {func() { panic(errors.New("password hunter2")) }, "value of type *errors.errorString"},
	} {
		t.Run(name, func(t *testing.T) {
			d := driver{setStatus: func(context.Context, presence.User, presence.Status) error { c.panic(); return nil }}
			err := newClient(t, d, nil).SetStatus(t.Context(), ann, "Busy")
			var p *micollab.PanicError
			require.ErrorAs(t, err, &p)
			assert.ErrorContains(t, err, c.want)
			assert.NotContains(t, err.Error(), "hunter2")
			assert.Contains(t, string(p.Stack), "client_test.go")
		})
	}
}

func TestStatusesOf(t *testing.T) {
	bob, eve := presence.User{TeamsID: "bob-id"}, presence.User{TeamsID: "eve-id"}
	users := []presence.User{ann, bob, eve}
	broken := errors.New("broken")
	names := &micollab.Options{Names: map[presence.Status]string{"Busy": "Besetzt"}}

	t.Run("one by one", func(t *testing.T) {
		d := driver{status: func(_ context.Context, u presence.User) (presence.Status, error) {
			switch u.TeamsID {
			case "bob-id":
				return "", presence.ErrNotFound
			case "eve-id":
				return "", broken
			}
			return "besetzt", nil
		}}
		got, err := newClient(t, d, names).StatusesOf(t.Context(), users)
		assert.Equal(t, map[string]presence.Status{"ann-id": presence.StatusBusy}, got)
		assert.ErrorIs(t, err, broken)
		assert.NotErrorIs(t, err, presence.ErrNotFound)
	})
	t.Run("at once", func(t *testing.T) {
		d := bulkDriver{statusesOf: func(_ context.Context, u []presence.User) (map[string]presence.Status, error) {
			assert.Equal(t, users, u)
			return map[string]presence.Status{"ann-id": "besetzt"}, broken
		}}
		got, err := newClient(t, d, names).StatusesOf(t.Context(), users)
		assert.Equal(t, map[string]presence.Status{"ann-id": presence.StatusBusy}, got)
		assert.ErrorIs(t, err, broken)
	})
	t.Run("ends with its context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		d := driver{status: func(ctx context.Context, _ presence.User) (presence.Status, error) {
			calls++
			cancel()
			return "", ctx.Err()
		}}
		_, err := newClient(t, d, nil).StatusesOf(ctx, users)
		assert.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, 1, calls)
	})
	t.Run("nobody", func(t *testing.T) {
		got, err := newClient(t, bulkDriver{}, nil).StatusesOf(t.Context(), nil)
		require.NoError(t, err)
		assert.Empty(t, got)
	})
}
