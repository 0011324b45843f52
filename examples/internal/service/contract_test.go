package service

import (
	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/micollab"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/monitor/boltstore"
	"github.com/presencebridge/presencebridge/monitor/entra"
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
)
