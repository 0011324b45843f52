package monitor

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// The keys of a store. Everything of a monitor is in one entry, so that a crash
// between two writes cannot leave half of it; whom it watches is another, which
// the planner writes and the keeper only reads.
const (
	prefixMonitors  = "monitors/"
	prefixUsers     = "users/"
	keyApplication  = "pool/application"
	keyCheck        = "pool/key-check"
	leasePlanner    = "planner"
	leaseKeeper     = "keepers/"
	recordVersion   = 1
	rememberedLater = 8 // sign-ins that are remembered to tell used from unknown ones
)

// monitorID returns the key of an account within the store.
func monitorID(principalName string) string {
	sum := sha256.Sum256([]byte(presence.NormalizeEmail(principalName)))
	return hex.EncodeToString(sum[:16])
}

// record is what the store keeps of one monitor: what it was given, and facts
// with their times. The state is derived from them and not kept.
type record struct {
	Version       int         `json:"version"`
	PrincipalName string      `json:"principalName"`
	Application   Application `json:"application"` // that of the client secret and the grant
	AddedAt       time.Time   `json:"addedAt"`
	// Leaving: the keeper ends the subscription and deletes the record.
	Leaving bool `json:"leaving,omitempty"`
	// RequestedAt is when somebody last asked to look at the monitor at once.
	RequestedAt time.Time `json:"requestedAt,omitzero"`

	// GrantID names the sign-in that the refresh token descends from; empty
	// before the first.
	GrantID      string    `json:"grantId,omitempty"`
	AuthorizedAt time.Time `json:"authorizedAt,omitzero"`
	RefreshedAt  time.Time `json:"refreshedAt,omitzero"`
	Scopes       []string  `json:"scopes,omitempty"`
	Unneeded     []string  `json:"unneeded,omitempty"`
	// Missing are permissions that the grant has lost since the sign-in.
	Missing             []string `json:"missing,omitempty"`
	GlobalAdministrator *bool    `json:"globalAdministrator,omitempty"`
	// GrantRefusal is why Entra refuses the grant, and SecretRefusal why it
	// refuses the client secret, until it accepts them again.
	GrantRefusal  *refusal `json:"grantRefusal,omitempty"`
	SecretRefusal *refusal `json:"secretRefusal,omitempty"`

	// CheckedAt is when the directory was last asked, and the rest what it said.
	CheckedAt time.Time `json:"checkedAt,omitzero"`
	// CheckFailure is why it did not answer when somebody waited for it last.
	CheckFailure string        `json:"checkFailure,omitempty"`
	Account      *accountFacts `json:"account,omitempty"`
	// AccountUnknown says why the directory does not tell of the account.
	AccountUnknown  string    `json:"accountUnknown,omitempty"`
	SecretExpiresAt time.Time `json:"secretExpiresAt,omitzero"`
	// SecretUnknown says why the end of the secret is not known, or not for
	// certain. SecretAcceptedAt is when Entra last accepted it.
	SecretUnknown    string    `json:"secretUnknown,omitempty"`
	SecretAcceptedAt time.Time `json:"secretAcceptedAt,omitzero"`
	// Failing is what has failed for its keeper for a while.
	Failing *lastingFailure `json:"failing,omitempty"`

	SignIns       []signInFacts  `json:"signIns,omitempty"`
	SignInFailure *signInFailure `json:"signInFailure,omitempty"`
	Subscription  *subscription  `json:"subscription,omitempty"`

	Sealed []byte `json:"sealed,omitempty"`

	// secrets are what Sealed holds; broken says why it cannot be opened.
	secrets  secrets
	broken   error
	id       string
	revision uint64
}

// lastingFailure is what fails for a monitor's keeper, for those who see the store
// only.
type lastingFailure struct {
	Text  string    `json:"text"`
	Since time.Time `json:"since"`
	// Reason is that of a failure which is a refusal; empty for all others.
	Reason refusalReason `json:"reason,omitempty"`
}

// accountFacts are what the directory says of the account.
type accountFacts struct {
	ID      string `json:"id,omitempty"`
	Missing bool   `json:"missing,omitempty"`
	Enabled bool   `json:"enabled"`
	Mail    bool   `json:"mail"`
}

// signInFacts are one attempt to sign in. Its state is kept as a digest, and
// beside the secrets.
type signInFacts struct {
	State     string    `json:"state"`
	ExpiresAt time.Time `json:"expiresAt"`
	Used      bool      `json:"used,omitempty"`
}

// signInFailure is why the last sign-in was not accepted.
type signInFailure struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// subscription is what [Remembered] has, but for its client state.
type subscription struct {
	ID              string    `json:"id"`
	NotificationURL string    `json:"notificationUrl"`
	Users           string    `json:"users"`
	EncryptionID    string    `json:"encryptionId,omitempty"`
	CreatedAt       time.Time `json:"createdAt"`
	ExpiresAt       time.Time `json:"expiresAt"`
}

// secrets are what is sealed.
type secrets struct {
	ClientSecret, RefreshToken, ClientState presence.Secret
	// pending are the sign-ins that can still be redeemed, by the digest of
	// their state.
	pending map[string]pendingSignIn
}

type pendingSignIn struct{ url, verifier presence.Secret }

// sealedSecrets is the form in which secrets are sealed: a [presence.Secret]
// would write "[redacted]".
type sealedSecrets struct {
	ClientSecret string                  `json:"clientSecret,omitempty"`
	RefreshToken string                  `json:"refreshToken,omitempty"`
	ClientState  string                  `json:"clientState,omitempty"`
	Pending      map[string]sealedSignIn `json:"pending,omitempty"`
}

type sealedSignIn struct {
	URL      string `json:"url"`
	Verifier string `json:"verifier"`
}

func (s *secrets) marshal() ([]byte, error) {
	w := sealedSecrets{ClientSecret: s.ClientSecret.Reveal(), RefreshToken: s.RefreshToken.Reveal(), ClientState: s.ClientState.Reveal()}
	for state, p := range s.pending {
		if w.Pending == nil {
			w.Pending = make(map[string]sealedSignIn, len(s.pending))
		}
		w.Pending[state] = sealedSignIn{p.url.Reveal(), p.verifier.Reveal()}
	}
	return json.Marshal(w)
}

func (s *secrets) unmarshal(data []byte) error {
	var w sealedSecrets
	if err := json.Unmarshal(data, &w); err != nil {
		// Not wrapped: such an error may quote a part of what it could not read.
		return errors.New("monitor: the sealed part of the record is not what this version writes")
	}
	*s = secrets{
		ClientSecret: presence.NewSecret(w.ClientSecret),
		RefreshToken: presence.NewSecret(w.RefreshToken),
		ClientState:  presence.NewSecret(w.ClientState),
		pending:      make(map[string]pendingSignIn, len(w.Pending)),
	}
	for state, p := range w.Pending {
		s.pending[state] = pendingSignIn{presence.NewSecret(p.URL), presence.NewSecret(p.Verifier)}
	}
	return nil
}

// encode returns the value of the record's entry.
func (r *record) encode(sealer *Sealer) ([]byte, error) {
	plain, err := r.secrets.marshal()
	if err != nil {
		return nil, err
	}
	r.Sealed = sealer.Seal(plain, prefixMonitors+r.id)
	r.Version = recordVersion
	return json.Marshal(r)
}

// decodeRecord reads an entry. What cannot be read is a record as well, a broken
// one: a monitor must not disappear because of a bad byte.
func decodeRecord(e Entry, sealer *Sealer) *record {
	r := &record{}
	id := strings.TrimPrefix(e.Key, prefixMonitors)
	if err := json.Unmarshal(e.Value, r); err != nil {
		r = &record{PrincipalName: id, broken: fmt.Errorf("%w: it is not JSON", ErrUnreadableRecord)}
	}
	r.id, r.revision = id, e.Revision
	if r.PrincipalName == "" {
		r.PrincipalName = id
	}
	switch {
	case r.broken != nil:
		return r
	case r.Version > recordVersion:
		r.broken = fmt.Errorf("%w: a newer version of this library has written it", ErrUnreadableRecord)
		return r
	case len(r.Sealed) == 0:
		return r
	}
	plain, err := sealer.Open(r.Sealed, e.Key)
	if err == nil {
		err = r.secrets.unmarshal(plain)
	}
	if err != nil {
		r.broken = fmt.Errorf("%w: %w", ErrUnreadableRecord, err)
	}
	return r
}

// sameAs reports whether both are the same entry.
func (r *record) sameAs(other *record) bool { return other != nil && other.revision == r.revision }

// clone returns a copy that can be changed.
func (r *record) clone() *record {
	c := *r
	c.SignIns = slices.Clone(r.SignIns)
	c.secrets.pending = make(map[string]pendingSignIn, len(r.secrets.pending))
	for state, p := range r.secrets.pending {
		c.secrets.pending[state] = p
	}
	return &c
}

func (r *record) credentials() Credentials {
	return Credentials{Application: r.Application, PrincipalName: r.PrincipalName, ClientSecret: r.secrets.ClientSecret}
}

// ready reports whether the account can act.
func (r *record) ready() bool {
	return r.broken == nil && r.GrantID != "" && !r.secrets.RefreshToken.IsZero() && !r.secrets.ClientSecret.IsZero()
}

// identity changes when another grant or another secret is to be used.
func (r *record) identity() string {
	sum := sha256.Sum256([]byte(r.secrets.ClientSecret.Reveal()))
	return r.GrantID + hex.EncodeToString(sum[:8])
}

// dropGrant forgets the sign-in and what came of it.
func (r *record) dropGrant() {
	r.GrantID, r.Scopes, r.Unneeded, r.Missing, r.GlobalAdministrator = "", nil, nil, nil, nil
	r.AuthorizedAt, r.RefreshedAt = time.Time{}, time.Time{}
	r.GrantRefusal, r.SignInFailure = nil, nil
	r.secrets.RefreshToken = presence.Secret{}
}

// remembered returns the subscription that was kept last.
func (r *record) remembered() Remembered {
	s := r.Subscription
	if s == nil {
		return Remembered{}
	}
	return Remembered{
		SubscriptionID: s.ID, ClientState: r.secrets.ClientState, NotificationURL: s.NotificationURL, Users: s.Users,
		EncryptionID: s.EncryptionID, CreatedAt: s.CreatedAt, ExpiresAt: s.ExpiresAt,
	}
}

func (r *record) remember(m Remembered) {
	if m.SubscriptionID == "" {
		r.Subscription, r.secrets.ClientState = nil, presence.Secret{}
		return
	}
	r.secrets.ClientState = m.ClientState
	r.Subscription = &subscription{
		ID: m.SubscriptionID, NotificationURL: m.NotificationURL, Users: m.Users,
		EncryptionID: m.EncryptionID, CreatedAt: m.CreatedAt, ExpiresAt: m.ExpiresAt,
	}
}

// assignment is whom one monitor watches.
type assignment struct {
	users    []string
	digest   string // [UsersDigest] of them
	revision uint64
}

func newAssignment(users []string, revision uint64) assignment {
	return assignment{users, UsersDigest(users), revision}
}

func encodeUsers(users []string) ([]byte, error) {
	return json.Marshal(struct {
		Users []string `json:"users"`
	}{users})
}

func decodeUsers(e Entry) (assignment, error) {
	var w struct {
		Users []string `json:"users"`
	}
	if err := json.Unmarshal(e.Value, &w); err != nil {
		return assignment{revision: e.Revision}, fmt.Errorf("monitor: %s: whom the monitor watches cannot be read: %w", e.Key, err)
	}
	slices.Sort(w.Users)
	return newAssignment(slices.Compact(w.Users), e.Revision), nil
}
