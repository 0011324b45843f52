package service

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// readMonitors reads the part of the section teams that is about monitors.
func (s *Settings) readMonitors(in *section) {
	if in.has("monitor") {
		in.fail("monitor", "this key is not used: write monitors, a list with principal_name and client_secret of each, with store and store_key beside it; "+
			"refresh tokens are kept in the store, so each monitor has to sign in once")
	}
	in.asked = append(in.asked, "monitor")
	m := &PoolSettings{
		StoreFile: in.file("store"), StoreKey: in.secret("store_key"), FormerKey: in.secret("former_store_key"), Encrypted: in.flag("encrypted_notifications"),
		Options: monitor.PoolOptions{
			AcceptApplication: in.flag("accept_application"),
			Spares:            in.count("spares"), SecretDescription: in.text("secret_description"), FeatureSecret: s.Teams.Secret,
		},
	}
	m.read(in.subs("monitors"))
	switch {
	case !in.has("monitors") && !in.has("store"):
		for _, name := range []string{"store_key", "former_store_key", "accept_application", "spares", "encrypted_notifications", "secret_description"} {
			if in.has(name) {
				in.fail(name, "there are no monitors that it could be for: give monitors and store, or remove it")
			}
		}
		return
	case m.StoreFile == "":
		in.fail("store", "is missing: name a file, such as monitors.db, in which the sign-ins of the monitors are kept")
	}
	s.Teams.Pool = m
	if !in.has("store_key") {
		in.fail("store_key", "is missing: the store holds secrets, and this key seals them: make one with openssl rand -base64 32, keep it apart from the store, and write {env: NAME} or {file: PATH}")
	} else if _, err := m.sealer(); err != nil && !m.StoreKey.IsZero() {
		in.fail("store_key", "%s", Plain(err))
	}
	if s.PublicURL == "" {
		in.fail("monitors", "monitors need public_url, where Microsoft Graph delivers its notifications: set public_url, or remove monitors and store")
	}
	if !s.Teams.Cloud.Notifications {
		in.doc.warn(in.line, in.path("monitors"), "this cloud has no presence notifications: the monitors stay idle and presence is read in bulk")
	}
}

// sealer seals what is secret in the store.
func (m *PoolSettings) sealer() (*monitor.Sealer, error) {
	opts := &monitor.SealerOptions{}
	if !m.FormerKey.IsZero() {
		opts.Former = []presence.Secret{m.FormerKey}
	}
	return monitor.NewSealer(m.StoreKey, opts)
}

func (m *PoolSettings) read(list []*section) {
	given := map[string]bool{}
	for _, in := range list {
		name := in.required("principal_name", "it is the user principal name of the presence monitor, an ordinary Entra account")
		switch key := presence.NormalizeEmail(name); {
		case name == "":
		case !strings.Contains(name, "@"):
			in.fail("principal_name", "%s is not a user principal name: write it like monitor@example.com", quote(name))
		case given[key]:
			in.fail("principal_name", "%s is in the list twice: one account holds one subscription, so use another", quote(name))
		default:
			given[key] = true
		}
		secret := in.requiredSecret("client_secret", "it is a client secret of the application that is this monitor's own: write {env: NAME} or {file: PATH} for its Value")
		in.close()
		m.Monitors = append(m.Monitors, MonitorSettings{PrincipalName: name, ClientSecret: secret})
	}
}

// subs returns the entries of a list whose entries have keys.
func (s *section) subs(name string) []*section {
	f, ok := s.take(name)
	if !ok {
		return nil
	}
	if f.node.Kind != yaml.SequenceNode {
		s.fail(name, "this must be a list: one entry a line, each after a dash")
		return nil
	}
	var entries []*section
	for _, item := range f.node.Content {
		if entry := s.doc.section(s.path(name), item); entry.present {
			entries = append(entries, entry)
		}
	}
	return entries
}
