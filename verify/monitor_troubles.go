package verify

import (
	"fmt"
	"strings"

	"github.com/presencebridge/presencebridge/monitor"
)

// monitorTrouble is how one cause of a monitor's trouble is told.
type monitorTrouble struct {
	// code is the check that fails because of it, and no other does.
	code Code
	// sentence says what is wrong, %s being the monitor; empty: that of the
	// trouble, which has Entra's own words, up to cut, after which it says what to do.
	sentence, cut string
	// remedy and by are those of the check where they are empty.
	remedy string
	by     Administrator
}

// monitorTroubles returns how each cause is told.
func monitorTroubles() map[monitor.TroubleKind]monitorTrouble {
	return map[monitor.TroubleKind]monitorTrouble{
		monitor.TroubleRecordUnreadable: {
			code: CodeMonitorSetUp, cut: ". Open the store",
			remedy: "Open the store with the key and the version with which it was written, or renew the monitor with a client secret and authorize it.",
		},
		monitor.TroubleSecretMissing:      {code: CodeMonitorSetUp, sentence: "The monitor %s has no client secret."},
		monitor.TroubleApplicationChanged: {code: CodeMonitorApplication, sentence: "The tenant or client id has changed since the monitor %s was set up."},
		monitor.TroubleSecretExpired:      {code: CodeMonitorSecret, sentence: "The client secret of the monitor %s has expired."},
		monitor.TroubleSecretRefused: {
			code: CodeMonitorSecret, sentence: "Entra does not accept the client secret of the monitor %s: it was deleted, or its Secret ID was given in place of its Value.",
		},
		monitor.TroubleConsentMissing:      {code: CodeMonitorConsent, cut: ". Let an administrator of the tenant"},
		monitor.TroublePermissionsMissing:  {code: CodeMonitorPermissions, cut: ". Let an administrator of the tenant"},
		monitor.TroubleAccountMissing:      {code: CodeMonitorAccount, sentence: "The tenant has no account with the user principal name %s."},
		monitor.TroubleAccountDisabled:     {code: CodeMonitorEnabled, sentence: "The account %s is disabled."},
		monitor.TroubleMailMissing:         {code: CodeMonitorMail, sentence: "The account %s has no mail address."},
		monitor.TroubleGlobalAdministrator: {code: CodeMonitorNotAdministrator, sentence: "The account %s is a global administrator's."},
		monitor.TroubleSignInRefused: {
			code:   CodeMonitorSignIn,
			remedy: "Set right in Entra what it says of the account: unlock it, give it a new password, or assign it to the application. Then authorize the monitor again.",
		},
		monitor.TroubleSecondFactor: {
			code:   CodeMonitorSignIn,
			remedy: "Exempt the account from the policy that asks for a second factor, or sign in with one; authorize the monitor again.",
		},
		monitor.TroubleConditionalAccess: {
			code:   CodeMonitorSignIn,
			remedy: "Exempt the account from the conditional access policy that forbids the sign-in, and authorize the monitor again.",
		},
		monitor.TroubleGrantEnded:      {code: CodeMonitorAuthorized},
		monitor.TroubleSignInFailed:    {code: CodeMonitorAuthorized},
		monitor.TroubleNeverAuthorized: {code: CodeMonitorAuthorized, sentence: "Nobody has signed in as the monitor %s yet."},
		monitor.TroubleApplicationUnusable: {
			code: CodeMonitorWorking, by: AzureAdministrator,
			remedy: "Make sure that the application is in the tenant and enabled, under Enterprise applications in Entra, then retry the monitor.",
		},
		monitor.TroubleRefusedOtherwise: {
			code: CodeMonitorWorking, by: AzureAdministrator,
			remedy: "Look for the refusal in the sign-in logs of Entra, under service principal sign-ins, set it right, and retry the monitor.",
		},
		monitor.TroubleFailing: {code: CodeMonitorWorking},
	}
}

// trouble returns the failed outcome for what is the matter with the monitor, as
// far as it is the business of the check; of several causes, that of the one that
// takes precedence. What a later version of the pool finds is not working.
func (m *monitorSeen) trouble(code Code) (finding, bool) {
	all := monitorTroubles()
	for _, t := range m.Troubles {
		told, known := all[t.Kind]
		if !known {
			told = monitorTrouble{code: CodeMonitorWorking}
		}
		if told.code != code {
			continue
		}
		sentence := t.Sentence
		if told.sentence != "" {
			sentence = fmt.Sprintf(told.sentence, m.PrincipalName)
		} else if before, _, found := strings.Cut(sentence, told.cut); found && told.cut != "" {
			sentence = before + "."
		}
		return failed(sentence, told.remedy, Evidence{"trouble", string(t.Kind)}, Evidence{"since", moment(t.Since)}).by(told.by), true
	}
	return finding{}, false
}
