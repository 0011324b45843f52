package graphtest

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// maxBulkIDs is how many users one bulk read may name
// (learn.microsoft.com/graph/api/cloudcommunications-getpresencesbyuserid).
const maxBulkIDs = 650

// The bounds of a session's lifetime, and its default
// (learn.microsoft.com/graph/api/presence-setpresence).
const (
	minSessionLifetime     = 5 * time.Minute
	maxSessionLifetime     = 4 * time.Hour
	defaultSessionLifetime = 5 * time.Minute
)

// presenceBody is the presence resource.
type presenceBody struct {
	Context        string                `json:"@odata.context,omitempty"`
	ID             string                `json:"id"`
	Availability   presence.Availability `json:"availability"`
	Activity       presence.Activity     `json:"activity"`
	StatusMessage  *statusMessage        `json:"statusMessage"`
	OutOfOffice    outOfOfficeBody       `json:"outOfOfficeSettings"`
	SequenceNumber string                `json:"sequenceNumber,omitempty"`
	WorkLocation   *struct{}             `json:"workLocation"`
}

type outOfOfficeBody struct {
	Message       *string `json:"message"`
	IsOutOfOffice bool    `json:"isOutOfOffice"`
}

type statusMessage struct {
	Message   itemBody          `json:"message"`
	Expiry    *dateTimeTimeZone `json:"expiryDateTime,omitempty"`
	Published *dateTimeTimeZone `json:"publishedDateTime,omitempty"`

	expires time.Time
}

type itemBody struct {
	Content     string `json:"content"`
	ContentType string `json:"contentType"`
}

type dateTimeTimeZone struct {
	DateTime string `json:"dateTime"`
	TimeZone string `json:"timeZone"`
}

// presenceBodyLocked returns what a read gives; own is a read by the user.
func presenceBodyLocked(p *person, now time.Time, own bool) presenceBody {
	shown := p.readable(now)
	b := presenceBody{
		ID: p.user.ID, Availability: shown.Availability, Activity: shown.Activity,
		OutOfOffice: outOfOfficeBody{IsOutOfOffice: shown.OutOfOffice}, SequenceNumber: shown.SequenceNumber,
	}
	if p.status != nil && (p.status.expires.IsZero() || p.status.expires.After(now)) {
		status := *p.status
		if !own {
			// Neither time is given to others.
			status.Expiry, status.Published = nil, nil
		}
		b.StatusMessage = &status
	}
	return b
}

// checkUserID refuses a user that is not named by object id.
func (s *Server) checkUserID(id string) *graphFault {
	if isGUID(id) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.personLocked(id) != nil {
		return nil
	}
	return &graphFault{statusUserIDNotGUID, "BadRequest", "The user must be named by object id."}
}

func (s *Server) getPresence(c *call) (int, any, *graphFault) {
	if f := s.checkUserID(c.id); f != nil {
		return 0, nil, f
	}
	var b presenceBody
	licensed := true
	found := s.look(c.id, func(p *person, now time.Time) {
		licensed = !p.user.WithoutTeams
		b = presenceBodyLocked(p, now, p.user.ID == c.caller.userID)
	})
	if !found || !licensed {
		return 0, nil, notFound(c.id)
	}
	b.Context = s.graph + "/v1.0/$metadata#communications/presences/$entity"
	return http.StatusOK, b, nil
}

func (s *Server) bulkPresence(c *call) (int, any, *graphFault) {
	var request struct{ IDs []string }
	if f := c.decode(&request); f != nil {
		return 0, nil, f
	}
	if len(request.IDs) == 0 || len(request.IDs) > maxBulkIDs {
		return 0, nil, badRequest(messageBulkLimit)
	}
	value := make([]presenceBody, 0, len(request.IDs))
	for _, id := range request.IDs {
		if f := s.checkUserID(id); f != nil {
			return 0, nil, f
		}
		found := s.look(id, func(p *person, now time.Time) {
			value = append(value, presenceBodyLocked(p, now, false))
		})
		if !found && !s.assume.OmitUnknownUsers {
			value = append(value, presenceBody{ID: id, Availability: presence.AvailabilityUnknown, Activity: presence.ActivityUnknown})
		}
	}
	return http.StatusOK, struct {
		Context string         `json:"@odata.context"`
		Value   []presenceBody `json:"value"`
	}{s.graph + "/v1.0/$metadata#Collection(microsoft.graph.presence)", value}, nil
}

type sessionRequest struct {
	SessionID    string  `json:"sessionId"`
	Availability string  `json:"availability"`
	Activity     string  `json:"activity"`
	Expiration   *string `json:"expirationDuration"`
}

// session reads availability and activity, whatever their case.
func (r sessionRequest) session() presence.Session {
	return presence.Session{Availability: presence.ParseAvailability(r.Availability), Activity: presence.ParseActivity(r.Activity)}
}

func (r sessionRequest) lifetime(fallback time.Duration) (time.Duration, error) {
	if r.Expiration == nil {
		return fallback, nil
	}
	return parseDuration(*r.Expiration)
}

// write checks what all writes of presence have in common.
func (s *Server) write(c *call, body any) *graphFault {
	if f := s.checkUserID(c.id); f != nil {
		return f
	}
	if body == nil {
		return nil
	}
	return c.decode(body)
}

// written turns the outcome of a write into an answer.
func written(id string, err error) (int, any, *graphFault) {
	switch {
	case err == nil:
		return http.StatusOK, nil, nil
	case errors.Is(err, errNoUser):
		return 0, nil, notFound(id)
	case errors.Is(err, errNoSession):
		return 0, nil, &graphFault{http.StatusNotFound, "NotFound", "The presence session was not found."}
	default:
		return 0, nil, badRequest(messagePresencePair)
	}
}

func (s *Server) postPresence(c *call) (int, any, *graphFault) {
	var request sessionRequest
	if f := s.write(c, &request); f != nil {
		return 0, nil, f
	}
	if !strings.EqualFold(request.SessionID, c.caller.applicationID) {
		return 0, nil, badRequest(messageSessionID)
	}
	wanted := request.session()
	if wanted.Validate() != nil {
		return 0, nil, badRequest(messagePresencePair)
	}
	lifetime, err := request.lifetime(defaultSessionLifetime)
	if err != nil || lifetime < minSessionLifetime || lifetime > maxSessionLifetime {
		return 0, nil, badRequest(messageSessionDuration)
	}
	return written(c.id, s.setSession(c.id, c.caller.applicationID, wanted, lifetime))
}

func (s *Server) postClearPresence(c *call) (int, any, *graphFault) {
	var request sessionRequest
	if f := s.write(c, &request); f != nil {
		return 0, nil, f
	}
	if !strings.EqualFold(request.SessionID, c.caller.applicationID) {
		return 0, nil, badRequest(messageSessionID)
	}
	return written(c.id, s.clearSession(c.id, c.caller.applicationID))
}

func (s *Server) postPreferred(c *call) (int, any, *graphFault) {
	var request sessionRequest
	if f := s.write(c, &request); f != nil {
		return 0, nil, f
	}
	wanted := request.session()
	fallback, ok := preferredLifetimes()[wanted]
	if !ok {
		return 0, nil, badRequest(messagePresencePair)
	}
	lifetime, err := request.lifetime(fallback)
	if err != nil || lifetime <= 0 {
		return 0, nil, badRequest("The specified expirationDuration is not valid.")
	}
	return written(c.id, s.setPreferred(c.id, c.caller.applicationID, wanted, lifetime))
}

func (s *Server) postClearPreferred(c *call) (int, any, *graphFault) {
	if f := s.write(c, nil); f != nil {
		return 0, nil, f
	}
	return written(c.id, s.setPreferred(c.id, c.caller.applicationID, presence.Session{}, 0))
}

func (s *Server) postStatusMessage(c *call) (int, any, *graphFault) {
	var request struct {
		StatusMessage *struct {
			Message *itemBody
			Expiry  *dateTimeTimeZone `json:"expiryDateTime"`
		}
	}
	if f := s.write(c, &request); f != nil {
		return 0, nil, f
	}
	if request.StatusMessage == nil || request.StatusMessage.Message == nil {
		return 0, nil, badRequest("The statusMessage must have a message.")
	}
	asked := request.StatusMessage
	if t := asked.Message.ContentType; t != "" && t != "text" {
		return 0, nil, badRequest("The contentType of a status message must be text.")
	}
	status := &statusMessage{Message: itemBody{asked.Message.Content, "text"}, Expiry: asked.Expiry}
	if asked.Expiry != nil {
		zone, err := time.LoadLocation(asked.Expiry.TimeZone)
		if err != nil {
			zone = time.UTC
		}
		if status.expires, err = time.ParseInLocation("2006-01-02T15:04:05.999999999", asked.Expiry.DateTime, zone); err != nil {
			return 0, nil, badRequest("The expiryDateTime is not valid.")
		}
	}
	found := s.look(c.id, func(p *person, now time.Time) {
		status.Published = &dateTimeTimeZone{now.UTC().Format("2006-01-02T15:04:05.0000000"), "UTC"}
		p.status = status
		if status.Message.Content == "" {
			p.status = nil
		}
	})
	if !found {
		return 0, nil, notFound(c.id)
	}
	return http.StatusOK, nil, nil
}
