package entra

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/monitor"
)

func TestClientsOfOneApplicationShareItsBudgets(t *testing.T) {
	own := graph.NewBudgets(nil)
	e, err := New("https://bridge.test/callback", &Options{Budgets: func(app monitor.Application) *graph.Budgets {
		if app.ClientID == "own" {
			return own
		}
		return nil
	}})
	require.NoError(t, err)
	first := e.budgetsOf(monitor.Application{TenantID: "tenant", ClientID: "ab"})
	assert.Same(t, first, e.budgetsOf(monitor.Application{TenantID: "Tenant", ClientID: "AB"}), "ids are written in any case")
	assert.NotSame(t, first, e.budgetsOf(monitor.Application{TenantID: "tenant", ClientID: "cd"}))
	assert.NotSame(t, first, e.budgetsOf(monitor.Application{TenantID: "another", ClientID: "ab"}))
	assert.Same(t, own, e.budgetsOf(monitor.Application{TenantID: "tenant", ClientID: "own"}))
}
