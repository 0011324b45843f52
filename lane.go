package presencebridge

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge/internal/throttle"
)

// lane is the queue of one kind of request to one service. It holds each user
// once, and gives no user to two workers at a time: a user that is added while a
// worker has it comes again afterwards. Users added as urgent come first.
type lane struct {
	name    string
	workers int
	batch   int
	// work carries out the request for users. The lane pauses after an error that
	// speaks of the service and not of one user. errIdle says that there was
	// nothing to ask.
	work func(ctx context.Context, users []string) error
	// changed is told about a change of the lane's health, without a lock held.
	changed func(Health)

	maxPause time.Duration
	wake     chan struct{}

	mu       sync.Mutex
	urgent   []waiting
	patient  []waiting
	state    map[string]laneState
	active   int
	paused   time.Time
	failures int
	throttle int // how often the service throttled, ever
	health   Health
}

// errIdle is returned by a lane's work that made no request.
var errIdle = errors.New("presencebridge: nothing to do")

// waiting is a user in a queue.
type waiting struct {
	user  string
	since time.Time
}

type laneState uint8

const (
	laneUrgent  laneState = 1 << iota // in the urgent queue
	lanePatient                       // in the patient queue
	laneActive                        // with a worker
	laneAgain                         // to be queued once the worker is done
)

func newLane(name string, workers, batch int, maxPause time.Duration) *lane {
	return &lane{
		name: name, workers: workers, batch: batch, maxPause: maxPause,
		wake:   make(chan struct{}, 1),
		state:  make(map[string]laneState),
		health: Health{Connection: name, State: StateUnused},
	}
}

// add queues users. It never blocks. An urgent addition overtakes patient ones.
func (l *lane) add(urgent bool, users ...string) {
	now := time.Now()
	l.mu.Lock()
	for _, u := range users {
		s := l.state[u]
		switch {
		case s&laneActive != 0:
			s |= laneAgain
			if urgent {
				s |= laneUrgent
			}
		case urgent && s&laneUrgent == 0:
			s |= laneUrgent
			l.urgent = append(l.urgent, waiting{u, now})
		case !urgent && s&(laneUrgent|lanePatient) == 0:
			s |= lanePatient
			l.patient = append(l.patient, waiting{u, now})
		}
		l.state[u] = s
	}
	l.mu.Unlock()
	l.signal()
}

func (l *lane) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// take returns the next users, or how long the lane pauses, or neither.
func (l *lane) take(now time.Time) (users []string, pause time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if pause := l.paused.Sub(now); pause > 0 {
		return nil, pause
	}
	pick := func(queue []waiting, flag laneState) []waiting {
		i := 0
		for ; i < len(queue) && len(users) < l.batch; i++ {
			u := queue[i].user
			// An entry whose flag is gone was overtaken by an urgent one.
			if l.state[u]&flag == 0 {
				continue
			}
			l.state[u] = laneActive
			users = append(users, u)
		}
		return queue[i:]
	}
	l.urgent = pick(l.urgent, laneUrgent)
	l.patient = pick(l.patient, lanePatient)
	if len(users) > 0 {
		l.active++
	}
	return users, 0
}

// pausedUntil returns the end of the lane's pause, in the past if there is none.
func (l *lane) pausedUntil() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.paused
}

// more reports whether anything waits.
func (l *lane) more() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.urgent)+len(l.patient) > 0
}

// done takes users back from a worker.
func (l *lane) done(users []string) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active--
	for _, u := range users {
		s := l.state[u]
		switch {
		case s&laneAgain == 0:
			delete(l.state, u)
		case s&laneUrgent != 0:
			l.state[u] = laneUrgent
			l.urgent = append(l.urgent, waiting{u, now})
		default:
			l.state[u] = lanePatient
			l.patient = append(l.patient, waiting{u, now})
		}
	}
}

// queued reports whether a worker will take the user without another addition.
func (l *lane) queued(user string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state[user]&^laneActive != 0
}

// unfinished reports whether somebody who is not urgent has waited since then or
// for longer.
func (l *lane) unfinished(since time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.patient {
		if w.since.After(since) {
			return false
		}
		if l.state[w.user]&lanePatient != 0 {
			return true
		}
	}
	return false
}

// depth returns how many users wait or are with a worker.
func (l *lane) depth() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.state)
}

// run is one worker.
func (l *lane) run(ctx context.Context) {
	for ctx.Err() == nil {
		users, pause := l.take(time.Now())
		switch {
		case pause > 0:
			_ = throttle.Sleep(ctx, pause)
			continue
		case len(users) == 0:
			select {
			case <-l.wake:
			case <-ctx.Done():
				return
			}
			continue
		}
		// One signal wakes one worker, who passes it on while there is work.
		if l.more() {
			l.signal()
		}
		err := l.work(ctx, users)
		l.done(users)
		if ctx.Err() == nil && !errors.Is(err, errIdle) {
			l.settle(err, time.Now())
		}
		if l.more() {
			l.signal()
		}
	}
}
