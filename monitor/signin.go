package monitor

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/presencebridge/presencebridge/presence"
)

// AuthorizationURL returns the URL where somebody who knows the account's
// password signs in as the monitor. The same URL serves to be opened at once and
// to be sent to somebody else: until half of [PoolOptions.SignInLifetime] has
// passed, asking again returns the same. It works once, and with this account
// only; what comes of it arrives at [Pool.SignInHandler], in whichever process
// of the store.
//
// Treat it as confidential: whoever has it can see who the monitor is.
func (p *Pool) AuthorizationURL(ctx context.Context, principalName string) (string, error) {
	const operation = "authorize"
	r, err := p.find(ctx, operation, principalName)
	if err != nil {
		return "", err
	}
	var address string
	_, err = p.update(ctx, r.id, func(r *record) error {
		switch {
		case r.broken != nil || r.secrets.ClientSecret.IsZero():
			return ErrNotSetUp
		case r.Leaving:
			return ErrUnknownMonitor
		case r.Application != p.Application():
			return ErrUpdateNeeded
		}
		now := wall(time.Now())
		if address = r.pendingURL(now.Add(p.opts.SignInLifetime / 2)); address != "" {
			return errUnchanged
		}
		state := rand.Text()
		begun, err := p.entra.BeginSignIn(r.credentials(), state)
		if err != nil {
			return err
		}
		address = begun.URL
		r.addSignIn(stateDigest(state), begun, now, now.Add(p.opts.SignInLifetime))
		return nil
	})
	if err != nil {
		return "", &Error{operation, principalName, err}
	}
	return address, nil
}

// stateDigest is what is kept of a state beside the secrets. Whoever reads it
// cannot end the sign-in, and looking it up tells nothing by its time.
func stateDigest(state string) string {
	sum := sha256.Sum256([]byte(state))
	return hex.EncodeToString(sum[:])
}

// pendingURL returns the URL of a sign-in that can be used until then.
func (r *record) pendingURL(until time.Time) string {
	for _, attempt := range r.SignIns {
		pending, known := r.secrets.pending[attempt.State]
		if known && !attempt.Used && attempt.ExpiresAt.After(until) {
			return pending.url.Reveal()
		}
	}
	return ""
}

func (r *record) addSignIn(state string, begun SignIn, now, expiresAt time.Time) {
	if r.secrets.pending == nil {
		r.secrets.pending = make(map[string]pendingSignIn)
	}
	r.secrets.pending[state] = pendingSignIn{presence.NewSecret(begun.URL), begun.Verifier}
	r.SignIns = append(r.SignIns, signInFacts{State: state, ExpiresAt: expiresAt})
	for len(r.SignIns) > rememberedLater {
		delete(r.secrets.pending, r.SignIns[0].State)
		r.SignIns = r.SignIns[1:]
	}
	for _, attempt := range r.SignIns {
		if attempt.Used || !attempt.ExpiresAt.After(now) {
			delete(r.secrets.pending, attempt.State)
		}
	}
}

// SignInHandler takes the outcome of sign-ins, which Entra brings to the redirect
// URI through the browser of whoever signed in: mount it there. It answers with
// [PoolOptions.SignInPage].
func (p *Pool) SignInHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodPost {
			w.Header().Set("Allow", "GET, POST")
			http.Error(w, "A sign-in ends with GET or POST.", http.StatusMethodNotAllowed)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		if err := r.ParseForm(); err != nil {
			status := http.StatusBadRequest
			var large *http.MaxBytesError
			if errors.As(err, &large) {
				status = http.StatusRequestEntityTooLarge
			}
			http.Error(w, "The form cannot be read.", status)
			return
		}
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("X-Content-Type-Options", "nosniff")
		principalName, err := p.CompleteSignIn(r.Context(), r.Form)
		p.opts.SignInPage(w, r, principalName, err)
	})
}

// PlainSignInPage is the default of [PoolOptions.SignInPage]: a few words of plain
// text. A page that does more may call it. Anybody may see the page, so it does not
// say why the store cannot be read or written.
func PlainSignInPage(w http.ResponseWriter, _ *http.Request, principalName string, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err == nil {
		fmt.Fprintf(w, "%s has signed in as a presence monitor. This page can be closed.\n", principalName)
		return
	}
	status, text := http.StatusBadRequest, err.Error()
	switch {
	case errors.Is(err, errStore):
		status, text = http.StatusInternalServerError, "The service cannot read or write its store; its log says why"
	case errors.Is(err, presence.ErrUnavailable), errors.Is(err, presence.ErrThrottled):
		status = http.StatusBadGateway
	}
	w.WriteHeader(status)
	fmt.Fprintf(w, "The presence monitor could not be authorized.\n%s.\n", strings.TrimRight(text, "."))
}

// CompleteSignIn ends a sign-in with what came to the redirect URI: the query of
// a GET or the form of a POST request. It returns the monitor's user principal
// name, also beside an error as far as the sign-in is one of the pool's.
//
// The grant is kept if the account that signed in is the monitor, has granted
// what a monitor needs, is enabled, has a mail address and is no global
// administrator. Otherwise nothing changes but the monitor's status, which says
// why. Errors match [ErrStateUnknown], [ErrStateUsed], [ErrStateExpired],
// [ErrWrongAccount], [ErrScopesMissing], [ErrGlobalAdministrator],
// [ErrAccountNotFound], [ErrAccountDisabled], [ErrNoMail], [ErrUpdateNeeded] and
// [ErrUnknownMonitor] where the application has changed or the monitor was deleted
// meanwhile, or a sentinel of package presence where Entra refused.
func (p *Pool) CompleteSignIn(ctx context.Context, callback url.Values) (principalName string, err error) {
	const operation = "sign in"
	if err := p.open(ctx); err != nil {
		return "", &Error{operation, "", err}
	}
	// A code is good once: a browser that goes away must not cost the sign-in.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	digest := stateDigest(callback.Get("state"))
	r, err := p.findSignIn(ctx, digest)
	if err != nil {
		return "", &Error{operation, "", err}
	}
	principalName = r.PrincipalName
	verifier, err := p.consume(ctx, r.id, digest)
	if err != nil {
		return principalName, &Error{operation, principalName, err}
	}
	err = p.redeem(ctx, r.id, callback, verifier)
	if err != nil {
		p.refuseSignIn(ctx, r.id, err)
		p.publishNow(r.id)
		p.emit(ctx, Event{Kind: EventSignInFailed, Monitor: principalName, Err: err})
		return principalName, &Error{operation, principalName, err}
	}
	p.publishNow(r.id)
	p.emit(ctx, Event{Kind: EventAuthorized, Monitor: principalName})
	return principalName, nil
}

// findSignIn returns the record with the sign-in, which another process may have
// begun. Anybody may send a state that nobody has begun: not each of them costs a
// look at the whole store.
func (p *Pool) findSignIn(ctx context.Context, digest string) (*record, error) {
	if r := p.withSignIn(digest); r != nil {
		return r, nil
	}
	select {
	case p.searching <- struct{}{}:
		defer func() { <-p.searching }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	p.mu.Lock()
	due := !time.Now().Before(p.searchedAt.Add(time.Second))
	p.mu.Unlock()
	if due {
		if err := p.load(ctx, prefixMonitors); err != nil {
			return nil, err
		}
		p.mu.Lock()
		p.searchedAt = time.Now()
		p.mu.Unlock()
	}
	// Whoever waited for the turn may find it by the search of another.
	if r := p.withSignIn(digest); r != nil {
		return r, nil
	}
	return nil, ErrStateUnknown
}

// withSignIn returns the record with the sign-in as far as it is known here.
func (p *Pool) withSignIn(digest string) *record {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.records {
		if slices.ContainsFunc(r.SignIns, func(s signInFacts) bool { return s.State == digest }) {
			return r
		}
	}
	return nil
}

// consume marks the sign-in as used, which only one of several can do, and
// returns its verifier.
func (p *Pool) consume(ctx context.Context, id, digest string) (verifier presence.Secret, err error) {
	_, err = p.update(ctx, id, func(r *record) error {
		i := slices.IndexFunc(r.SignIns, func(s signInFacts) bool { return s.State == digest })
		pending, known := r.secrets.pending[digest]
		switch {
		case i < 0:
			return ErrStateUnknown
		case r.SignIns[i].Used:
			return ErrStateUsed
		case !r.SignIns[i].ExpiresAt.After(time.Now()) || !known:
			return ErrStateExpired
		}
		r.SignIns[i].Used = true
		delete(r.secrets.pending, digest)
		verifier = pending.verifier
		return nil
	})
	return verifier, err
}

// redeem exchanges the code, checks who has granted what, and keeps the grant.
func (p *Pool) redeem(ctx context.Context, id string, callback url.Values, verifier presence.Secret) error {
	r := p.record(id)
	if r == nil {
		return ErrUnknownMonitor
	}
	credentials := r.credentials()
	grant, err := p.entra.Redeem(ctx, credentials, callback, verifier)
	if err != nil {
		return err
	}
	fresh := r.clone()
	if err := p.inspectNew(ctx, fresh); err != nil {
		return err
	}
	if err := checkGrant(&grant, fresh); err != nil {
		return err
	}
	_, err = p.update(ctx, id, func(r *record) error {
		if r.Application != credentials.Application {
			return ErrUpdateNeeded
		}
		now := wall(time.Now())
		r.dropGrant()
		r.GrantID, r.secrets.RefreshToken = strings.ToLower(rand.Text()), grant.RefreshToken
		r.AuthorizedAt, r.RefreshedAt = now, now
		r.Scopes, r.Unneeded, r.GlobalAdministrator = grant.Scopes, grant.Unneeded, grant.GlobalAdministrator
		if r.secrets.ClientSecret.Equal(credentials.ClientSecret) {
			r.SecretRefusal = nil
			r.takeChecked(fresh)
		}
		return nil
	})
	return err
}

// checkGrant returns why a grant does not make its account a monitor.
func checkGrant(g *Grant, r *record) error {
	who := strings.EqualFold(g.PrincipalName, r.PrincipalName)
	if a := r.Account; a != nil && a.ID != "" && g.ObjectID != "" {
		// The object id says it for certain; a name may have changed.
		who = strings.EqualFold(g.ObjectID, a.ID)
	}
	tenant := r.Application.TenantID
	switch {
	case g.TenantID != "" && uuid.Validate(tenant) == nil && !strings.EqualFold(tenant, g.TenantID):
		// Where the application has a domain name, Entra has compared it.
		return fmt.Errorf("%w: one of another tenant", ErrWrongAccount)
	case !who:
		return fmt.Errorf("%w: %q and not %q", ErrWrongAccount, cut(g.PrincipalName), r.PrincipalName)
	case g.RefreshToken.IsZero():
		return fmt.Errorf("%w: there is no refresh token: offline_access", ErrScopesMissing)
	case len(g.Missing) > 0:
		return fmt.Errorf("%w: %s", ErrScopesMissing, strings.Join(g.Missing, ", "))
	case g.GlobalAdministrator != nil && *g.GlobalAdministrator:
		return ErrGlobalAdministrator
	default:
		return nil
	}
}

// cut bounds a name that anybody may have.
func cut(name string) string {
	const most = 100
	if len(name) > most {
		return strings.ToValidUTF8(name[:most], "") + "…"
	}
	return name
}

// refuseSignIn keeps why a sign-in was not accepted, for the administrator who
// looks at the monitor and not at the browser.
func (p *Pool) refuseSignIn(ctx context.Context, id string, cause error) {
	_, err := p.update(ctx, id, func(r *record) error {
		text := cause.Error()
		if remedy := remedyOf(cause); remedy != "" {
			text += ": " + remedy
		}
		r.SignInFailure = &signInFailure{At: wall(time.Now()), Text: strings.TrimRight(text, ".")}
		return nil
	})
	if err != nil {
		p.log.WarnContext(ctx, "monitor: why a sign-in failed could not be kept", "error", err, "cause", cause)
	}
}
