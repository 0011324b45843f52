package presencebridge

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// agenda calls a function for each user at the time that was asked for last. A
// user is in it once.
type agenda struct {
	call func(users []string, now time.Time)
	poke chan struct{}

	mu    sync.Mutex
	items entries
	index map[string]*appointment
}

type appointment struct {
	user     string
	at       time.Time
	position int
}

func newAgenda(call func([]string, time.Time)) *agenda {
	return &agenda{call: call, poke: make(chan struct{}, 1), index: make(map[string]*appointment)}
}

// set moves the user's appointment to at; the zero time removes it.
func (a *agenda) set(user string, at time.Time) {
	a.mu.Lock()
	first := a.first()
	item := a.index[user]
	switch {
	case at.IsZero() && item == nil:
	case at.IsZero():
		heap.Remove(&a.items, item.position)
		delete(a.index, user)
	case item == nil:
		item = &appointment{user: user, at: at}
		a.index[user] = item
		heap.Push(&a.items, item)
	case !item.at.Equal(at):
		item.at = at
		heap.Fix(&a.items, item.position)
	}
	earlier := !a.first().Equal(first)
	a.mu.Unlock()
	if earlier {
		select {
		case a.poke <- struct{}{}:
		default:
		}
	}
}

// first returns the time of the next appointment, zero if there is none.
func (a *agenda) first() time.Time {
	if len(a.items) == 0 {
		return time.Time{}
	}
	return a.items[0].at
}

// due removes and returns those whose time has come, and when the next one is.
func (a *agenda) due(now time.Time) (users []string, next time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.items) > 0 && !a.items[0].at.After(now) {
		item, _ := heap.Pop(&a.items).(*appointment)
		delete(a.index, item.user)
		users = append(users, item.user)
	}
	return users, a.first()
}

func (a *agenda) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		now := time.Now()
		users, next := a.due(now)
		if len(users) > 0 {
			a.call(users, now)
			continue
		}
		wait := time.Hour
		if !next.IsZero() {
			wait = next.Sub(now)
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-a.poke:
		case <-ctx.Done():
			return
		}
	}
}

// entries is the heap, the earliest first.
type entries []*appointment

func (e entries) Len() int           { return len(e) }
func (e entries) Less(i, j int) bool { return e[i].at.Before(e[j].at) }
func (e entries) Swap(i, j int) {
	e[i], e[j] = e[j], e[i]
	e[i].position, e[j].position = i, j
}

func (e *entries) Push(x any) {
	item, _ := x.(*appointment)
	item.position = len(*e)
	*e = append(*e, item)
}

func (e *entries) Pop() any {
	old := *e
	item := old[len(old)-1]
	old[len(old)-1] = nil
	*e = old[:len(old)-1]
	return item
}
