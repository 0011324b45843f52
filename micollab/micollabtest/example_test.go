package micollabtest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/presencebridge/presencebridge/micollab/micollabtest"
	"github.com/presencebridge/presencebridge/presence"
)

// A driver's author runs the suite in a test of the driver's own package.
func ExampleTestDriver() {
	// func TestMyDriver(t *testing.T) {
	test := func(t *testing.T) {
		micollabtest.TestDriver(t, func(t *testing.T) micollabtest.Harness {
			ann, bob := presence.User{TeamsID: "ann"}, presence.User{TeamsID: "bob"}
			return micollabtest.Harness{
				Driver:  micollabtest.NewDriver(ann, bob), // your driver
				Users:   []presence.User{ann, bob},
				Unknown: presence.User{TeamsID: "nobody"},
			}
		})
	}
	_ = test
}

// A test makes the server fail once and sees what becomes of it.
func ExampleDriver_Fail() {
	ann := presence.User{TeamsID: "ann"}
	driver := micollabtest.NewDriver(ann)
	driver.Fail(1, presence.ErrUnavailable)

	ctx := context.Background()
	err := driver.SetStatus(ctx, ann, presence.StatusBusy)
	fmt.Println(errors.Is(err, presence.ErrUnavailable))
	err = driver.SetStatus(ctx, ann, presence.StatusBusy)
	fmt.Println(err, driver.History()[0].Status)
	// Output:
	// true
	// <nil> Busy
}
