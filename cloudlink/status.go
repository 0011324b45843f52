package cloudlink

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/presencebridge/presencebridge/presence"
)

// Presentity reads the presence that CloudLink holds for a person.
func (c *Client) Presentity(ctx context.Context, principalID string) (Presentity, error) {
	const operation = "read presence"
	if _, err := segment(operation, "principal id", principalID); err != nil {
		return Presentity{}, err
	}
	var p Presentity
	err := c.do(ctx, call{
		operation: operation, method: http.MethodGet, service: ServicePresence, path: c.codec.Path(principalID),
		decode: func(body []byte) (err error) {
			p, err = c.codec.Decode(body)
			return err
		},
	})
	if err != nil {
		return Presentity{}, err
	}
	if p.PrincipalID == "" {
		p.PrincipalID = principalID
	}
	return p, nil
}

// SetPresentity writes the presence that CloudLink holds for a person. It is
// repeated by nobody: see Options.ReadRetries.
func (c *Client) SetPresentity(ctx context.Context, principalID string, p Presentity) error {
	const operation = "set presence"
	if _, err := segment(operation, "principal id", principalID); err != nil {
		return err
	}
	if p.Status == "" {
		return invalid(operation, "the status is empty")
	}
	p.PrincipalID = principalID
	body, err := c.codec.Encode(p)
	if err != nil {
		return &Error{Operation: operation, Err: err, kind: errEncode, cause: "the presentity codec cannot write this presence"}
	}
	return c.do(ctx, call{
		operation: operation, method: http.MethodPut, service: ServicePresence, path: c.codec.Path(principalID),
		body: json.RawMessage(body),
	})
}

// StatusDriver reads and writes MiCollab statuses through CloudLink's presence,
// as Mitel's own Teams integration does: CloudLink passes them on to MiCollab
// through the gateway at the customer's site. It is a driver for package
// micollab. A status is the Status of the person's [Presentity] by its name.
//
// It is safe for concurrent use.
type StatusDriver struct{ client *Client }

// NewStatusDriver returns a driver that works through c.
func NewStatusDriver(c *Client) *StatusDriver { return &StatusDriver{client: c} }

// Status reads the user's status: the zero Status where CloudLink holds none. A
// name in another case than the default mapping table's gets that table's.
func (d *StatusDriver) Status(ctx context.Context, user presence.User) (presence.Status, error) {
	p, err := d.client.Presentity(ctx, user.PrincipalID)
	if err != nil {
		return "", err
	}
	return presence.ParseStatus(p.Status), nil
}

// SetStatus writes the user's status. Writing the status that is there already
// is no error. The zero Status is refused: an unknown state is never written.
func (d *StatusDriver) SetStatus(ctx context.Context, user presence.User, status presence.Status) error {
	return d.client.SetPresentity(ctx, user.PrincipalID, Presentity{Status: string(status)})
}
