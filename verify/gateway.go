package verify

import (
	"context"
	"errors"
	"fmt"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/presence"
)

// untold is the outcome where a fact that no published interface tells is not
// known: source is the field of [SystemSources] that would tell it.
func untold(err error, what, source string) finding {
	if errors.Is(err, errNotTold) {
		return warned("Nobody has told "+what+".", "Enter it in the configuration of the service, or fill SystemSources."+source+".").by(Operator)
	}
	return warned("It is not known "+what+": the question fails.", "Look at the error of SystemSources."+source+".", ofError(err)).by(Operator)
}

// toldBy is what an outcome rests on; empty, which is what the table has, where
// nobody says.
func toldBy(source string) string {
	if source == "" {
		return ""
	}
	return "told by " + source + ": no published interface tells it"
}

func checkGatewayIntegration(_ context.Context, f *facts, _ string) finding {
	gateway, err := f.gateway()
	switch {
	case err != nil:
		return untold(err, "whether the gateway integration is enabled", "Gateway")
	case !gateway.Integration:
		return failed("The CloudLink gateway integration is not enabled.", "", Evidence{"source", gateway.Source}).on(toldBy(gateway.Source))
	default:
		return passed(Evidence{"gateway integration", "enabled"}, Evidence{"source", gateway.Source}).on(toldBy(gateway.Source))
	}
}

func checkGatewayPBX(_ context.Context, f *facts, _ string) finding {
	const what = "which telephone systems are connected"
	gateway, err := f.gateway()
	if err != nil {
		return untold(err, what, "Gateway")
	}
	if len(gateway.PBX) == 0 {
		return untold(errNotTold, what, "Gateway").on(toldBy(gateway.Source))
	}
	var (
		evidence                  []Evidence
		withoutLine, withoutTeams []string
	)
	for _, pbx := range gateway.PBX {
		can := f.capability(pbx)
		evidence = append(evidence, Evidence{string(pbx), capabilityWords(can)})
		if !can.LineToTeams {
			withoutLine = append(withoutLine, string(pbx))
		}
		if !can.TeamsToMiCollab {
			withoutTeams = append(withoutTeams, string(pbx))
		}
	}
	if f.direction != presencebridge.Bidirectional {
		withoutTeams = nil
	}
	var o finding
	switch all := len(gateway.PBX); {
	case len(withoutLine) == all:
		o = failed(fmt.Sprintf("No connected telephone system shows its line state in Teams: %s.", names(withoutLine)), "", evidence...)
	case len(withoutTeams) == all:
		o = failed(fmt.Sprintf("No connected telephone system takes Teams presence: %s.", names(withoutTeams)), "", evidence...)
	case len(withoutLine) > 0 && len(withoutTeams) > 0:
		o = warned(fmt.Sprintf("Some connected telephone systems do not show their line state in Teams: %s; or do not take Teams presence: %s.", names(withoutLine), names(withoutTeams)), "", evidence...)
	case len(withoutLine) > 0:
		o = warned(fmt.Sprintf("Some connected telephone systems do not show their line state in Teams: %s.", names(withoutLine)), "", evidence...)
	case len(withoutTeams) > 0:
		o = warned(fmt.Sprintf("Some connected telephone systems do not take Teams presence: %s.", names(withoutTeams)), "", evidence...)
	default:
		o = passed(evidence...)
	}
	return o.on(toldBy(gateway.Source))
}

// capability returns what a telephone system supports, however its name is
// written.
func (f *facts) capability(pbx presence.PBX) presence.Capability {
	if can, ok := f.settings.Capabilities[pbx]; ok {
		return can
	}
	return f.settings.Capabilities[presence.ParsePBX(string(pbx))]
}

func capabilityWords(can presence.Capability) string {
	switch {
	case can.LineToTeams && can.TeamsToMiCollab:
		return "both directions"
	case can.LineToTeams:
		return "line state to Teams only"
	case can.TeamsToMiCollab:
		return "Teams presence to MiCollab only"
	default:
		return "not supported"
	}
}
