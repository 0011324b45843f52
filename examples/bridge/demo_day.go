package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/presence"
)

// happening is something that a person does at a time of the day.
type happening struct {
	at string
	do func(*company)
}

// day is the working day, in order.
func day(l *ledger) []happening {
	teams := func(who first, a presence.Availability, x presence.Activity) func(*company) {
		return func(co *company) { _ = co.graph.SetClient(co.people[who].teamsID, "desktop", a, x) }
	}
	available := func(who first) func(*company) {
		return teams(who, presence.Available, presence.ActivityAvailable)
	}
	signOut := func(who first) func(*company) { return teams(who, "", "") }
	phone := func(who first, s presence.LineState) func(*company) {
		return func(co *company) { co.cloudlink.SetLine(co.people[who].extension, s) }
	}
	doNotDisturb := func(who first, on bool) func(*company) {
		return func(co *company) { co.cloudlink.SetDoNotDisturb(co.people[who].extension, on) }
	}
	meeting := func(who first, on bool) func(*company) {
		return func(co *company) { _ = co.graph.SetCalendar(co.people[who].teamsID, on) }
	}
	outOfOffice := func(who first, on bool) func(*company) {
		return func(co *company) { _ = co.graph.SetOutOfOffice(co.people[who].teamsID, on) }
	}
	return []happening{
		// People arrive. Carl is away, and an automatic reply says so.
		{"08:03", available(ada)},
		{"08:07", available(emmy)},
		{"08:11", available(grace)},
		{"08:15", available(alan)},
		{"08:19", available(leo)},
		{"08:23", available(lise)},
		{"08:26", available(hedy)},
		{"08:29", available(marie)},
		{"08:32", available(otto)},
		{"08:35", available(niels)},
		{"08:39", outOfOffice(carl, true)},

		// A call that is held for a while, and a meeting in the calendar.
		{"08:45", phone(ada, presence.LineRinging)},
		{"08:47", phone(ada, presence.LineConnected)},
		{"08:56", phone(ada, presence.LineHeld)},
		{"09:00", meeting(emmy, true)},
		{"09:02", phone(ada, presence.LineConnected)},
		{"09:12", phone(ada, presence.LineIdle)},

		// A support call that outlives the lifetime of a Teams session.
		{"09:18", phone(grace, presence.LineConnected)},
		{"09:30", doNotDisturb(alan, true)},
		{"09:40", teams(leo, presence.DoNotDisturb, presence.ActivityPresenting)},
		{"09:50", meeting(emmy, false)},

		// Otto's telephone system shows in Teams, but does not take Teams presence.
		{"10:00", phone(otto, presence.LineConnected)},
		{"10:10", doNotDisturb(alan, false)},
		{"10:16", phone(otto, presence.LineIdle)},
		{"10:24", teams(otto, presence.Busy, presence.ActivityInACall)},
		{"10:30", available(leo)},
		{"10:38", available(otto)},

		// A notification is lost, and the regular reading finds the change.
		{"10:46", func(co *company) { co.lose(l, hedy) }},
		{"10:46", teams(hedy, presence.Busy, presence.ActivityInACall)},
		{"11:36", phone(grace, presence.LineIdle)},

		// A notification comes twice, and is acted on once.
		{"11:42", func(co *company) { co.duplicate(l, marie) }},
		{"11:42", teams(marie, presence.DoNotDisturb, presence.ActivityFocusing)},

		// Kurt has no Entra account under his CloudLink address.
		{"11:54", phone(kurt, presence.LineConnected)},
		{"11:57", phone(kurt, presence.LineIdle)},

		// Lunch.
		{"12:02", teams(lise, presence.BeRightBack, presence.ActivityBeRightBack)},
		{"12:05", teams(ada, presence.Away, presence.ActivityAway)},
		{"12:08", available(marie)},
		{"12:11", teams(leo, presence.Away, presence.ActivityAway)},
		{"12:40", available(lise)},
		{"12:48", available(ada)},
		{"12:55", available(leo)},

		// A status picked in MiCollab gives way: with the integration on, MiCollab
		// shows the Teams statuses.
		{"13:05", func(co *company) { co.cloudlink.SetStatus(co.people[ada].principalID, presence.StatusBusy) }},
		{"13:20", outOfOffice(carl, false)},
		{"13:24", available(carl)},

		// A telephone call in the middle of a meeting.
		{"13:30", meeting(emmy, true)},
		{"13:42", phone(emmy, presence.LineConnected)},
		{"13:56", phone(emmy, presence.LineIdle)},

		{"13:59", available(hedy)},
		{"14:05", teams(leo, presence.Busy, presence.ActivityInAConferenceCall)},
		{"14:08", teams(lise, presence.Busy, presence.ActivityInAConferenceCall)},
		{"14:20", meeting(emmy, false)},

		// Ada calls Alan.
		{"14:30", phone(ada, presence.LineConnected)},
		{"14:30", phone(alan, presence.LineRinging)},
		{"14:32", phone(alan, presence.LineConnected)},
		{"14:40", available(lise)},
		{"14:43", available(leo)},
		{"14:52", phone(ada, presence.LineIdle)},
		{"14:52", phone(alan, presence.LineIdle)},

		// Do-not-disturb and a call together: the stronger shows.
		{"15:05", phone(hedy, presence.LineConnected)},
		{"15:12", doNotDisturb(hedy, true)},
		{"15:22", phone(hedy, presence.LineIdle)},
		{"15:32", doNotDisturb(hedy, false)},
		{"15:40", teams(lise, presence.DoNotDisturb, presence.ActivityDoNotDisturb)},

		// Grace's Teams goes away while she is on the telephone, which nobody can
		// see until she hangs up.
		{"15:50", phone(grace, presence.LineConnected)},
		{"16:02", teams(grace, presence.Away, presence.ActivityAway)},
		{"16:14", phone(grace, presence.LineIdle)},
		{"16:24", available(grace)},

		{"16:30", outOfOffice(niels, true)},
		{"16:36", available(lise)},

		// People leave. Alan stays, with his telephone on do-not-disturb, and Otto
		// talks on.
		{"16:50", signOut(emmy)},
		{"16:58", signOut(carl)},
		{"17:04", signOut(lise)},
		{"17:10", doNotDisturb(alan, true)},
		{"17:16", signOut(ada)},
		{"17:22", signOut(marie)},
		{"17:27", phone(otto, presence.LineConnected)},
		{"17:32", signOut(leo)},
		{"17:38", signOut(grace)},
		{"17:44", teams(hedy, presence.Offline, presence.ActivityOffWork)},
		{"18:00", func(*company) {}},
	}
}

// play lets the day pass.
func (co *company) play(ctx context.Context, c *clock, happenings []happening) error {
	for _, h := range happenings {
		at, err := time.Parse("15:04", h.at)
		if err != nil {
			return fmt.Errorf("the day has a wrong time: %w", err)
		}
		if err := c.wait(ctx, time.Duration(at.Hour())*time.Hour+time.Duration(at.Minute())*time.Minute); err != nil {
			return err
		}
		h.do(co)
	}
	return nil
}

// lose lets the next notification about a person get lost.
func (co *company) lose(l *ledger, who first) {
	co.meddle(who, graphtest.Fault{Drop: true}, func() { l.lost(co.people[who]) })
}

// duplicate lets the next notification about a person arrive twice.
func (co *company) duplicate(l *ledger, who first) {
	co.meddle(who, graphtest.Fault{Duplicate: true}, func() { l.duplicated(co.people[who]) })
}

// meddle has a fault befall the next notification about a person, once.
func (co *company) meddle(who first, fault graphtest.Fault, tell func()) {
	id := co.people[who].teamsID
	var done atomic.Bool
	co.graph.SetDeliveryFault(func(d graphtest.Delivery) graphtest.Fault {
		for _, user := range d.UserIDs {
			if user == id && done.CompareAndSwap(false, true) {
				tell()
				return fault
			}
		}
		return graphtest.Fault{}
	})
}
