package simulator

import (
	"github.com/presencebridge/presencebridge/presence"
)

// defaultDevice is the Teams client that everybody is signed in at.
const defaultDevice = "desktop"

// maxWord bounds the words that a command may pass on unchecked.
const maxWord = 256

// pair is an availability with its activity.
type pair struct {
	Availability string `json:"availability"`
	Activity     string `json:"activity"`
}

type teamsCommand struct {
	User           string `json:"user"`
	Device         string `json:"device"`
	Availability   string `json:"availability"`
	Activity       string `json:"activity"`
	SignedOut      bool   `json:"signedOut"`
	Preferred      *pair  `json:"preferred"`
	ClearPreferred bool   `json:"clearPreferred"`
	InMeeting      *bool  `json:"inMeeting"`
	OutOfOffice    *bool  `json:"outOfOffice"`
	Unchecked      bool   `json:"unchecked"`
}

func (s *Simulator) setTeams(c teamsCommand) (any, error) {
	user, ok := s.teamsUser(c.User)
	if !ok {
		return nil, refuse("there is no Teams account %q: send as user the object id, address, extension or name of one that GET %s/state lists", c.User, s.info.Control)
	}
	client := c.Availability != "" || c.SignedOut
	preferred := c.Preferred != nil || c.ClearPreferred
	availability, activity := presence.ParseAvailability(c.Availability), presence.ParseActivity(c.Activity)
	switch {
	case !client && !preferred && c.Activity == "" && c.InMeeting == nil && c.OutOfOffice == nil:
		return nil, refuse("nothing would change: send availability (and activity), signedOut, preferred, clearPreferred, inMeeting or outOfOffice")
	case c.Activity != "" && c.Availability == "":
		return nil, refuse("an activity needs its availability: send both")
	case c.SignedOut && c.Availability != "":
		return nil, refuse("a client cannot be signed out and show %s: send either signedOut or availability", c.Availability)
	case c.Preferred != nil && c.ClearPreferred:
		return nil, refuse("send either preferred or clearPreferred")
	case len(c.Availability) > maxWord || len(c.Activity) > maxWord || len(c.Device) > maxWord:
		return nil, refuse("availability, activity and device have at most %d bytes each", maxWord)
	case c.Availability != "" && !c.Unchecked && !availability.Known() && availability != presence.AvailabilityUnknown:
		return nil, refuse("Microsoft documents no availability %q: send one of %v, or unchecked as well", c.Availability, presence.Availabilities())
	case c.Activity != "" && !c.Unchecked && !activity.Known() && activity != presence.ActivityUnknown:
		return nil, refuse("Microsoft documents no activity %q: send one of %v, or unchecked as well", c.Activity, presence.Activities())
	}
	// What may be refused goes first, so that a refused command has changed nothing.
	if preferred {
		var wanted presence.Session
		if c.Preferred != nil {
			wanted = presence.Session{
				Availability: presence.ParseAvailability(c.Preferred.Availability), Activity: presence.ParseActivity(c.Preferred.Activity),
			}
		}
		if c.Preferred != nil && wanted.IsZero() || s.graph.SetPreferred(user.ID, wanted) != nil {
			return nil, refuse("%s cannot be preferred: send as preferred one of Available/Available, Busy/Busy, DoNotDisturb/DoNotDisturb, BeRightBack/BeRightBack, Away/Away, Offline/OffWork, as availability and activity", wanted)
		}
	}
	if client {
		device := c.Device
		if device == "" {
			device = defaultDevice
		}
		if err := s.graph.SetClient(user.ID, device, availability, activity); err != nil {
			return nil, err
		}
	}
	if c.InMeeting != nil {
		if err := s.graph.SetCalendar(user.ID, *c.InMeeting); err != nil {
			return nil, err
		}
	}
	if c.OutOfOffice != nil {
		if err := s.graph.SetOutOfOffice(user.ID, *c.OutOfOffice); err != nil {
			return nil, err
		}
	}
	return s.teamsState(user.ID), nil
}

type phoneCommand struct {
	Endpoint     string `json:"endpoint"`
	User         string `json:"user"`
	State        string `json:"state"`
	DoNotDisturb *bool  `json:"doNotDisturb"`
	Unchecked    bool   `json:"unchecked"`
}

func (s *Simulator) setPhone(c phoneCommand) (any, error) {
	if (c.Endpoint == "") == (c.User == "") {
		return nil, refuse("send either endpoint, a telephone's extension, or user")
	}
	endpoint := c.Endpoint
	if c.User != "" {
		user, ok := s.cloudLinkUser(c.User)
		if !ok || user.Extension == "" {
			return nil, refuse("there is no CloudLink user %q with a telephone: send one that GET %s/state lists with an extension", c.User, s.info.Control)
		}
		endpoint = user.Extension
	}
	state := presence.ParseLineState(c.State)
	switch {
	case c.State == "" && c.DoNotDisturb == nil:
		return nil, refuse("nothing would change: send state, doNotDisturb or both")
	case len(c.State) > maxWord:
		return nil, refuse("a state has at most %d bytes", maxWord)
	case c.State != "" && !c.Unchecked && !state.Known() && state != presence.LineUnknown:
		return nil, refuse("CloudLink documents no line state %q: send one of %v, or unchecked as well", c.State, presence.LineStates())
	}
	found := true
	if c.DoNotDisturb != nil {
		found = s.cloud.SetDoNotDisturb(endpoint, *c.DoNotDisturb)
	}
	if found && c.State != "" {
		found = s.cloud.SetLine(endpoint, state)
	}
	if !found {
		return nil, refuse("there is no telephone %q: send an extension that GET %s/state lists", endpoint, s.info.Control)
	}
	return s.phoneState(endpoint), nil
}

type miCollabCommand struct {
	User   string `json:"user"`
	Status string `json:"status"`
}

func (s *Simulator) setMiCollab(c miCollabCommand) (any, error) {
	user, ok := s.cloudLinkUser(c.User)
	switch {
	case !ok:
		return nil, refuse("there is no CloudLink user %q: send as user the id, address, extension or name of one that GET %s/state lists", c.User, s.info.Control)
	case c.Status == "" || len(c.Status) > maxWord:
		return nil, refuse("send as status a text of 1 to %d bytes, such as %q", maxWord, presence.StatusAway)
	}
	s.cloud.SetStatus(user.PrincipalID, presence.ParseStatus(c.Status))
	return map[string]any{"cloudLinkId": user.PrincipalID, "status": s.cloud.Status(user.PrincipalID)}, nil
}
