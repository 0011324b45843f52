package cloudlink

import (
	"encoding/json"
	"errors"
	"net/url"
	"time"
)

// Presentity is what CloudLink holds as the presence of one person.
type Presentity struct {
	// PrincipalID is the person.
	PrincipalID string
	// AccountID is the account; it is not written.
	AccountID string
	// Status is one of the values that the account's MiCollab knows, and Reason
	// its optional refinement: the two that Mitel's "User presence" activity gets
	// and sets.
	Status, Reason string
	// ModifiedOn is when it changed last; zero where the service does not tell.
	// It is not written.
	ModifiedOn time.Time
}

// PresentityCodec knows the JSON of CloudLink's presence resource, which Mitel
// does not publish. An embedder that has Mitel's own description puts it in
// here; nothing else in the library depends on it.
//
// Its methods are called concurrently. Its errors may quote what they read:
// their text is not shown.
type PresentityCodec interface {
	// Path returns the resource's path below the base URL of the presence
	// service, escaped, for GET and PUT.
	Path(principalID string) string
	// Decode reads the answer of a GET.
	Decode(body []byte) (Presentity, error)
	// Encode writes the body of a PUT.
	Encode(Presentity) ([]byte, error)
}

// DefaultPresentityCodec returns the codec that a [Client] uses by default.
//
// All of it is assumed. Mitel documents the subject /presentities/{principalId}
// of the presence topic, that PUT changes it, and that a user's presence is
// a Status with a Reason; from that follows GET and PUT of
//
//	/presentities/{principalId}
//	{"principalId": "…", "accountId": "…", "status": "…", "reason": "…", "modifiedOn": "2024-05-01T08:00:00Z"}
//
// where a PUT carries status and reason only.
func DefaultPresentityCodec() PresentityCodec { return assumedCodec{} }

type assumedCodec struct{}

func (assumedCodec) Path(principalID string) string {
	return "/presentities/" + url.PathEscape(principalID)
}

func (assumedCodec) Decode(body []byte) (Presentity, error) {
	var w struct {
		PrincipalID text     `json:"principalId"`
		AccountID   text     `json:"accountId"`
		Status      *text    `json:"status"`
		Reason      text     `json:"reason"`
		ModifiedOn  *instant `json:"modifiedOn"`
	}
	if err := decodeObject(body, &w); err != nil {
		return Presentity{}, err
	}
	// Without the word, this is some other object; with it, an empty one says
	// that there is no status.
	if w.Status == nil {
		return Presentity{}, errors.New("no status")
	}
	p := Presentity{PrincipalID: string(w.PrincipalID), AccountID: string(w.AccountID), Status: string(*w.Status), Reason: string(w.Reason)}
	if w.ModifiedOn != nil {
		p.ModifiedOn = w.ModifiedOn.Time
	}
	return p, nil
}

func (assumedCodec) Encode(p Presentity) ([]byte, error) {
	return json.Marshal(struct {
		Status string `json:"status"`
		Reason string `json:"reason,omitempty"`
	}{p.Status, p.Reason})
}
