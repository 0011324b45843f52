package verify

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink"
)

const (
	// listingLag is how long CloudLink's listing may take to show a subscription
	// that was just made. Assumed: nothing is documented about it.
	listingLag = time.Minute
	// lookOverdue is how late the watcher's next look may be: it takes as long as
	// CloudLink takes to answer.
	lookOverdue = 5 * time.Minute
	// neverHeard is how long a subscription that has brought nothing at all may be
	// silent. It is shorter than HeardWithin, because nothing has shown yet that
	// CloudLink reaches the webhook URL, and long enough for a night.
	neverHeard = 24 * time.Hour
)

// topicWords tell what a topic is about.
func topicWords(topic string) string {
	switch topic {
	case cloudlink.TopicMedia:
		return "telephones"
	case cloudlink.TopicPresence:
		return "presence"
	default:
		return topic
	}
}

// watchedTopics are the topics that the bridge needs in its direction.
func watchedTopics(f *facts) []string {
	if f.direction == presencebridge.Bidirectional {
		return []string{cloudlink.TopicMedia, cloudlink.TopicPresence}
	}
	return []string{cloudlink.TopicMedia}
}

// neededSubscriptions returns the subscriptions of the topics that the bridge needs, and the
// topics for which the watcher has none to make.
func neededSubscriptions(f *facts, w cloudlink.WatcherSnapshot) (subscriptions []cloudlink.WatchedSubscription, lacking []string) {
	for _, topic := range watchedTopics(f) {
		before := len(subscriptions)
		for _, s := range w.Subscriptions {
			if s.Topic == topic {
				subscriptions = append(subscriptions, s)
			}
		}
		if len(subscriptions) == before {
			lacking = append(lacking, topicWords(topic))
		}
	}
	return subscriptions, lacking
}

func checkCloudLinkSubscriptions(_ context.Context, f *facts, _ string) finding {
	w := f.sources.Watcher.Snapshot()
	evidence := []Evidence{{"state", string(w.State)}, {"looked", ago(f, w.LastCheck)}}
	for _, s := range w.Subscriptions {
		evidence = append(evidence, Evidence{topicWords(s.Topic), subscriptionWords(f, s)})
	}
	evidence = append(evidence, ofError(w.LastError))
	switch w.State {
	case cloudlink.WatcherStopped:
		return failed("The watcher of CloudLink's subscriptions does not run.", "Start the bridge with its watcher. If the watcher has ended with an error, that error says why.", evidence...)
	case cloudlink.WatcherSubscribing:
		return warned("The watcher of CloudLink's subscriptions has only just begun.", "Run the check again in a minute.", evidence...)
	}
	subscriptions, lacking := neededSubscriptions(f, w)
	var missing, unseen []string
	for _, s := range subscriptions {
		switch {
		case s.ID == "":
			missing = append(missing, topicWords(s.Topic))
		case !s.Confirmed && !s.LastEvent.After(s.CreatedAt) && w.LastCheck.Sub(s.CreatedAt) > listingLag:
			unseen = append(unseen, topicWords(s.Topic))
		}
	}
	switch {
	case len(lacking) > 0:
		return failed("The watcher does not subscribe to the notifications of "+strings.Join(lacking, " and ")+", which a bridge of this direction needs.",
			"Leave WatcherOptions.PhonesOnly off while the bridge is bidirectional.", evidence...)
	case len(missing) > 0:
		return failed("There is no subscription to the notifications of "+strings.Join(missing, " and ")+".", instruction(w.LastError), evidence...)
	case w.State == cloudlink.WatcherFailing:
		return warned(fmt.Sprintf("Whether the subscriptions are still there cannot be told: the last %s at them failed, %s.", looks(w.Failures), lastLook(f, w)),
			instruction(w.LastError), evidence...)
	case len(unseen) > 0:
		return warned("CloudLink's list does not show the subscription to the notifications of "+strings.Join(unseen, " and ")+" that was made.", "Run the check again in ten minutes: the watcher makes another one.", evidence...)
	case !w.NextAction.IsZero() && f.startedAt.Sub(w.NextAction) > lookOverdue:
		return warned("The watcher should have looked at the subscriptions "+ago(f, w.NextAction)+", and has not.", "Look at the log of the service, and start it again.", evidence...)
	default:
		return passed(evidence...)
	}
}

func looks(n int) string {
	if n <= 1 {
		return "look"
	}
	return fmt.Sprintf("%d looks", n)
}

func lastLook(f *facts, w cloudlink.WatcherSnapshot) string {
	if w.LastCheck.IsZero() {
		return "and none has succeeded yet"
	}
	return "the last that succeeded was " + ago(f, w.LastCheck)
}

// subscriptionWords tell of one subscription.
func subscriptionWords(f *facts, s cloudlink.WatchedSubscription) string {
	if s.ID == "" {
		return "none"
	}
	words := s.ID + ", made " + ago(f, s.CreatedAt)
	if !s.Confirmed {
		words += ", not yet in CloudLink's list"
	}
	return words + ", heard " + ago(f, s.LastEvent)
}

func sinceWords(t time.Time) string {
	if t.IsZero() {
		return " yet"
	}
	return " since " + date(t)
}

func checkCloudLinkHeard(_ context.Context, f *facts, _ string) finding {
	subscriptions, _ := neededSubscriptions(f, f.sources.Watcher.Snapshot())
	var (
		silent   []string
		evidence []Evidence
		todo     = "Change somebody's Teams status and run the check again. If nothing is heard, let CloudLink reach the webhook URL."
	)
	for _, s := range subscriptions {
		if s.ID == "" {
			continue
		}
		evidence = append(evidence, Evidence{topicWords(s.Topic), "made " + ago(f, s.CreatedAt) + ", heard " + ago(f, s.LastEvent)})
		since, patience := s.CreatedAt, min(neverHeard, f.opts.HeardWithin)
		if !s.LastEvent.IsZero() {
			patience = f.opts.HeardWithin
			if s.LastEvent.After(since) {
				since = s.LastEvent
			}
		}
		if f.startedAt.Sub(since) <= patience {
			continue
		}
		silent = append(silent, "of "+topicWords(s.Topic)+sinceWords(since))
		if s.Topic != cloudlink.TopicPresence {
			todo = "" // that of the check, which begins with a call
		}
	}
	if len(silent) > 0 {
		return warned("The subscriptions have brought no notification "+strings.Join(silent, " and ")+".", todo, evidence...)
	}
	return passed(evidence...)
}
