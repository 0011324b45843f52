package entra

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// BeginSignIn returns the URL where the account signs in, with its name filled
// in. The state must be impossible to guess and be accepted once. It returns all
// faults of the credentials at once, and sends nothing.
func (e *Entra) BeginSignIn(c monitor.Credentials, state string) (monitor.SignIn, error) {
	a, err := e.authorizer(c)
	if err != nil {
		return monitor.SignIn{}, err
	}
	request, err := a.Begin(state, &graph.AuthorizationOptions{
		LoginHint: c.PrincipalName, DomainHint: e.options.DomainHint, Prompt: e.options.Prompt, ResponseMode: e.options.ResponseMode,
	})
	if err != nil {
		return monitor.SignIn{}, err
	}
	return monitor.SignIn{URL: request.URL, Verifier: request.Verifier}, nil
}

// Redeem ends a sign-in. Refusals, those in the callback included, are
// [*graph.Error]s. Where Entra accepted a sign-in that cannot serve a monitor,
// the error is a [*SignInError].
//
// A code can be redeemed once: after any error the sign-in begins anew.
func (e *Entra) Redeem(ctx context.Context, c monitor.Credentials, callback url.Values, verifier presence.Secret) (monitor.Grant, error) {
	a, err := e.authorizer(c)
	if err != nil {
		return monitor.Grant{}, err
	}
	outcome, err := graph.ParseCallback(callback)
	if err != nil {
		return monitor.Grant{}, err
	}
	if outcome.Code.IsZero() {
		return monitor.Grant{}, &SignInError{
			sentence: "the callback tells of an administrator's consent, not of a sign-in",
			remedy:   "open the URL of the monitor's own sign-in, and sign the monitor's account in there",
			matches:  []error{presence.ErrInvalid},
		}
	}
	g, err := a.Exchange(ctx, outcome.Code.Reveal(), verifier)
	if err != nil {
		return monitor.Grant{}, err
	}
	if g.RefreshToken.IsZero() {
		return monitor.Grant{}, &SignInError{
			sentence: "the account has signed in, but Entra gave no refresh token, because offline_access was not granted",
			remedy:   "add the delegated permission offline_access to the application in Entra, let an administrator consent, and sign the account in again",
			matches:  []error{presence.ErrConsentMissing, presence.ErrSignInRequired, presence.ErrForbidden},
		}
	}
	return e.grant(g, signInScopes(g)), nil
}

// SignInError is a sign-in that Entra accepted and that cannot serve a monitor.
// It matches sentinels of package presence.
type SignInError struct {
	sentence, remedy string
	matches          []error
}

// Error says what is wrong and what to do.
func (e *SignInError) Error() string { return "entra: sign in: " + e.sentence + ": " + e.remedy }

// Remedy returns a sentence on what to do, without a period at its end.
func (e *SignInError) Remedy() string { return e.remedy }

// Is reports whether the error is what target says.
func (e *SignInError) Is(target error) bool {
	return slices.ContainsFunc(e.matches, func(match error) bool { return errors.Is(match, target) })
}

// signInScopes returns the scopes of OpenID Connect that show in what a sign-in
// brought, whether or not the answer lists them.
func signInScopes(g *graph.Grant) []string {
	var scopes []string
	if g.IDTokenClaims.ObjectID != "" {
		scopes = append(scopes, "openid")
	}
	if g.IDTokenClaims.PreferredUsername != "" {
		scopes = append(scopes, "profile")
	}
	return scopes
}

// grant says of a grant what a pool wants to know, with scopes that count as
// granted besides those that are listed.
func (e *Entra) grant(g *graph.Grant, besides []string) monitor.Grant {
	m := monitor.Grant{
		RefreshToken: g.RefreshToken,
		ObjectID:     g.IDTokenClaims.ObjectID, TenantID: g.IDTokenClaims.TenantID, PrincipalName: g.IDTokenClaims.PreferredUsername,
		Scopes:              g.Scopes,
		GlobalAdministrator: g.GlobalAdministrator,
	}
	granted := slices.Concat(g.Scopes, besides)
	required, asked := e.permissions()
	m.Missing = names(graph.MissingPermissions(required, granted))
	m.Unneeded = names(graph.MissingPermissions(asked, granted))
	return m
}

// permissions returns those that a monitor cannot do without, and those that are
// asked for beside them.
func (e *Entra) permissions() (required, asked []graph.Permission) {
	for _, p := range graph.DelegatedScopes() {
		switch {
		case p.Required:
			required = append(required, p)
		case len(e.options.Scopes) == 0:
			asked = append(asked, p)
		}
	}
	for _, name := range e.options.Scopes {
		if !slices.ContainsFunc(required, func(p graph.Permission) bool { return strings.EqualFold(p.Name, name) }) {
			asked = append(asked, graph.Permission{Name: name, Type: graph.DelegatedPermission})
		}
	}
	return required, asked
}

func names(permissions []graph.Permission) []string {
	var names []string
	for _, p := range permissions {
		names = append(names, p.Name)
	}
	return names
}
