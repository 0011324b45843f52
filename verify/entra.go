package verify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"

	"github.com/presencebridge/presencebridge/presence"
)

// What [Entra.SignIn] tells beside the sentinels of package presence, so that the
// check that fails is the one of what has to be set right. An error that matches
// neither is a fault of nothing that is configured here.
var (
	// ErrTenantRefused: there is a tenant, but it cannot be signed in to by its id
	// as it is configured: it belongs to another cloud, or stands for all tenants.
	ErrTenantRefused = errors.New("tenant refused")
	// ErrCredentialRefused: Entra does not accept how the application proves who it
	// is, for another reason than presence.ErrInvalidSecret or ErrSecretExpired: the
	// certificate is not registered, or nothing was sent.
	ErrCredentialRefused = errors.New("credential refused")
)

// signInFault is why a sign-in of the application has failed: the one check that
// fails for it, and what that says.
type signInFault struct {
	code             Code
	sentence, remedy string
	by               Administrator
	// refused: Entra has looked at tenant, application and secret, and refuses the
	// token all the same.
	refused bool
}

// faultOf tells which check an error of a sign-in belongs to. What Entra says of
// tenant, application and secret counts first; whether it answered at all, last.
func (f *facts) faultOf(err error) signInFault {
	s := &f.settings
	var answer net.Error
	switch {
	case errors.Is(err, presence.ErrTenantNotFound):
		return signInFault{code: CodeEntraTenant, sentence: "There is no tenant with the id " + s.TenantID + "."}
	case errors.Is(err, ErrTenantRefused):
		return signInFault{code: CodeEntraTenant, sentence: fmt.Sprintf("The tenant id %s cannot be used: %s.", s.TenantID, reason(err)), remedy: instruction(err)}
	case errors.Is(err, presence.ErrAppNotFound):
		return signInFault{
			code: CodeEntraApplication, by: Operator,
			sentence: fmt.Sprintf("The tenant %s has no application with the client id %s.", s.TenantID, s.ClientID),
			remedy:   "Copy the Application (client) ID from the overview of the application, in Entra of this very tenant, into the configuration; if both ids are right, let an administrator of the tenant consent to the application.",
		}
	case errors.Is(err, presence.ErrAppDisabled):
		return signInFault{
			code: CodeEntraApplication, sentence: "The application with the client id " + s.ClientID + " is disabled.",
			remedy: "Enable the application for sign-in under Enterprise applications in Entra.",
		}
	case errors.Is(err, presence.ErrInvalidSecret), errors.Is(err, presence.ErrSecretExpired), errors.Is(err, ErrCredentialRefused):
		return f.secretFault(err)
	case errors.Is(err, presence.ErrThrottled):
		return signInFault{
			code: CodeEntraToken, sentence: "The login service asks for fewer requests, and has issued no token.", by: Operator,
			remedy: "Wait some minutes and run the check again; if it stays so, find what asks for tokens of this application again and again.",
		}
	case errors.Is(err, presence.ErrConditionalAccess):
		return signInFault{
			code: CodeEntraToken, sentence: "A conditional access policy of the tenant forbids the application to sign in.", refused: true,
			remedy: "Exempt the application from the policy, or add the address of the service to the locations that it allows; Entra's sign-in log of service principals names the policy.",
		}
	case errors.Is(err, presence.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.As(err, &answer):
		return signInFault{code: CodeEntraReachable, sentence: "The login service of Microsoft Entra does not answer as it should: " + reason(err) + "."}
	default:
		return signInFault{code: CodeEntraToken, sentence: "Entra issues no token to the application: " + reason(err) + ".", remedy: instruction(err)}
	}
}

// secretFault says what is wrong with the client secret, or with the certificate.
func (f *facts) secretFault(err error) signInFault {
	fault := signInFault{code: CodeEntraSecret}
	called := ""
	if d := f.settings.SecretDescription; d != "" {
		called = fmt.Sprintf(" (description %q)", d)
	}
	switch {
	case errors.Is(err, presence.ErrSecretExpired):
		fault.sentence = "The client secret of the feature" + called + " has expired"
		if end := f.pool.FeatureSecretExpiresAt; !end.IsZero() && end.Before(f.startedAt) {
			fault.sentence += ", on " + date(end)
		}
		fault.sentence += "."
	case errors.Is(err, presence.ErrInvalidSecret) && secretIDForm.MatchString(strings.TrimSpace(f.settings.Secret.Reveal())):
		fault.sentence = "The configured client secret of the feature is not a secret's Value but its Secret ID."
		fault.remedy = "Enter the Value of the client secret in place of its Secret ID; Entra shows it only when the secret is created, so create a new one if it was not kept."
	case errors.Is(err, presence.ErrInvalidSecret):
		fault.sentence = "The client secret of the feature" + called + " is none of the application's: it was deleted, belongs to another application, or is not complete."
	case f.settings.Secret.IsZero():
		fault.sentence = "Entra does not accept the certificate with which the bridge signs in: " + reason(err) + "."
		fault.remedy = "Upload the certificate of the configuration under Certificates & secrets of the application in Entra, or configure one that is registered there and has not expired."
	default:
		fault.sentence = "Entra does not accept how the bridge signs in: " + reason(err) + "."
		fault.remedy = instruction(err)
	}
	return fault
}

// secretIDForm is the form of a Secret ID, a GUID, which the Value of a client
// secret never has.
var secretIDForm = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

// signInStep is the outcome of one check of the sign-in. It passes if the sign-in
// got past what it is about, or failed before it could tell anything of it.
func (f *facts) signInStep(code Code, evidence ...Evidence) finding {
	_, err := f.signIn()
	if err == nil {
		return passed(evidence...)
	}
	fault := f.faultOf(err)
	switch {
	case fault.code == code:
		return failed(fault.sentence, fault.remedy, append(evidence, Evidence{"answer", reason(err)})...).by(fault.by)
	case fault.code == CodeEntraToken && !fault.refused && code != CodeEntraReachable:
		return passed(append(evidence, Evidence{"not proved", "the sign-in failed for another reason: see " + string(CodeEntraToken)})...)
	default:
		return passed(evidence...)
	}
}

func checkEntraReachable(_ context.Context, f *facts, _ string) finding {
	return f.signInStep(CodeEntraReachable)
}

func checkEntraTenant(_ context.Context, f *facts, _ string) finding {
	return f.signInStep(CodeEntraTenant, Evidence{"tenant id", f.settings.TenantID})
}

func checkEntraApplication(_ context.Context, f *facts, _ string) finding {
	return f.signInStep(CodeEntraApplication, Evidence{"client id", f.settings.ClientID})
}

func checkEntraSecret(_ context.Context, f *facts, _ string) finding {
	if f.settings.Secret.IsZero() {
		return f.signInStep(CodeEntraSecret, Evidence{"signs in by", "a certificate"})
	}
	return f.signInStep(CodeEntraSecret, Evidence{"signs in by", "a client secret"}, Evidence{"description", f.settings.SecretDescription})
}

func checkEntraToken(_ context.Context, f *facts, _ string) finding {
	token, err := f.signIn()
	if err != nil {
		return f.signInStep(CodeEntraToken)
	}
	return passed(Evidence{"permissions", rolesOf(token)}, Evidence{"valid until", moment(token.ExpiresAt)})
}

// rolesOf lists what a token holds.
func rolesOf(token SignIn) string {
	switch {
	case !token.RolesKnown:
		return "the token cannot be read"
	case len(token.Roles) == 0:
		return "none"
	default:
		return names(token.Roles)
	}
}
