package service

import (
	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/micollab"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/monitor/boltstore"
	"github.com/presencebridge/presencebridge/monitor/entra"
	"github.com/presencebridge/presencebridge/verify"
	"github.com/presencebridge/presencebridge/verify/tenant"
)

// The library's own clients are what the engine and the monitors ask for. No
// package of the library can state it, because they do not import each other.
var (
	_ presencebridge.Teams          = (*graph.Client)(nil)
	_ presencebridge.SessionBounder = (*graph.Client)(nil)
	_ presencebridge.TeamsUsers     = (*graph.Client)(nil)
	_ presencebridge.Phones         = (*cloudlink.Client)(nil)
	_ presencebridge.Principals     = (*cloudlink.Client)(nil)
	_ presencebridge.Statuses       = (*micollab.Client)(nil)
	_ presencebridge.Watcher        = (*monitor.Monitor)(nil)
	_ presencebridge.Watcher        = (*monitor.Pool)(nil)
	_ monitor.Subscriptions         = (*graph.Client)(nil)
	_ monitor.Routes                = (*graph.NotificationHandler)(nil)
	_ monitor.Entra                 = (*entra.Entra)(nil)
	_ monitor.Store                 = (*monitor.MemoryStore)(nil)
	_ monitor.Store                 = (*boltstore.Store)(nil)
	_ monitor.Sink                  = (*presencebridge.Bridge)(nil)
	_ monitor.UnwatchedSink         = (*presencebridge.Bridge)(nil)
	_ cloudlink.Sink                = (*presencebridge.Bridge)(nil)
	_ micollab.Driver               = (*cloudlink.StatusDriver)(nil)
	_ verify.Entra                  = (*tenant.Tenant)(nil)
	_ verify.CloudLink              = (*cloudlink.Client)(nil)
	_ verify.Bridge                 = (*presencebridge.Bridge)(nil)
	_ verify.UserBridge             = (*presencebridge.Bridge)(nil)
	_ verify.Explainer              = (*presencebridge.Bridge)(nil)
	_ verify.Monitors               = (*monitor.Pool)(nil)
	_ verify.Watcher                = (*cloudlink.Watcher)(nil)
	_ verify.Sessions               = (*graph.Client)(nil)
	_ verify.Accounts               = (*graph.Client)(nil)
	_ verify.Phones                 = (*cloudlink.Client)(nil)
	_ verify.People                 = (*cloudlink.Client)(nil)
	_ verify.Statuses               = (*micollab.Client)(nil)
)
