package cloudlinktest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/cloudlink/cloudlinktest"
	"github.com/presencebridge/presencebridge/presence"
)

func TestPresentityIsReadAndWritten(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		assert.Equal(f.t, presence.StatusOffline, f.Status("ann-id"))
		time.Sleep(time.Hour)
		for _, method := range []string{"PUT", "GET"} {
			var body any
			if method == "PUT" {
				body = object{"status": "In a meeting", "reason": "Room 5"}
			}
			r := f.call(method, "presence", "/presentities/ann-id", body)
			require.Equal(f.t, http.StatusOK, r.status, r.raw)
			for name, want := range (object{
				"principalId": "ann-id", "accountId": f.AccountID(), "status": "In a meeting", "reason": "Room 5",
				"modifiedOn": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
			}) {
				assert.Equal(f.t, want, r.json[name], name)
			}
		}
		assert.Equal(f.t, presence.StatusInAMeeting, f.Status("ann-id"))

		assert.Equal(f.t, http.StatusNotFound, f.call("GET", "presence", "/presentities/nobody", nil).status)
		assert.Equal(f.t, http.StatusNotFound, f.call("PUT", "presence", "/presentities/nobody", object{"status": "Busy"}).status)
		for _, bad := range []any{object{}, object{"reason": "x"}, object{"status": strings.Repeat("x", 257)}, "text"} {
			assert.Equal(f.t, http.StatusBadRequest, f.call("PUT", "presence", "/presentities/ann-id", bad).status)
		}
		assert.Equal(f.t, presence.StatusInAMeeting, f.Status("ann-id"))
		assert.Empty(f.t, f.Status("nobody"))
	})
}

func TestPersonsTokenReachesTheOwnPresenceOnly(t *testing.T) {
	inBubble(t, cloudlinktest.Options{}, func(f *fixture) {
		assert.Equal(f.t, http.StatusOK, f.callAs(f.annToken, "PUT", "presence", "/presentities/ann-id", object{"status": "Busy"}).status)
		assert.Equal(f.t, http.StatusForbidden, f.callAs(f.annToken, "PUT", "presence", "/presentities/bob-id", object{"status": "Busy"}).status)
		assert.Equal(f.t, http.StatusForbidden, f.callAs(f.annToken, "GET", "presence", "/presentities/bob-id", nil).status)
	})
}

func TestHistoryTellsWhoChangedTheStatus(t *testing.T) {
	inBubble(t, cloudlinktest.Options{Assumptions: &cloudlinktest.Assumptions{InitialStatus: "Lunch"}}, func(f *fixture) {
		assert.Equal(f.t, presence.Status("Lunch"), f.Status("ann-id"))
		var seen []cloudlinktest.Change
		f.OnChange(func(c cloudlinktest.Change) {
			seen = append(seen, c)
			if c.Status == presence.StatusBusy && c.Cause == cloudlinktest.CauseUser {
				f.SetStatus("bob-id", presence.StatusBusy) // no lock is held
			}
		})
		require.True(f.t, f.SetStatus("ann-id", presence.StatusBusy))
		require.True(f.t, f.SetStatus("ann-id", presence.StatusBusy))
		require.False(f.t, f.SetStatus("nobody", presence.StatusBusy))
		f.call("PUT", "presence", "/presentities/ann-id", object{"status": "Away"})
		f.call("PUT", "presence", "/presentities/ann-id", object{"status": "Away"})
		f.callAs(f.annToken, "PUT", "presence", "/presentities/ann-id", object{"status": "Busy"})

		now := time.Now()
		want := []cloudlinktest.Change{
			{Time: now, Kind: cloudlinktest.KindStatus, PrincipalID: "ann-id", Status: "Busy", Cause: cloudlinktest.CauseUser},
			{Time: now, Kind: cloudlinktest.KindStatus, PrincipalID: "bob-id", Status: "Busy", Cause: cloudlinktest.CauseUser},
			{Time: now, Kind: cloudlinktest.KindStatus, PrincipalID: "ann-id", Status: "Away", Cause: cloudlinktest.CauseAPI, ClientID: "bridge"},
			{Time: now, Kind: cloudlinktest.KindStatus, PrincipalID: "ann-id", Status: "Busy", Cause: cloudlinktest.CauseAPI, ClientID: "ann-id"},
		}
		assert.Equal(f.t, want, seen)
		assert.Equal(f.t, want, f.History())
	})
}
