package service

import (
	"errors"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/micollab"
	"github.com/presencebridge/presencebridge/presence"
)

func (s *Settings) readMiCollab(top, in *section) {
	if !in.present {
		if s.Bridge.Direction == presencebridge.Bidirectional {
			absent(top, "micollab", "direction is bidirectional")
		}
		return
	}
	m := &MiCollabSettings{Names: map[presence.Status]string{}}
	s.MiCollab = m
	m.Server = micollab.Server{
		Address:          in.text("address"),
		TeamsIntegration: in.flag("teams_integration"), CloudLinkIntegration: in.flag("cloudlink_integration"), PasswordSet: in.flag("password_set"),
	}
	if version := in.text("version"); version != "" {
		var err error
		if m.Server.Version, err = micollab.ParseVersion(version); err != nil {
			in.fail("version", "%s", Plain(err))
		}
	}
	names := in.sub("names")
	for _, status := range names.names() {
		m.Names[presence.Status(status)] = names.text(status)
	}
	in.close()
	for _, err := range Unjoin(m.Server.Ready()) {
		var condition *micollab.ConditionError
		if errors.As(err, &condition) {
			if key := conditionKey(condition.Condition); !in.doc.failed(in.path(key)) {
				in.fail(key, "%s", Plain(err))
			}
		}
	}
	if _, err := micollab.NewClient(noDriver{}, ready(), &micollab.Options{Names: m.Names}); err != nil {
		for _, err := range Unjoin(err) {
			names.fail("", "%s", Plain(err))
		}
	}
}

// noDriver and ready let NewClient judge the names alone.
type noDriver struct{ micollab.Driver }

func ready() micollab.Server {
	return micollab.Server{Address: "192.0.2.1", Version: micollab.Minimum(), TeamsIntegration: true, CloudLinkIntegration: true, PasswordSet: true}
}

func conditionKey(condition error) string {
	for key, conditions := range map[string][]error{
		"address":               {micollab.ErrAddressMissing, micollab.ErrAddressInvalid},
		"version":               {micollab.ErrVersionMissing, micollab.ErrVersionTooOld},
		"password_set":          {micollab.ErrPasswordMissing},
		"teams_integration":     {micollab.ErrTeamsIntegrationOff},
		"cloudlink_integration": {micollab.ErrCloudLinkIntegrationOff},
	} {
		for _, c := range conditions {
			if errors.Is(condition, c) {
				return key
			}
		}
	}
	return ""
}
