package monitor

import (
	"errors"
)

// What can be wrong with a monitor, a sign-in or the store. The errors of a
// [Pool] match them, and the sentinels of package presence where Entra refused,
// and say what to do ([Error.Remedy]).
var (
	// ErrUnknownMonitor: the pool has no such monitor.
	ErrUnknownMonitor = errors.New("there is no such monitor")
	// ErrMonitorExists: the pool has the monitor already.
	ErrMonitorExists = errors.New("the monitor exists already")
	// ErrNotSetUp: the monitor has no client secret that could be read.
	ErrNotSetUp = errors.New("the monitor is not set up")
	// ErrUpdateNeeded: the monitor belongs to another tenant or application.
	ErrUpdateNeeded = errors.New("the monitor belongs to another tenant or application")
	// ErrNoApplication: neither the pool nor its store names an application.
	ErrNoApplication = errors.New("no tenant and client id are known")
	// ErrAccountNotFound: the tenant has no account with this user principal name.
	ErrAccountNotFound = errors.New("the account does not exist")
	// ErrAccountDisabled: the account is disabled.
	ErrAccountDisabled = errors.New("the account is disabled")
	// ErrNoMail: the account has no mail address.
	ErrNoMail = errors.New("the account has no mail address")
	// ErrGlobalAdministrator: the account is a global administrator's.
	ErrGlobalAdministrator = errors.New("the account is a global administrator's")
	// ErrWrongAccount: somebody else than the monitor has signed in.
	ErrWrongAccount = errors.New("another account has signed in")
	// ErrScopesMissing: not everything was consented to that a monitor needs.
	ErrScopesMissing = errors.New("permissions are missing")
	// ErrStateUnknown: no sign-in has begun with this state.
	ErrStateUnknown = errors.New("the sign-in was not begun here")
	// ErrStateUsed: the sign-in has ended before.
	ErrStateUsed = errors.New("the sign-in was used before")
	// ErrStateExpired: the sign-in has taken too long.
	ErrStateExpired = errors.New("the sign-in has expired")
	// ErrUnreadableRecord: what the store has of a monitor cannot be read.
	ErrUnreadableRecord = errors.New("the monitor's record cannot be read")
	// ErrNotKeeper: another process keeps the monitor, or the store cannot
	// tell, so its account must not be used here.
	ErrNotKeeper = errors.New("the monitor is not kept here")
)

// Error is an action of a [Pool] that failed.
type Error struct {
	// Operation is what was to be done, such as "authorize".
	Operation string
	// Monitor is the user principal name; empty where it is not about one.
	Monitor string
	// Err is the cause.
	Err error
}

// Error says what failed, why, and what to do.
func (e *Error) Error() string {
	text := "monitor: " + e.Operation
	if e.Monitor != "" {
		text += " " + e.Monitor
	}
	text += ": " + e.Err.Error()
	// The cause's own remedy is part of its text.
	if remedy := remedyOf(e.Err); remedy != "" {
		text += ": " + remedy
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Remedy is a sentence on what to do; empty where nothing but waiting helps.
func (e *Error) Remedy() string {
	if remedy := remedyOf(e.Err); remedy != "" {
		return remedy
	}
	var r interface{ Remedy() string }
	if errors.As(e.Err, &r) {
		return r.Remedy()
	}
	return ""
}

// remedyOf returns what to do about one of this package's errors.
func remedyOf(err error) string {
	for _, r := range []struct {
		err  error
		text string
	}{
		{ErrUnknownMonitor, "check the user principal name, or add the monitor"},
		{ErrMonitorExists, "renew it with the new client secret, or delete it first"},
		{ErrNotSetUp, "renew the monitor with a client secret"},
		{ErrUpdateNeeded, "renew the monitor with a client secret of the present application, then authorize it"},
		{ErrNoApplication, "give NewPool the tenant and client id of the application"},
		{ErrAccountNotFound, "create the account in Entra, or check the user principal name"},
		{ErrAccountDisabled, "enable the account in Entra"},
		{ErrNoMail, "give the account a mail address in Entra"},
		{ErrGlobalAdministrator, "take the role from the account, or use an ordinary account as the monitor"},
		{ErrWrongAccount, "open the URL in a private window and sign in as the monitor"},
		{ErrScopesMissing, "let an administrator of the tenant grant consent to the application's permissions, then authorize again"},
		{ErrStateUnknown, "begin the sign-in anew from the monitor's authorization URL"},
		{ErrStateUsed, "if the monitor is not authorized, begin the sign-in anew"},
		{ErrStateExpired, "begin the sign-in anew and finish it sooner"},
		{ErrUnreadableRecord, "open the store with the key that it was written with, or renew the monitor with a client secret and authorize it"},
		{ErrStoreInUse, "stop the other process"},
		{ErrWrongKey, "open the store with the key that it was written with, as the key or as a former one"},
		{ErrTampered, "restore the store from a backup, or delete the monitor and add it again"},
		{ErrStoreUnreadable, "restore the store from a backup, or begin a new one and add the monitors again"},
	} {
		if errors.Is(err, r.err) {
			return r.text
		}
	}
	return ""
}
