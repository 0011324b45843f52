package verify

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/presencebridge/presencebridge/monitor"
)

// subscriptionGrace is how long a subscription may be under creation, whether that
// fails or takes its time.
const subscriptionGrace = 2 * time.Minute

// keeper says who keeps a monitor.
func keeper(m *monitorSeen) Evidence {
	if m.Here {
		return Evidence{"kept by", "this process"}
	}
	return Evidence{"kept by", m.Keeper}
}

func checkMonitorWorking(ctx context.Context, f *facts, name string) finding {
	return ofMonitor(func(_ *facts, m *monitorSeen) finding {
		s := &m.Subscription
		evidence := []Evidence{keeper(m)}
		if s.Err != nil {
			evidence = append(evidence, Evidence{"failures", strconv.Itoa(s.Failures)}, Evidence{"failing since", moment(s.FailingSince)}, ofError(s.Err))
		}
		if o, bad := m.trouble(CodeMonitorWorking); bad {
			o.Evidence = append(o.Evidence, evidence...)
			if o.Remedy == "" {
				o.Remedy = instruction(s.Err)
			}
			return o
		}
		switch {
		case m.Keeper == "":
			return warned(fmt.Sprintf("No process keeps the monitor %s now, as far as this one knows.", m.PrincipalName),
				"Run the check again in a minute. If it stays so, look at the log of the service for what is said of the monitor's lease.", evidence...)
		case m.unasked != nil && m.Here:
			return warned(fmt.Sprintf("Entra could not be asked about the monitor %s now.", m.PrincipalName),
				"Run the check again. If it stays so, look at the network between here and Entra, and at Microsoft's service health.", evidence...)
		case m.unasked != nil:
			return warned(fmt.Sprintf("The process %s keeps the monitor %s and has not asked Entra about it now.", m.Keeper, m.PrincipalName),
				"Run the check again. If it stays so, look whether that process is alive and reaches the store and Entra.", evidence...)
		}
		return passed(evidence...)
	})(ctx, f, name)
}

func checkMonitorSubscription(ctx context.Context, f *facts, name string) finding {
	return ofMonitor(func(f *facts, m *monitorSeen) finding {
		switch {
		case m.Here && m.Subscription.Condition == monitor.ConditionUnsupported:
			return notApplicable("This cloud has no presence notifications: everybody is read in bulk.")
		case m.Users == 0:
			return passed(Evidence{"users", "0: the monitor is a reserve"})
		case m.Here:
			return subscriptionHere(f, m)
		default:
			return subscriptionElsewhere(f, m)
		}
	})(ctx, f, name)
}

// subscriptionHere judges the subscription of a monitor that this process keeps.
func subscriptionHere(f *facts, m *monitorSeen) finding {
	s := &m.Subscription
	evidence := []Evidence{
		{"condition", string(s.Condition)}, {"subscription", s.SubscriptionID}, {"users", strconv.Itoa(m.Users)},
		{"created", moment(s.CreatedAt)}, {"renewed", moment(s.RenewedAt)}, {"ends", moment(s.ExpiresAt)},
		{"confirmed by Microsoft Graph", moment(s.SeenAt)}, {"encrypts for the certificate", s.EncryptionID},
	}
	if s.SubscriptionID == m.SubscriptionID {
		evidence = append(evidence, Evidence{"delivers to", m.NotificationURL})
	}
	if s.Failures > 0 {
		evidence = append(evidence, Evidence{"failures", strconv.Itoa(s.Failures)}, ofError(s.Err))
	}
	lost := []Evidence{{"last lost", moment(s.LostAt)}, {"because", s.LostReason}}
	switch {
	case !s.LostAt.Before(f.startedAt.Round(0)):
		return warned(fmt.Sprintf("The subscription of the monitor %s was gone when it was looked up, and is being created again (%s).", m.PrincipalName, s.LostReason),
			"Nothing has to be done if the next run finds it alive. If it is lost again and again, make sure that nobody deletes it and no other application uses the monitor's account.",
			append(evidence, lost...)...)
	case s.SubscriptionID == "" && s.Failures > 0 && f.startedAt.Sub(s.FailingSince) >= subscriptionGrace:
		return failed(fmt.Sprintf("The monitor %s has no subscription, and creating one fails since %s.", m.PrincipalName, moment(s.FailingSince)),
			instruction(s.Err), append(evidence, lost...)...)
	case s.SubscriptionID == "" && s.WithoutSince.IsZero():
		// Users are assigned, and its upkeep has not begun to watch them.
		return warned(fmt.Sprintf("The monitor %s has no subscription for its %s, and has not begun to create one.", m.PrincipalName, count(m.Users, "user")),
			runAgain+" If it stays so, retry the monitor, and look at the log of the service.", append(evidence, lost...)...)
	case s.SubscriptionID == "" && f.startedAt.Sub(s.WithoutSince) >= subscriptionGrace:
		return failed(fmt.Sprintf("The monitor %s has had no subscription since %s, and none has been created.", m.PrincipalName, moment(s.WithoutSince)),
			instruction(s.Err), append(append(evidence, Evidence{"next", s.NextAction}, Evidence{"next at", moment(s.NextAt)}), lost...)...)
	case s.SubscriptionID == "":
		return passed(append(evidence, Evidence{"state", "it is being created"}, Evidence{"since", moment(s.WithoutSince)})...)
	case !s.ExpiresAt.After(f.startedAt):
		return failed(fmt.Sprintf("The subscription of the monitor %s ended on %s and was not renewed.", m.PrincipalName, moment(s.ExpiresAt)), "", append(evidence, lost...)...)
	case s.SubscriptionID == m.SubscriptionID && elsewhere(f, m):
		return deliversElsewhere(f, m, append(evidence, lost...))
	case !s.SeenAt.Before(f.startedAt.Round(0)):
		return passed(append(evidence, lost...)...).on("Microsoft Graph, asked for the subscription now")
	default:
		return passed(append(evidence, lost...)...)
	}
}

// subscriptionElsewhere judges by the store: only the keeper knows more.
func subscriptionElsewhere(f *facts, m *monitorSeen) finding {
	evidence := []Evidence{
		keeper(m), {"subscription", m.SubscriptionID}, {"users", strconv.Itoa(m.Users)},
		{"created", moment(m.SubscriptionCreatedAt)}, {"ends", moment(m.SubscriptionExpiresAt)},
		{"delivers to", m.NotificationURL}, {"encrypts for the certificate", m.EncryptionID},
	}
	const basis = "what the process that keeps the monitor has written to the store"
	switch {
	case m.SubscriptionID == "":
		return warned(fmt.Sprintf("The process %s keeps the monitor %s and has written no subscription to the store: it is being created, or fails there.", m.Keeper, m.PrincipalName),
			runAgain+" If it stays so, run it in that process.", evidence...).on(basis)
	case !m.SubscriptionExpiresAt.After(f.startedAt):
		return failed(fmt.Sprintf("The subscription of the monitor %s ended on %s, as far as the process %s that keeps it has told.", m.PrincipalName, moment(m.SubscriptionExpiresAt), m.Keeper),
			"Look whether that process is alive, and run the check there.", evidence...).on(basis)
	case elsewhere(f, m):
		return deliversElsewhere(f, m, evidence).on(basis)
	default:
		return passed(evidence...).on(basis)
	}
}

// elsewhere reports whether the subscription that the store has delivers to another
// URL than the configured one.
func elsewhere(f *facts, m *monitorSeen) bool {
	wanted := f.settings.NotificationURL
	return wanted != "" && m.NotificationURL != "" && m.NotificationURL != wanted
}

func deliversElsewhere(f *facts, m *monitorSeen, evidence []Evidence) finding {
	return warned(fmt.Sprintf("The subscription of the monitor %s delivers to %s, and the configured notification URL is %s.", m.PrincipalName, m.NotificationURL, f.settings.NotificationURL),
		"Give all processes that share the store, and this check, the same notification URL, and start them again: they replace the subscription.", evidence...)
}

func checkMonitorSubscriptionUsers(ctx context.Context, f *facts, name string) finding {
	return ofMonitor(func(f *facts, m *monitorSeen) finding {
		s := &m.Subscription
		if m.Here && s.Condition == monitor.ConditionUnsupported {
			return notApplicable("This cloud has no presence notifications: everybody is read in bulk.")
		}
		left := len(m.Uncovered)
		evidence := []Evidence{{"users", strconv.Itoa(m.Users)}, {"not covered", strconv.Itoa(left)}, {"who they are", names(f.people(m.Uncovered))}}
		switch {
		case left == 0:
			return passed(evidence[:2]...)
		case !m.Here:
			return warned(fmt.Sprintf("The process %s keeps the monitor %s, and it is not known here whether its subscription covers %d of its users: %s.",
				m.Keeper, m.PrincipalName, left, names(f.people(m.Uncovered))), runAgain+" If it stays so, run it in that process.", evidence...)
		case s.Failures == 0 && s.NextAction != "" && s.NextAt.Sub(f.startedAt) < subscriptionGrace && s.NextAction != "renew":
			return warned(fmt.Sprintf("The subscription of the monitor %s is just being replaced, because %s joined: %s.",
				m.PrincipalName, count(left, "user"), names(f.people(m.Uncovered))), runAgain, evidence...)
		default:
			return failed(fmt.Sprintf("The subscription of the monitor %s does not cover %d of its %s: %s.",
				m.PrincipalName, left, count(m.Users, "user"), names(f.people(m.Uncovered))), "", evidence...).naming(f.people(m.Uncovered))
		}
	})(ctx, f, name)
}

func checkMonitorHeard(ctx context.Context, f *facts, name string) finding {
	return ofMonitor(func(f *facts, m *monitorSeen) finding {
		s := &m.Subscription
		switch {
		case m.Here && s.Condition == monitor.ConditionUnsupported:
			return notApplicable("This cloud has no presence notifications: everybody is read in bulk.")
		case m.Users == 0:
			return notApplicable("The monitor is a reserve: nobody is assigned to it.")
		case !m.Here:
			return notApplicable(fmt.Sprintf("The process %s keeps the monitor, and only that one knows when a notification came: run the check there.", m.Keeper))
		case s.SubscriptionID == "":
			return notApplicable("The subscription is being created.")
		}
		evidence := []Evidence{
			{"heard", moment(s.HeardAt)}, {"listening since", moment(s.ListeningSince)},
			{"readings that found what no notification brought", strconv.Itoa(s.Misses)},
		}
		since := fmt.Sprintf("since %s, when it began to listen", moment(s.ListeningSince))
		from := s.ListeningSince
		if s.HeardAt.After(from) {
			since, from = "since "+moment(s.HeardAt), s.HeardAt
		}
		switch {
		case s.Misses > 0:
			return warned(fmt.Sprintf("The subscription of the monitor %s has brought no notification %s, though %s found changes.", m.PrincipalName, since, count(s.Misses, "regular reading")), "", evidence...)
		case f.startedAt.Sub(from) > f.opts.HeardWithin:
			return warned(fmt.Sprintf("The subscription of the monitor %s has brought no notification %s (%s).", m.PrincipalName, since, ago(f, from)), "", evidence...)
		}
		return passed(evidence...)
	})(ctx, f, name)
}
