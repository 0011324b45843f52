package verify

import (
	"context"
	"slices"
	"time"
)

// Code names a check. Codes are stable: a later release adds some, and changes
// the meaning of none.
type Code string

// Severity says what it means that a check does not pass.
type Severity string

// The severities.
const (
	// SeverityError: presence is missing or wrong for somebody. A check of this
	// severity that does not pass has Failed, unless it says that it is not that bad.
	SeverityError Severity = "error"
	// SeverityWarning: what works now will stop, or is not as it should be. A check
	// of this severity that does not pass has Warned.
	SeverityWarning Severity = "warning"
)

// Administrator is who can set right what a check found.
type Administrator string

// The administrators.
const (
	// AzureAdministrator administers the tenant in Entra.
	AzureAdministrator Administrator = "Azure administrator"
	// CloudLinkAdministrator administers the account in Mitel Administration, with
	// its gateway and its users.
	CloudLinkAdministrator Administrator = "CloudLink administrator"
	// MiCollabAdministrator administers the MiCollab server.
	MiCollabAdministrator Administrator = "MiCollab administrator"
	// Operator runs the service that the bridge is part of.
	Operator Administrator = "operator of the service"
)

// Area is the part of the system that a check looks at. Reports are in its order.
type Area string

// The areas.
const (
	AreaEntra         Area = "Microsoft Entra"
	AreaCloudLink     Area = "Mitel CloudLink"
	AreaMiCollab      Area = "Mitel MiCollab"
	AreaMonitors      Area = "Presence monitors"
	AreaNotifications Area = "Notifications"
	AreaPeople        Area = "People"
	AreaService       Area = "The bridge itself"
	AreaReadiness     Area = "Readiness"
)

// SubjectKind says of what a check is made once each.
type SubjectKind string

// The kinds of subjects. A check without one is made once.
const (
	// PerMonitor: for each presence monitor, by user principal name.
	PerMonitor SubjectKind = "presence monitor"
	// PerApplicationPermission: for each application permission, by name.
	PerApplicationPermission SubjectKind = "application permission"
	// PerDelegatedPermission: for each delegated permission, by name.
	PerDelegatedPermission SubjectKind = "delegated permission"
)

// Dependency is a check without which another one would tell nothing new.
type Dependency struct {
	// Code is that of the check. Where both are made per subject of the same kind,
	// it is the one of the same subject; otherwise all of that code.
	Code Code `json:"code"`
	// Subject, if not empty, makes it the check of that subject alone.
	Subject string `json:"subject,omitempty"`
	// Strict: a warning is too little as well.
	Strict bool `json:"strict,omitempty"`
}

// Check is one check as it is documented. [Checks] lists all of them.
type Check struct {
	// Code is its stable name.
	Code Code `json:"code"`
	// Area is the part of the system.
	Area Area `json:"area"`
	// Title says what is so if it passes.
	Title string `json:"title"`
	// Per is of what it is made once each; empty: it is made once.
	Per SubjectKind `json:"per,omitempty"`
	// DependsOn are the checks that must not have failed. If one has, this one is
	// skipped: it would only repeat what is known.
	DependsOn []Dependency `json:"dependsOn,omitempty"`
	// Severity is what it means that it does not pass.
	Severity Severity `json:"severity"`
	// Meaning says what is looked at, and why it matters.
	Meaning string `json:"meaning"`
	// Remedy says what to do when it does not pass. A result has a more precise one
	// where that is possible.
	Remedy string `json:"remedy"`
	// Administrator is who does it, as a rule. A result may name another one.
	Administrator Administrator `json:"administrator"`
	// Basis is what it rests on: what is asked now, what the bridge knows, or what
	// somebody has entered.
	Basis string `json:"basis"`

	// bound, if set, is how long it may take, in place of [SystemOptions].Timeout.
	bound func(*SystemOptions) time.Duration
	// cleanUp is how much longer it may take when its time is over, to take back
	// what it has set.
	cleanUp time.Duration
	// applies, if set, returns why there is nothing to check; empty if there is.
	applies func(*facts) string
	// run makes the check. It is called concurrently with others, after what it
	// depends on, and gives up soon after ctx ends.
	run func(ctx context.Context, f *facts, subject string) finding
}

// finding is what a check has found, before it is part of a [Result].
type finding struct {
	Status        Status
	Sentence      string
	Remedy        string
	Administrator Administrator
	Basis         string
	Evidence      []Evidence
	// Names are all whom or what the sentence is about, where it names only some.
	Names []string
	// Lacks is what an upgrade still lacks: of [CodeUpgrade] alone.
	Lacks []Lack
}

// passed is the outcome of a check that found everything in order.
func passed(evidence ...Evidence) finding { return finding{Status: Passed, Evidence: evidence} }

// failed says what is wrong. An empty remedy is that of the check.
func failed(sentence, remedy string, evidence ...Evidence) finding {
	return finding{Status: Failed, Sentence: sentence, Remedy: remedy, Evidence: evidence}
}

// warned says what is not as it should be, though it is not as bad as the check's
// severity has it.
func warned(sentence, remedy string, evidence ...Evidence) finding {
	return finding{Status: Warned, Sentence: sentence, Remedy: remedy, Evidence: evidence}
}

// notApplicable says why there is nothing to check.
func notApplicable(sentence string, evidence ...Evidence) finding {
	return finding{Status: NotApplicable, Sentence: sentence, Evidence: evidence}
}

// by names the one who can set it right, where it is not the check's.
func (o finding) by(a Administrator) finding {
	o.Administrator = a
	return o
}

// on names what the outcome rests on, where it is not the check's.
func (o finding) on(basis string) finding {
	if basis != "" {
		o.Basis = basis
	}
	return o
}

// naming adds all whom or what the sentence is about.
func (o finding) naming(list []string) finding {
	o.Names = list
	return o
}

// on returns dependencies on whole checks.
func on(codes ...Code) []Dependency {
	deps := make([]Dependency, len(codes))
	for i, code := range codes {
		deps[i] = Dependency{Code: code}
	}
	return deps
}

// strictly returns dependencies for which a warning is too little.
func strictly(codes ...Code) []Dependency {
	deps := on(codes...)
	for i := range deps {
		deps[i].Strict = true
	}
	return deps
}

// Checks returns all checks, in the order of reports. What a check depends on
// may come later in it.
func Checks() []Check {
	return slices.Concat(
		entraChecks(), permissionChecks(), registrationChecks(),
		cloudLinkChecks(), gatewayChecks(), miCollabChecks(),
		poolChecks(), monitorChecks(), subscriptionChecks(),
		notificationChecks(), peopleChecks(), serviceChecks(),
		readinessChecks(), probeChecks(),
	)
}
