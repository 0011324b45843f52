package monitor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// tenant stands for Microsoft Entra and Microsoft Graph behind the interface
// that a pool uses: accounts, client secrets, sign-ins, refresh tokens that
// rotate, and one subscription for each account.
type tenant struct {
	mu       sync.Mutex
	accounts map[string]*tenantAccount // by principal name
	secrets  map[string]ClientSecret   // by value
	belongs  map[string]Application    // whose secret it is, if not testApplication's
	gone     map[string]error          // refused secrets
	signIns  map[string]string         // verifier by state
	tokens   map[string]tenantToken    // by refresh token
	// breakdown, if set, is the error of every request.
	breakdown error
	// unreadable is why accounts cannot be read; noHints: Entra shows none.
	unreadable error
	noHints    bool
	latency    time.Duration

	refreshing map[string]int // requests for a token under way, by account
	overlaps   int
	// active are the sessions with requests under way, by account and
	// application: two at a time are rivals.
	active map[tenantKey]map[*tenantSession]int
	rivals int
	// refusals count the requests that were refused or not answered.
	refusals int
	creates  int
	deletes  int
	renews   int
	redeemed int
	lists    int
	inspects int
}

type tenantKey struct {
	name string
	app  Application
}

type tenantToken tenantKey

type tenantAccount struct {
	user          presence.TeamsUser
	missing       bool
	admin         bool
	refused       error // why it gets no token
	subscriptions map[Application]*presence.Subscription
	failing       error    // what subscriptions are answered
	stuck         error    // what deletions are answered
	unconsented   []string // required permissions that it has not granted
	refreshes     int
}

func newTenant() *tenant {
	return &tenant{
		accounts: map[string]*tenantAccount{}, secrets: map[string]ClientSecret{}, gone: map[string]error{},
		belongs: map[string]Application{}, active: map[tenantKey]map[*tenantSession]int{},
		signIns: map[string]string{}, tokens: map[string]tenantToken{}, refreshing: map[string]int{}, latency: 50 * time.Millisecond,
	}
}

// refusal errors as package graph has them.
type entraError struct {
	text    string
	matches []error
}

func (e *entraError) Error() string { return "entra: " + e.text }
func (e *entraError) Is(target error) bool {
	return slices.Contains(e.matches, target)
}
func (e *entraError) Remedy() string { return "do something about " + e.text }

var (
	errTenantSecretExpired = &entraError{"secret expired", []error{presence.ErrSecretExpired, presence.ErrUnauthorized}}
	errTenantSecret        = &entraError{"invalid secret", []error{presence.ErrInvalidSecret, presence.ErrUnauthorized}}
	errTenantSignIn        = &entraError{"grant revoked", []error{presence.ErrSignInRequired, presence.ErrUnauthorized}}
	errTenantConsent       = &entraError{"consent missing", []error{presence.ErrConsentMissing, presence.ErrSignInRequired, presence.ErrForbidden}}
	errTenantBlocked       = &entraError{"account blocked", []error{presence.ErrAccountBlocked, presence.ErrSignInRequired, presence.ErrUnauthorized}}
	errTenantMFA           = &entraError{"second factor", []error{presence.ErrMFARequired, presence.ErrSignInRequired, presence.ErrUnauthorized}}
	errTenantPolicy        = &entraError{"conditional access", []error{presence.ErrConditionalAccess, presence.ErrSignInRequired, presence.ErrUnauthorized}}
	errTenantDown          = &entraError{"down", []error{presence.ErrUnavailable}}
)

// add gives the tenant an account and a client secret with the same number.
func (t *tenant) add(n int, ends time.Time) (principalName string, clientSecret presence.Secret) {
	principalName = fmt.Sprintf("monitor%d@example.test", n)
	value := fmt.Sprintf("%03d~secret-%d", n, n)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.accounts[principalName] = &tenantAccount{subscriptions: map[Application]*presence.Subscription{}, user: presence.TeamsUser{
		ID: fmt.Sprintf("object-%d", n), PrincipalName: principalName, Mail: principalName, Enabled: true,
	}}
	t.secrets[value] = ClientSecret{KeyID: value[:3], Description: "bridge", Hint: value[:3], ExpiresAt: ends}
	return principalName, presence.NewSecret(value)
}

// secret creates another client secret of an application.
func (t *tenant) secret(value string, app Application, ends time.Time) presence.Secret {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.secrets[value] = ClientSecret{KeyID: value, Description: "bridge", Hint: value[:3], ExpiresAt: ends}
	t.belongs[value] = app
	return presence.NewSecret(value)
}

// refuse has a client secret refused from now on.
func (t *tenant) refuse(value presence.Secret, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gone[value.Reveal()] = err
}

// fail fails every request; nil ends that.
func (t *tenant) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.breakdown = err
}

func (t *tenant) account(name string, change func(*tenantAccount)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(t.accounts[name])
}

// sleep is the time that a request takes.
func (t *tenant) sleep(ctx context.Context) error {
	timer := time.NewTimer(t.latency)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.breakdown != nil {
		t.refusals++
	}
	return t.breakdown
}

// checkSecret says whether a client secret is accepted. Called with mu held.
func (t *tenant) checkSecret(c Credentials) error {
	value := c.ClientSecret
	if err := t.gone[value.Reveal()]; err != nil {
		return err
	}
	known, ok := t.secrets[value.Reveal()]
	app, other := t.belongs[value.Reveal()]
	if !other {
		app = testApplication
	}
	switch {
	case !ok || app != c.Application:
		return errTenantSecret
	case !known.ExpiresAt.After(time.Now()):
		return errTenantSecretExpired
	default:
		return nil
	}
}

func (t *tenant) BeginSignIn(c Credentials, state string) (SignIn, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	verifier := rand.Text()
	t.signIns[state] = verifier
	return SignIn{URL: "https://login.test/authorize?state=" + state + "&login_hint=" + url.QueryEscape(c.PrincipalName), Verifier: presence.NewSecret(verifier)}, nil
}

// signIn does what a person does who opens the URL: it returns what comes to the
// redirect URI.
func (t *tenant) signIn(address, as string) url.Values {
	u, _ := url.Parse(address)
	return url.Values{"state": {u.Query().Get("state")}, "code": {as}}
}

func (t *tenant) Redeem(ctx context.Context, c Credentials, callback url.Values, verifier presence.Secret) (Grant, error) {
	if err := t.sleep(ctx); err != nil {
		return Grant{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if refused, ok := map[string]error{"consent": errTenantConsent, "mfa": errTenantMFA, "policy": errTenantPolicy, "blocked": errTenantBlocked}[callback.Get("error")]; ok {
		return Grant{}, refused
	}
	if t.signIns[callback.Get("state")] != verifier.Reveal() {
		return Grant{}, errors.New("entra: verifier mismatch")
	}
	if err := t.checkSecret(c); err != nil {
		return Grant{}, err
	}
	t.redeemed++
	a := t.accounts[callback.Get("code")]
	if a.refused != nil {
		return Grant{}, a.refused
	}
	admin := a.admin
	token := rand.Text()
	t.tokens[token] = tenantToken{a.user.PrincipalName, c.Application}
	return Grant{
		RefreshToken: presence.NewSecret(token), ObjectID: a.user.ID, TenantID: c.Application.TenantID, PrincipalName: a.user.PrincipalName,
		Scopes: []string{"Presence.Read.All"}, Missing: a.unconsented, GlobalAdministrator: &admin,
	}, nil
}

func (t *tenant) Inspect(ctx context.Context, c Credentials) (Inspection, error) {
	if err := t.sleep(ctx); err != nil {
		return Inspection{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inspects++
	if err := t.checkSecret(c); err != nil {
		return Inspection{}, err
	}
	var found Inspection
	if a := t.accounts[c.PrincipalName]; a == nil || a.missing {
		found.AccountErr = fmt.Errorf("user: %w", presence.ErrNotFound)
	} else {
		found.Account = a.user
	}
	if t.unreadable != nil {
		found.Account, found.AccountErr = presence.TeamsUser{}, t.unreadable
	}
	for _, s := range t.secrets {
		if t.noHints {
			s.Hint = ""
		}
		found.ClientSecrets = append(found.ClientSecrets, s)
	}
	return found, nil
}

func (t *tenant) Open(c Credentials, tokens RefreshTokens) (Account, error) {
	return &tenantSession{tenant: t, credentials: c, tokens: tokens, turn: make(chan struct{}, 1)}, nil
}

// tenantSession is an account that acts. Like package graph it keeps an access
// token for an hour.
type tenantSession struct {
	tenant      *tenant
	credentials Credentials
	tokens      RefreshTokens
	turn        chan struct{} // holds one: one refresh at a time
	until       atomic.Int64
}

// Refresh goes on when its caller gives up, like that of package graph.
func (s *tenantSession) Refresh(ctx context.Context) (Grant, error) {
	var (
		grant Grant
		err   error
	)
	done := make(chan struct{})
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	go func() {
		defer close(done)
		defer cancel()
		s.turn <- struct{}{}
		defer func() { <-s.turn }()
		grant, err = s.refresh(detached)
	}()
	select {
	case <-done:
		return grant, err
	case <-ctx.Done():
		return Grant{}, ctx.Err()
	}
}

func (s *tenantSession) refresh(ctx context.Context) (Grant, error) {
	t, name := s.tenant, s.credentials.PrincipalName
	current, err := s.tokens.Current(ctx)
	if err != nil {
		return Grant{}, err
	}
	t.mu.Lock()
	t.refreshing[name]++
	if t.refreshing[name] > 1 {
		t.overlaps++
	}
	t.mu.Unlock()
	err = t.sleep(ctx)
	t.mu.Lock()
	t.refreshing[name]--
	a := t.accounts[name]
	if err == nil {
		err = t.checkSecret(s.credentials)
	}
	if err == nil && t.tokens[current.Reveal()] != (tenantToken{name, s.credentials.Application}) {
		err = errTenantSignIn
	}
	if err == nil {
		err = a.refused
	}
	if err != nil {
		t.mu.Unlock()
		return Grant{}, err
	}
	next := rand.Text()
	t.tokens[next] = tenantToken{name, s.credentials.Application}
	a.refreshes++
	admin, missing := a.admin, a.unconsented
	t.mu.Unlock()
	if err := s.tokens.Rotated(ctx, current, presence.NewSecret(next)); err != nil {
		return Grant{}, err
	}
	s.until.Store(time.Now().Add(time.Hour).UnixNano())
	return Grant{Scopes: []string{"Presence.Read.All"}, Missing: missing, GlobalAdministrator: &admin}, nil
}

// request is what every request of the account begins with: an access token that
// is good for a while, and the time that the request takes.
func (s *tenantSession) request(ctx context.Context) (account *tenantAccount, err error) {
	s.enter()
	defer func() { s.leave(err == nil) }()
	if time.Until(time.Unix(0, s.until.Load())) < 45*time.Minute {
		if _, err := s.Refresh(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.tenant.sleep(ctx); err != nil {
		return nil, err
	}
	s.tenant.mu.Lock()
	a := s.tenant.accounts[s.credentials.PrincipalName]
	if a.failing != nil {
		s.tenant.mu.Unlock()
		return nil, a.failing
	}
	if sub := a.subscriptions[s.credentials.Application]; sub != nil && !sub.ExpiresAt.After(time.Now()) {
		delete(a.subscriptions, s.credentials.Application)
	}
	return a, nil // with mu held
}

// enter notes that a request of the account begins.
func (s *tenantSession) enter() {
	s.tenant.mu.Lock()
	defer s.tenant.mu.Unlock()
	key := tenantKey{s.credentials.PrincipalName, s.credentials.Application}
	if s.tenant.active[key] == nil {
		s.tenant.active[key] = map[*tenantSession]int{}
	}
	s.tenant.active[key][s]++
	if len(s.tenant.active[key]) > 1 {
		s.tenant.rivals++
	}
}

// leave notes that it has ended. Called with mu held where the request succeeded.
func (s *tenantSession) leave(held bool) {
	if !held {
		s.tenant.mu.Lock()
		defer s.tenant.mu.Unlock()
	}
	key := tenantKey{s.credentials.PrincipalName, s.credentials.Application}
	if s.tenant.active[key][s]--; s.tenant.active[key][s] == 0 {
		delete(s.tenant.active[key], s)
	}
}

func (s *tenantSession) CreateSubscription(ctx context.Context, req presence.SubscriptionRequest) (presence.Subscription, error) {
	a, err := s.request(ctx)
	if err != nil {
		return presence.Subscription{}, err
	}
	defer s.tenant.mu.Unlock()
	s.tenant.creates++
	if a.subscriptions[s.credentials.Application] != nil {
		return presence.Subscription{}, fmt.Errorf("create: %w", presence.ErrConflict)
	}
	sub := &presence.Subscription{ID: rand.Text(), UserIDs: req.UserIDs, NotificationURL: req.NotificationURL, ExpiresAt: req.ExpiresAt}
	a.subscriptions[s.credentials.Application] = sub
	return *sub, nil
}

func (s *tenantSession) RenewSubscription(ctx context.Context, id string, renewal presence.SubscriptionRenewal) (presence.Subscription, error) {
	a, err := s.request(ctx)
	if err != nil {
		return presence.Subscription{}, err
	}
	defer s.tenant.mu.Unlock()
	s.tenant.renews++
	sub := a.subscriptions[s.credentials.Application]
	if sub == nil || sub.ID != id {
		return presence.Subscription{}, fmt.Errorf("renew: %w", presence.ErrNotFound)
	}
	sub.ExpiresAt = renewal.ExpiresAt
	return *sub, nil
}

func (s *tenantSession) DeleteSubscription(ctx context.Context, id string) error {
	a, err := s.request(ctx)
	if err != nil {
		return err
	}
	defer s.tenant.mu.Unlock()
	if a.stuck != nil {
		return a.stuck
	}
	if sub := a.subscriptions[s.credentials.Application]; sub == nil || sub.ID != id {
		return fmt.Errorf("delete: %w", presence.ErrNotFound)
	}
	s.tenant.deletes++
	delete(a.subscriptions, s.credentials.Application)
	return nil
}

func (s *tenantSession) Subscriptions(ctx context.Context) ([]presence.Subscription, error) {
	a, err := s.request(ctx)
	if err != nil {
		return nil, err
	}
	defer s.tenant.mu.Unlock()
	s.tenant.lists++
	sub := a.subscriptions[s.credentials.Application]
	if sub == nil {
		return nil, nil
	}
	return []presence.Subscription{*sub}, nil
}

func (s *tenantSession) Subscription(ctx context.Context, id string) (presence.Subscription, error) {
	a, err := s.request(ctx)
	if err != nil {
		return presence.Subscription{}, err
	}
	defer s.tenant.mu.Unlock()
	sub := a.subscriptions[s.credentials.Application]
	if sub == nil || sub.ID != id {
		return presence.Subscription{}, fmt.Errorf("read: %w", presence.ErrNotFound)
	}
	return *sub, nil
}

// watching returns who is watched now, by principal name.
func (t *tenant) watching() map[string][]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := map[string][]string{}
	for name, a := range t.accounts {
		for _, sub := range a.subscriptions {
			if sub.ExpiresAt.After(time.Now()) {
				all[name] = append(slices.Clone(all[name]), sub.UserIDs...)
			}
		}
	}
	return all
}
