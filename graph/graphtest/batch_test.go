package graphtest_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/graph/graphtest"
)

type m = map[string]any

func (w *world) batch(requests ...m) (int, map[string]m) {
	w.Helper()
	status, body := w.do(w.appToken(), "POST", "$batch", m{"requests": requests})
	byID := make(map[string]m)
	responses, _ := body["responses"].([]any)
	for _, r := range responses {
		byID[r.(m)["id"].(string)] = r.(m)
	}
	return status, byID
}

func TestBatch(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		json := m{"Content-Type": "application/json"}
		status, answers := w.batch(
			m{"id": "1", "method": "POST", "url": "/users/" + annID + "/presence/setPresence", "headers": json, "body": w.setBody("Busy", "InACall", "")},
			m{"id": "2", "method": "GET", "url": "users/" + annID + "/presence", "dependsOn": []string{"1"}},
			m{"id": "3", "method": "GET", "url": "/users/nobody?$select=id"},
			m{"id": "4", "method": "GET", "url": "/users", "dependsOn": []string{"3"}},
		)
		require.Equal(w, http.StatusOK, status)
		assert.EqualValues(w, 200, answers["1"]["status"])
		assert.NotContains(w, answers["1"], "body")
		assert.Equal(w, "InACall", answers["2"]["body"].(m)["activity"])
		assert.EqualValues(w, 404, answers["3"]["status"])
		assert.Equal(w, "Request_ResourceNotFound", code(answers["3"]["body"].(m)))
		assert.EqualValues(w, 424, answers["4"]["status"])
	})
}

func TestBatchRefusals(t *testing.T) {
	inBubble(t, nil, func(w *world) {
		get := func(id string) m { return m{"id": id, "method": "GET", "url": "/users"} }
		var many []m
		for i := range 21 {
			many = append(many, get(fmt.Sprint(i)))
		}
		for name, requests := range map[string][]m{
			"21 requests": many, "none": {}, "same id": {get("1"), get("1")}, "no id": {get("")}, "nested": {{"id": "1", "method": "POST", "url": "/$batch"}},
			"depends on a later one":    {{"id": "1", "method": "GET", "url": "/users", "dependsOn": []string{"2"}}, get("2")},
			"body without content type": {{"id": "1", "method": "POST", "url": "/users", "body": m{}}},
			"no method":                 {{"id": "1", "url": "/users"}},
		} {
			status, _ := w.batch(requests...)
			assert.Equal(w, http.StatusBadRequest, status, name)
		}
		status, _ := w.batch(many[:20]...)
		assert.Equal(w, http.StatusOK, status)
	})
}

func TestBatchMembersAreThrottledAlone(t *testing.T) {
	inBubble(t, &graphtest.Options{Enforce: true, Limits: graphtest.Limits{Presence: 2}}, func(w *world) {
		var requests []m
		for i := range 3 {
			requests = append(requests, m{"id": fmt.Sprint(i), "method": "GET", "url": "/users/" + annID + "/presence"})
		}
		status, answers := w.batch(requests...)
		require.Equal(w, http.StatusOK, status)
		assert.EqualValues(w, 200, answers["1"]["status"])
		assert.EqualValues(w, 429, answers["2"]["status"])
		assert.Equal(w, "30.000", answers["2"]["headers"].(m)["Retry-After"])
	})
}
