package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/presencebridge/presencebridge/presence"
)

const (
	basisToken   = basisSignIn
	basisGranted = "what was consented to, read now"
)

// has reports whether names, in any case, hold one.
func has(names []string, one string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, one) })
}

// asked returns the names of the application permissions that the integration
// asks for.
func (f *facts) asked() []string {
	var asked []string
	for _, p := range f.sources.Entra.Permissions() {
		if !p.Delegated {
			asked = append(asked, p.Name)
		}
	}
	return asked
}

// among returns those of wanted that granted holds.
func among(wanted, granted []string) []string {
	return slices.DeleteFunc(slices.Clone(wanted), func(name string) bool { return !has(granted, name) })
}

// checkAdminConsent takes one of the permissions for the sign of consent: that
// others are missing is for the checks of each.
func checkAdminConsent(_ context.Context, f *facts, _ string) finding {
	token, err := f.signIn()
	if err != nil {
		return noToken(err)
	}
	asked := f.asked()
	if len(asked) == 0 {
		return notApplicable("The integration asks for no application permission.")
	}
	if held := among(asked, token.Roles); len(held) > 0 {
		return passed(Evidence{"permissions in the token", names(held)})
	}
	url := Evidence{"consent URL", f.settings.AdminConsentURL}
	granted, err := f.granted()
	if held := among(asked, granted); err == nil && len(held) > 0 {
		return passed(Evidence{"permissions granted", names(held)}).on(basisGranted)
	}
	switch {
	case err == nil:
		return failed("No administrator has consented for the tenant: none of the application permissions is granted that the integration asks for.", f.consentRemedy(), url)
	case token.RolesKnown:
		return failed("No administrator has consented for the tenant: the token holds none of the application permissions that the integration asks for.",
			f.consentRemedy(), url, Evidence{"permissions in the token", rolesOf(token)}, Evidence{"what was consented to", reason(err)})
	default:
		return warned("Whether an administrator has consented is not known: the token cannot be read, and neither can what was consented to: "+reason(err)+".",
			"Look under API permissions of the application in Entra whether consent is granted for each of them; with "+readRegistration+" the bridge sees it by itself.", url)
	}
}

// consentRemedy says how to consent.
func (f *facts) consentRemedy() string {
	if f.settings.AdminConsentURL == "" {
		return "Choose Grant admin consent under API permissions of the application in Entra, as an administrator of the tenant."
	}
	return "" // the check's, which names the URL too
}

// noToken is the outcome of what needs a token where there is none.
func noToken(err error) finding {
	return failed("There is no application token: "+reason(err)+".", instruction(err))
}

func checkApplicationPermissionGranted(_ context.Context, f *facts, name string) finding {
	token, err := f.signIn()
	if err != nil {
		return noToken(err)
	}
	p := f.permission(name, false)
	purpose := Evidence{"needed to", p.Purpose}
	if has(token.Roles, name) {
		return passed(purpose, Evidence{"found in", "the token"}).on(basisToken)
	}
	granted, err := f.granted()
	switch {
	case err == nil && has(granted, name):
		return passed(purpose, Evidence{"found in", "what was consented to"}).on(basisGranted)
	case err != nil && !token.RolesKnown:
		return warned(fmt.Sprintf("Whether the application permission %s is granted is not known: the token cannot be read, and neither can what was consented to: %s.", name, reason(err)),
			"Look under API permissions of the application in Entra whether consent is granted for it.", purpose)
	}
	missing := failed(fmt.Sprintf("The application permission %s, needed to %s, is not granted.", name, cmp.Or(p.Purpose, "run the integration")),
		fmt.Sprintf("Add the permission %s of Microsoft Graph (type Application) to the application in Entra and grant admin consent.", name),
		Evidence{"permissions in the token", rolesOf(token)}, Evidence{"consent URL", f.settings.AdminConsentURL})
	if err != nil {
		// Without the right to read it, the token alone tells.
		missing = missing.on(basisToken)
		missing.Evidence = append(missing.Evidence, Evidence{"what was consented to", reason(err)})
	} else if r, err := f.registration(); err == nil && has(r.ApplicationPermissions, name) {
		missing.Remedy = fmt.Sprintf("Grant admin consent anew: %s is already among the API permissions of the application in Entra.", name)
	}
	if !p.Required {
		missing.Status = Warned
	}
	return missing
}

// checkApplicationPermissionInToken comes after the permission was found to be
// granted.
func checkApplicationPermissionInToken(_ context.Context, f *facts, name string) finding {
	token, err := f.signIn()
	switch {
	case err != nil:
		return noToken(err)
	case !token.RolesKnown:
		return passed(Evidence{"permissions in the token", rolesOf(token)}).on("that the permission is granted: the token cannot be read")
	case has(token.Roles, name):
		return passed(Evidence{"valid until", moment(token.ExpiresAt)})
	default:
		return failed(fmt.Sprintf("The application permission %s is granted, but a token that was issued now does not hold it.", name), "",
			Evidence{"permissions in the token", rolesOf(token)})
	}
}

// checkEntraRegistration comes after the permission to read it was found in the
// token.
func checkEntraRegistration(_ context.Context, f *facts, _ string) finding {
	r, err := f.registration()
	switch {
	case err == nil:
		return passed(Evidence{"name", r.Name}, Evidence{"accounts", r.SignInAudience}, Evidence{"client secrets", fmt.Sprint(len(r.ClientSecrets))})
	case errors.Is(err, presence.ErrForbidden):
		return failed("The application may not read its own registration: it needs the application permission "+readRegistration+".",
			"Add the permission "+readRegistration+" of Microsoft Graph (type Application) to the application in Entra and grant admin consent.", Evidence{"answer", reason(err)})
	case errors.Is(err, presence.ErrNotFound):
		return failed(fmt.Sprintf("The tenant %s has no registration of the application %s: another tenant has registered it.", f.settings.TenantID, f.settings.ClientID),
			"Look up its client secrets, redirect URIs and permissions in the tenant that has registered the application, or register one in this tenant.", Evidence{"answer", reason(err)})
	default:
		return failed("The registration of the application could not be read: "+reason(err)+".", cmp.Or(instruction(err), "Run the check again in some minutes.")).by(Operator)
	}
}

// checkPermissionDeclared looks for a permission in the registration.
func checkPermissionDeclared(delegated bool) func(context.Context, *facts, string) finding {
	return func(_ context.Context, f *facts, name string) finding {
		r, err := f.registration()
		if err != nil {
			return unreadRegistration(err)
		}
		kind, declared := "application", r.ApplicationPermissions
		if delegated {
			kind, declared = "delegated", r.DelegatedPermissions
		}
		p := f.permission(name, delegated)
		weight := Evidence{"weight", "recommended"}
		if p.Required {
			weight.Value = "required"
		}
		if has(declared, name) {
			return passed(Evidence{"needed to", p.Purpose}, weight)
		}
		if delegated && !r.tells(p) {
			return notApplicable(fmt.Sprintf("Whether the delegated permission %s is declared cannot be told: the registration names permissions by their ids, and that of this one is not known here. Whether it is granted is told by %s, once a monitor is authorized.", name, CodeMonitorRecommended),
				weight, Evidence{"declared by ids that are not known", count(r.UnknownDelegated, "permission")})
		}
		return failed(fmt.Sprintf("The %s permission %s, needed to %s, is not among the API permissions of the application.", kind, name, cmp.Or(p.Purpose, "run the integration")),
			fmt.Sprintf("Add the permission %s of Microsoft Graph (type %s) under API permissions of the application in Entra, and grant admin consent.", name, strings.ToUpper(kind[:1])+kind[1:]),
			weight)
	}
}

// unreadRegistration is the outcome of what stands in a registration that cannot
// be read.
func unreadRegistration(err error) finding {
	return warned("It is not known, because the registration of the application cannot be read: "+reason(err)+".", instruction(err))
}
