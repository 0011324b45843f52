package graphtest_test

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/graph/graphtest"
)

func (w *world) usage(name string) graphtest.BudgetUsage {
	for _, u := range w.Usage() {
		if u.Name == name {
			return u
		}
	}
	return graphtest.BudgetUsage{}
}

func TestUsageCountsTheWorstWindow(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		token := w.appToken()
		read := func(n int) {
			for range n {
				status, _ := w.do(token, "GET", "users/"+annID+"/presence", nil)
				require.Equal(w, http.StatusOK, status)
			}
		}
		read(3)
		time.Sleep(20 * time.Second)
		read(4) // with the first three: 7 in 30 seconds
		time.Sleep(10 * time.Second)
		read(2) // the first three have just left
		assert.Equal(w, graphtest.BudgetUsage{
			Name: graphtest.BudgetPresence, ApplicationID: w.app.ClientID, Count: 9, WorstWindow: 7, Limit: 1500, Window: 30 * time.Second,
		}, w.usage(graphtest.BudgetPresence))
		assert.Equal(w, 9, w.usage(graphtest.BudgetGlobal).Count)
	})
}

func TestBudgetsAndTheirCosts(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		app, user := w.appToken(), w.userToken(monID)
		w.do(app, "GET", "users", nil)                                    // 2
		w.do(app, "GET", "users?$select=id", nil)                         // 1
		w.do(app, "GET", "users/"+annID, nil)                             // 1
		w.do(app, "GET", "applications(appId='"+w.app.ClientID+"')", nil) // 2
		w.do(app, "POST", "communications/getPresencesByUserId", map[string]any{"ids": []string{annID}})
		id := w.subscribe(user, w.subscriptionBody(annID))
		w.do(user, "PATCH", "subscriptions/"+id, map[string]any{})
		w.do(user, "GET", "subscriptions/"+id, nil)
		w.do(user, "GET", "subscriptions", nil)
		w.do(user, "POST", "subscriptions/"+id+"/reauthorize", nil)
		w.do(user, "DELETE", "subscriptions/"+id, nil)
		w.do("", "GET", "users", nil) // nobody's
		got := make(map[string]string)
		for _, u := range w.Usage() {
			got[u.Name] = fmt.Sprintf("%d of %d in %s", u.Count, u.Limit, u.Window)
		}
		assert.Equal(w, map[string]string{
			"directory": "6 of 3500 in 10s", "presence": "1 of 1500 in 30s", "global": "11 of 130000 in 10s",
			"subscription writes": "3 of 500 in 20s", "subscription reads": "1 of 500 in 20s", "subscription lists": "1 of 25 in 20s",
			"reauthorizations": "1 of 1000 in 20s",
		}, got)
	})
}

func TestThrottling(t *testing.T) {
	inBubble(t, &graphtest.Options{Enforce: true, Limits: graphtest.Limits{Presence: 5, Directory: 2}}, func(w *world) {
		token := w.appToken()
		for range 5 {
			status, _ := w.do(token, "GET", "users/"+annID+"/presence", nil)
			require.Equal(w, http.StatusOK, status)
			time.Sleep(1100 * time.Millisecond)
		}
		resp := w.send(token, "GET", "users/"+annID+"/presence", nil)
		after := resp.header.Get("Retry-After")
		status, body := resp.json(w)
		assert.Equal(w, http.StatusTooManyRequests, status)
		assert.Equal(w, "TooManyRequests", code(body))
		assert.Equal(w, "24.500", after, "until the first of the five has left the window")

		seconds, err := strconv.ParseFloat(after, 64)
		require.NoError(w, err)
		time.Sleep(time.Duration(seconds * float64(time.Second)))
		status, _ = w.do(token, "GET", "users/"+annID+"/presence", nil)
		// The refused request counts: the window still holds five.
		assert.Equal(w, http.StatusTooManyRequests, status)
		time.Sleep(30 * time.Second)
		status, _ = w.do(token, "GET", "users/"+annID+"/presence", nil)
		assert.Equal(w, http.StatusOK, status)
		assert.Equal(w, 2, w.usage(graphtest.BudgetPresence).Throttled)

		w.do(token, "GET", "users", nil)
		resp = w.send(token, "GET", "users", nil)
		assert.Equal(w, "2", resp.header.Get("x-ms-resource-unit"))
		assert.NotEmpty(w, resp.header.Get("x-ms-throttle-information"))
		assert.Equal(w, "2.00", resp.header.Get("x-ms-throttle-limit-percentage"))
		status, _ = resp.json(w)
		assert.Equal(w, http.StatusTooManyRequests, status)

		first := w.app
		w.app = w.AddApplication(graphtest.Application{})
		status, _ = w.do(w.appToken(), "GET", "users", nil)
		assert.Equal(w, http.StatusOK, status, "another application has budgets of its own")
		w.app = first
	})
}
