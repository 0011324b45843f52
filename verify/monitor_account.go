package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

func checkMonitorSetUp(ctx context.Context, f *facts, name string) finding {
	return ofMonitorBefore(func(_ *facts, m *monitorSeen) finding {
		if o, bad := m.trouble(CodeMonitorSetUp); bad {
			return o
		}
		return passed(Evidence{"added", date(m.AddedAt)})
	})(ctx, f, name)
}

func checkMonitorApplication(ctx context.Context, f *facts, name string) finding {
	return ofMonitorBefore(func(_ *facts, m *monitorSeen) finding {
		evidence := []Evidence{{"tenant", m.Application.TenantID}, {"client id", m.Application.ClientID}}
		if o, bad := m.trouble(CodeMonitorApplication); bad {
			o.Evidence = append(o.Evidence, evidence...)
			return o
		}
		return passed(evidence...)
	})(ctx, f, name)
}

func checkMonitorSecret(ctx context.Context, f *facts, name string) finding {
	return ofMonitor(func(_ *facts, m *monitorSeen) finding {
		evidence := []Evidence{{"last accepted", moment(m.SecretAcceptedAt)}, {"ends", date(m.SecretExpiresAt)}}
		if o, bad := m.trouble(CodeMonitorSecret); bad {
			o.Evidence = append(o.Evidence, evidence...)
			return o
		}
		if m.SecretAcceptedAt.IsZero() {
			return warned(fmt.Sprintf("It is not known whether Entra accepts the client secret of the monitor %s: it has not answered yet.", m.PrincipalName),
				"Run the check again in a minute. If it stays so, look at the network between here and Entra.", evidence...).by(Operator)
		}
		return passed(evidence...)
	})(ctx, f, name)
}

func checkMonitorSecretExpiry(ctx context.Context, f *facts, name string) finding {
	return ofMonitor(func(f *facts, m *monitorSeen) finding {
		ends := m.SecretExpiresAt
		if ends.IsZero() {
			return warned(fmt.Sprintf("It is not known when the client secret of the monitor %s ends.", m.PrincipalName),
				"Set right what the evidence says. If two client secrets look alike, delete from the application the one that nobody uses, or give each a description of its own.",
				Evidence{"why", m.SecretUnknown})
		}
		evidence := []Evidence{{"ends", date(ends)}, {"not certain", m.SecretUnknown}}
		if ends.Sub(f.startedAt) < f.opts.SecretWarning {
			return warned(fmt.Sprintf("The client secret of the monitor %s ends %s.", m.PrincipalName, endOf(f, ends)), "", evidence...)
		}
		return passed(evidence...)
	})(ctx, f, name)
}

func checkMonitorAccount(ctx context.Context, f *facts, name string) finding {
	return ofMonitor(func(_ *facts, m *monitorSeen) finding {
		if o, bad := m.trouble(CodeMonitorAccount); bad {
			return o
		}
		if m.AccountUnknown != "" || m.AccountEnabled == nil {
			return unknownAccount(m)
		}
		return passed(Evidence{"object id", m.AccountID}, Evidence{"asked", moment(m.CheckedAt)})
	})(ctx, f, name)
}

// runAgain is what to do about what was not known yet.
const runAgain = "Run the check again in a minute."

// unknownAccount says that the directory does not tell whether the account exists.
func unknownAccount(m *monitorSeen) finding {
	if m.AccountUnknown == "" {
		return warned(fmt.Sprintf("It is not known whether the account %s exists: Entra has not answered yet.", m.PrincipalName), runAgain).by(Operator)
	}
	return warned(fmt.Sprintf("It is not known now whether the account %s exists.", m.PrincipalName),
		"Set right what the evidence says. The application needs the permission User.Read.All to read the account.", Evidence{"why", m.AccountUnknown})
}

// accountUnread is the outcome of what the directory tells of an account, where it
// does not tell even whether there is one: the check of that warns. The others are
// not skipped, so that the checks of the sign-in, which rest on them, are made.
func accountUnread() finding {
	return notApplicable("It is not known, because the account could not be read: see " + string(CodeMonitorAccount) + ".")
}

// neverSignedIn is the outcome of what only a sign-in tells, where nobody has signed
// in yet: the check of the authorization fails.
func neverSignedIn() finding {
	return notApplicable("It is not known, because nobody has signed in as the monitor: see " + string(CodeMonitorAuthorized) + ".")
}

func checkMonitorEnabled(ctx context.Context, f *facts, name string) finding {
	return ofMonitor(func(_ *facts, m *monitorSeen) finding {
		if o, bad := m.trouble(CodeMonitorEnabled); bad {
			return o
		}
		if m.AccountEnabled == nil {
			return accountUnread()
		}
		return passed(Evidence{"asked", moment(m.CheckedAt)})
	})(ctx, f, name)
}

func checkMonitorMail(ctx context.Context, f *facts, name string) finding {
	return ofMonitor(func(_ *facts, m *monitorSeen) finding {
		if o, bad := m.trouble(CodeMonitorMail); bad {
			return o
		}
		if m.AccountMail == nil {
			return accountUnread()
		}
		return passed(Evidence{"asked", moment(m.CheckedAt)})
	})(ctx, f, name)
}

func checkMonitorNotAdministrator(ctx context.Context, f *facts, name string) finding {
	return ofMonitor(func(_ *facts, m *monitorSeen) finding {
		if o, bad := m.trouble(CodeMonitorNotAdministrator); bad {
			return o
		}
		switch {
		case m.GlobalAdministrator != nil:
			return passed()
		case m.AuthorizedAt.IsZero():
			return neverSignedIn()
		default:
			return warned(fmt.Sprintf("The token does not tell whether the account %s is a global administrator's.", m.PrincipalName),
				"Look at the roles that are assigned to the account in Entra: Global Administrator must not be among them.")
		}
	})(ctx, f, name)
}

func checkMonitorSignIn(ctx context.Context, f *facts, name string) finding {
	return ofMonitor(func(_ *facts, m *monitorSeen) finding {
		if o, bad := m.trouble(CodeMonitorSignIn); bad {
			return o
		}
		if m.AuthorizedAt.IsZero() {
			return neverSignedIn()
		}
		return passed()
	})(ctx, f, name)
}

func checkMonitorConsent(ctx context.Context, f *facts, name string) finding {
	return ofMonitor(func(f *facts, m *monitorSeen) finding {
		if o, bad := m.trouble(CodeMonitorConsent); bad {
			if f.settings.AdminConsentURL != "" {
				o.Evidence = append(o.Evidence, Evidence{"to consent", f.settings.AdminConsentURL})
			}
			return o
		}
		if m.AuthorizedAt.IsZero() {
			return neverSignedIn()
		}
		return passed()
	})(ctx, f, name)
}

func checkMonitorAuthorized(ctx context.Context, f *facts, name string) finding {
	return ofMonitor(func(_ *facts, m *monitorSeen) finding {
		if o, bad := m.trouble(CodeMonitorAuthorized); bad {
			o.Evidence = append(o.Evidence, Evidence{"authorized before", moment(m.AuthorizedAt)}, Evidence{"the authorization URL ends", moment(m.SignInExpiresAt)},
				Evidence{"last sign-in refused", moment(m.SignInFailedAt)}, Evidence{"because", m.SignInFailure})
			return o
		}
		return passed(Evidence{"authorized", moment(m.AuthorizedAt)}, Evidence{"grant used", moment(m.RefreshedAt)},
			Evidence{"a later sign-in refused", moment(m.SignInFailedAt)}, Evidence{"because", m.SignInFailure})
	})(ctx, f, name)
}

// refreshTokenUse is how long a refresh token may be unused until a check warns:
// the bridge uses it every day, and it ends after ninety.
const refreshTokenUse = 7 * 24 * time.Hour

func checkMonitorRefreshToken(ctx context.Context, f *facts, name string) finding {
	return ofMonitor(func(f *facts, m *monitorSeen) finding {
		evidence := []Evidence{
			{"used", moment(m.RefreshedAt)}, {"used before this check", moment(f.monitorBefore(name).RefreshedAt)},
			{"ends if it is not used", date(m.RefreshTokenExpiresAt)},
		}
		switch {
		case m.RefreshedAt.IsZero():
			return warned(fmt.Sprintf("It is not known when the refresh token of the monitor %s was last used.", m.PrincipalName), "Retry the monitor and run the check again.", evidence...)
		case !m.RefreshTokenExpiresAt.After(f.startedAt):
			return warned(fmt.Sprintf("The refresh token of the monitor %s was last used on %s and ended on %s.", m.PrincipalName, date(m.RefreshedAt), date(m.RefreshTokenExpiresAt)),
				"Authorize the monitor again, and keep the bridge running: it uses the token every day.", evidence...)
		case f.startedAt.Sub(m.RefreshedAt) > refreshTokenUse:
			return warned(fmt.Sprintf("The refresh token of the monitor %s was last used on %s and ends %s, if it is not used before.", m.PrincipalName, date(m.RefreshedAt), endOf(f, m.RefreshTokenExpiresAt)), "", evidence...)
		}
		return passed(evidence...)
	})(ctx, f, name)
}

// checkMonitorPermissions makes the check of the required delegated permissions,
// or of the others.
func checkMonitorPermissions(required bool) func(context.Context, *facts, string) finding {
	return ofMonitor(func(f *facts, m *monitorSeen) finding {
		granted := Evidence{"granted", strings.Join(m.Scopes, " ")}
		if len(m.Scopes) == 0 && !required {
			return notApplicable("It is not known, because the permissions of the token are not: see " + string(CodeMonitorPermissions) + ".")
		}
		if len(m.Scopes) == 0 {
			return warned(fmt.Sprintf("It is not known which permissions the token of the monitor %s has: none were kept when it was authorized.", m.PrincipalName),
				"Authorize the monitor again.").by(AzureAdministrator)
		}
		var missing []string
		for _, p := range f.sources.Entra.Permissions() {
			if p.Delegated && p.Required == required && m.lacks(p.Name) {
				missing = append(missing, fmt.Sprintf("%s (%s)", p.Name, p.Purpose))
			}
		}
		if required && len(missing) == 0 {
			if o, bad := m.trouble(CodeMonitorPermissions); bad {
				o.Evidence = append(o.Evidence, granted)
				return o
			}
		}
		if len(missing) > 0 {
			kind := "the recommended"
			if required {
				kind = "the required"
			}
			return failed(fmt.Sprintf("The token of the monitor %s lacks %s %s.", m.PrincipalName, kind, names(missing)), "", granted)
		}
		return passed(granted)
	})
}

// lacks reports whether the monitor's token is without a delegated permission.
// Those of OpenID Connect have done their work when somebody has signed in, and
// Entra need not list them afterwards; offline_access it never lists: its sign is
// the refresh token.
func (m *monitorSeen) lacks(permission string) bool {
	has := func(list []string) bool {
		return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, permission) })
	}
	switch strings.ToLower(permission) {
	case "offline_access":
		return m.RefreshTokenExpiresAt.IsZero()
	case "openid", "profile", "email":
		return has(m.Missing) || has(m.Unneeded)
	default:
		return !has(m.Scopes)
	}
}
