package verify

// The codes of the checks of people.
const (
	CodeUsersMatched   Code = "users-matched"
	CodeUsersUnmatched Code = "users-unmatched"
	CodeUsersAmbiguous Code = "users-ambiguous"
	CodeUsersLeftOut   Code = "users-left-out"
	CodeUsersLimited   Code = "users-limited"
	CodeUsersWatched   Code = "users-watched"
)

const basisRoster = "the roster as the bridge read it last"

// peopleChecks are those of who is kept in step.
func peopleChecks() []Check {
	return []Check{
		{
			Code: CodeUsersMatched, Area: AreaPeople, Title: "Users are found on both sides", DependsOn: on(CodeConnectionDirectory), Severity: SeverityError,
			Meaning:       "Whether there is anybody whose CloudLink e-mail address is the user principal name or mail address of an Entra account.",
			Remedy:        "Enter the addresses of the Teams accounts as the e-mail addresses of the CloudLink users.",
			Administrator: CloudLinkAdministrator, Basis: basisRoster, run: checkUsersMatched,
		},
		{
			Code: CodeUsersUnmatched, Area: AreaPeople, Title: "Every CloudLink user has a Teams account", DependsOn: on(CodeUsersMatched), Severity: SeverityWarning,
			Meaning:       "Which CloudLink users have no e-mail address, or one that no Entra account has. They are not kept in step.",
			Remedy:        "Correct the e-mail address of each on one side. Leave those as they are who are not to be in step.",
			Administrator: CloudLinkAdministrator, Basis: basisRoster, run: checkUsersUnmatched,
		},
		{
			Code: CodeUsersAmbiguous, Area: AreaPeople, Title: "No address leads to two people", DependsOn: on(CodeUsersMatched), Severity: SeverityWarning,
			Meaning:       "Which entries share an address, so that it cannot be told who is who. None of them is kept in step: presence shown for the wrong person is worse than none.",
			Remedy:        "Give each person an address of their own, on both sides.",
			Administrator: CloudLinkAdministrator, Basis: basisRoster, run: checkUsersAmbiguous,
		},
		{
			Code: CodeUsersLeftOut, Area: AreaPeople, Title: "Nobody is left out for another reason", DependsOn: on(CodeUsersMatched), Severity: SeverityWarning,
			Meaning:       "Who is left out because an account is disabled, an entry cannot be read or has no id, or the telephone system supports neither direction.",
			Remedy:        "Do what the reason of each says.",
			Administrator: CloudLinkAdministrator, Basis: basisRoster, run: checkUsersLeftOut,
		},
		{
			Code: CodeUsersLimited, Area: AreaPeople, Title: "Everybody is in step in each direction", DependsOn: on(CodeUsersMatched), Severity: SeverityWarning,
			Meaning:       "Who is kept in step in one direction only, because there is no telephone or the telephone system does not support the other. Of a one-way bridge only the first direction counts.",
			Remedy:        "Give the user a telephone, or accept that the telephone system does not support it.",
			Administrator: CloudLinkAdministrator, Basis: basisRoster, run: checkUsersLimited,
		},
		{
			Code: CodeUsersWatched, Area: AreaPeople, Title: "Everybody is watched", DependsOn: on(CodeUsersMatched, CodeMonitorsSufficient, CodeMonitorSubscriptionUsers), Severity: SeverityWarning,
			Meaning:       "Whose Teams presence no subscription watches, though all monitors work. They are kept in step by reading, a minute or so late.",
			Remedy:        "Wait a minute and run the check again: the pool may be moving users. If it stays so, add a monitor.",
			Administrator: AzureAdministrator, Basis: "what the bridge knows of its watcher", applies: bidirectionalWithMonitors, run: checkUsersWatched,
		},
	}
}

func bidirectionalWithMonitors(f *facts) string {
	if why := bidirectional(f); why != "" {
		return why
	}
	return withMonitors(f)
}
