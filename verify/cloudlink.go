package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/internal/throttle"
	"github.com/presencebridge/presencebridge/presence"
)

// The checks of the account rest on one question, whose the credentials are, and
// each takes of its answer, or of its error, what is its own. So an error is the
// matter of exactly one of them: no answer, or that of something else, of
// reachable; any other of credentials.

// cloudLinkThrottled reports whether CloudLink asks for fewer requests. While it
// does, the client has no turn for another, which is no failure of the network.
func cloudLinkThrottled(err error) bool {
	return errors.Is(err, presence.ErrThrottled) || errors.Is(err, throttle.ErrNoTurn)
}

// whileThrottled is the outcome where CloudLink answers, but not the question.
func whileThrottled(what string, err error) finding {
	wait := "Wait a few minutes and run the check again."
	if asked, ok := presence.RetryAfter(err); ok {
		wait = "Wait " + waiting(asked) + ", as CloudLink asks, and run the check again."
	}
	return warned(what+" cannot be told: CloudLink asks for fewer requests.", wait, ofError(err)).by(Operator)
}

func checkCloudLinkReachable(_ context.Context, f *facts, _ string) finding {
	_, err := f.whoAmI()
	region := Evidence{"region", regionName(f.settings.Region)}
	var answer *cloudlink.Error
	switch {
	case cloudLinkThrottled(err):
		return passed(region, Evidence{"answer", "CloudLink asks for fewer requests"})
	case errors.Is(err, cloudlink.ErrNoSuchRoute), errors.Is(err, cloudlink.ErrUnexpectedAnswer):
		return failed("What answers at CloudLink's address is not CloudLink's API.", instruction(err), region, ofError(err))
	case !errors.Is(err, presence.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled):
		return passed(region)
	case errors.As(err, &answer) && answer.StatusCode != 0:
		return failed(fmt.Sprintf("CloudLink answers with %d %s.", answer.StatusCode, http.StatusText(answer.StatusCode)), instruction(err), region, ofError(err))
	default:
		return failed("CloudLink does not answer.", "", region, ofError(err))
	}
}

func checkCloudLinkCredentials(_ context.Context, f *facts, _ string) finding {
	identity, err := f.whoAmI()
	switch {
	case err == nil:
		return passed(Evidence{"signed in as", cmp.Or(identity.Name, identity.LoginID, identity.Email, identity.PrincipalID, identity.UserID)})
	case cloudLinkThrottled(err):
		return whileThrottled("Whether the credentials are accepted", err)
	case errors.Is(err, cloudlink.ErrGrantRefused):
		return failed("CloudLink's token service does not accept the credentials.", "", ofError(err))
	case errors.Is(err, presence.ErrUnauthorized):
		return failed("CloudLink does not accept the token of the credentials.", instruction(err), ofError(err))
	case errors.Is(err, presence.ErrForbidden):
		return failed("CloudLink does not let the credentials ask whose they are.", instruction(err), ofError(err))
	default:
		return failed("Whether the credentials are accepted cannot be told, because the question fails.", cmp.Or(instruction(err), "Look at the error."), ofError(err)).by(Operator)
	}
}

// unknownIdentity is the outcome of a check that needs an answer which there is not.
func unknownIdentity(err error) finding {
	return warned("CloudLink has not told whose the credentials are.", "Set right what keeps CloudLink from answering, and run the check again.", ofError(err)).by(Operator)
}

func checkCloudLinkAccount(_ context.Context, f *facts, _ string) finding {
	identity, err := f.whoAmI()
	if err != nil {
		return unknownIdentity(err)
	}
	configured := strings.TrimSpace(f.settings.AccountID)
	account, err := f.account()
	evidence := []Evidence{
		{"configured account", configured}, {"account of the credentials", identity.AccountID},
		{"account that was read", account.ID}, {"name", account.Name}, ofError(err),
	}
	// A partner's credentials are of another account than the customer's which
	// they read, and a short number is no id that could be compared.
	ofPartner := identity.Role == rolePartnerAdmin
	if configured != "" && !shortNumber(configured) && identity.AccountID != "" && !strings.EqualFold(configured, identity.AccountID) && !ofPartner {
		return failed(fmt.Sprintf("The credentials belong to account %s, and the configured account is %s.", identity.AccountID, configured), "", evidence...)
	}
	switch {
	case cloudLinkThrottled(err):
		return whileThrottled("Whether account "+configured+" can be read", err)
	case errors.Is(err, presence.ErrNotFound) && !errors.Is(err, cloudlink.ErrNoSuchRoute):
		return failed(fmt.Sprintf("There is no account %s for these credentials.", configured), "", evidence...)
	case errors.Is(err, presence.ErrForbidden), errors.Is(err, presence.ErrUnauthorized):
		return failed(fmt.Sprintf("The credentials may not read account %s.", configured), "", evidence...)
	case err != nil:
		return failed(fmt.Sprintf("Account %s cannot be read.", configured), cmp.Or(instruction(err), "Look at the error."), evidence...)
	case configured == "":
		return warned("Nobody has told which account is the configured one.", "Enter the Account ID of Mitel Administration in the configuration.", evidence...)
	case !shortNumber(configured) && !strings.EqualFold(configured, account.ID):
		return failed(fmt.Sprintf("The bridge reads account %s, and the configured account is %s.", account.ID, configured), "", evidence...)
	case identity.AccountID == "":
		return warned(fmt.Sprintf("Account %s can be read, but CloudLink does not tell to which account the credentials belong.", configured),
			"Make sure in Mitel Administration that the credentials are those of this account.", evidence...)
	case strings.EqualFold(identity.AccountID, account.ID):
		return passed(evidence...)
	case ofPartner:
		return warned(fmt.Sprintf("The credentials belong to the partner's account %s. They can read account %s, but Mitel does not document that its telephones are told of to a partner.", identity.AccountID, account.ID),
			"Create a client of the account itself with the role ACCOUNT_ADMIN, and enter it in the configuration.", evidence...).by(CloudLinkAdministrator)
	default:
		return failed(fmt.Sprintf("The credentials belong to account %s, and the configured account %s is %s.", identity.AccountID, configured, account.ID), "", evidence...)
	}
}

// shortNumber reports whether an account is given by its number and not its id.
func shortNumber(account string) bool { return strings.Trim(account, "0123456789") == "" }

// The roles that may list the users of an account (Mitel's developer forum,
// "Authentication API for service").
const (
	roleAccountAdmin = "ACCOUNT_ADMIN"
	rolePartnerAdmin = "PARTNER_ADMIN"
)

func checkCloudLinkRole(_ context.Context, f *facts, _ string) finding {
	identity, err := f.whoAmI()
	if err != nil {
		return unknownIdentity(err)
	}
	role := Evidence{"role", identity.Role}
	switch identity.Role {
	case roleAccountAdmin, rolePartnerAdmin:
		return passed(role)
	case "":
		return warned("CloudLink does not tell which role the credentials have.", "Make sure in Mitel Administration that it is ACCOUNT_ADMIN.")
	default:
		return failed(fmt.Sprintf("The credentials have the role %s, which may not list the users of the account.", identity.Role), "", role)
	}
}

func checkCloudLinkRegion(_ context.Context, f *facts, _ string) finding {
	if f.opts.LocalDoubles {
		return notApplicable("CloudLink is a double on this machine, which has no region.")
	}
	identity, err := f.whoAmI()
	if err != nil {
		return unknownIdentity(err)
	}
	configured := f.settings.Region
	kept, known := identity.Region()
	evidence := []Evidence{{"configured region", regionName(configured)}, {"region of the account", string(kept)}, {"domain", identity.Domain}}
	switch {
	case configured == cloudlink.RegionGlobal:
		return passed(evidence...)
	case !known:
		return warned(fmt.Sprintf("What CloudLink tells of the account names no region, so whether it is %s is not known.", configured), "Compare the configured region with that on the account page of Mitel Administration.", evidence...)
	case !sameRegion(configured, kept):
		return failed(fmt.Sprintf("CloudLink keeps the account in the region %s, and the configured region is %s.", kept, configured),
			fmt.Sprintf("Enter %s as the region, or leave it empty: CloudLink then finds it.", kept), evidence...)
	default:
		return passed(evidence...)
	}
}

// sameRegion reports whether one label is the other, or a part of it: a data centre
// such as us-west-2.us belongs to the region us.
func sameRegion(a, b cloudlink.Region) bool {
	x, y := strings.ToLower(string(a)), strings.ToLower(string(b))
	return x == y || strings.HasSuffix(x, "."+y) || strings.HasSuffix(y, "."+x)
}

func regionName(r cloudlink.Region) string {
	if r == cloudlink.RegionGlobal {
		return "global: CloudLink finds the account's"
	}
	return string(r)
}
