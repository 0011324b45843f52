package main

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/presencebridge/presencebridge/monitor"
	"github.com/presencebridge/presencebridge/presence"
)

// monitorsSettings are the presence monitors and what keeps them.
type monitorsSettings struct {
	// monitors are those of the configuration. The store may know more.
	monitors []monitorSettings
	// storeFile is where the pool keeps what it must not forget, and storeKey
	// what seals the secrets in it; formerKey opens those of before.
	storeFile           string
	storeKey, formerKey presence.Secret
	// encrypted: notifications bring the presence itself, encrypted.
	encrypted bool
	// pool are the spares and, for the demonstration, the times.
	pool monitor.PoolOptions
}

type monitorSettings struct {
	principalName string
	clientSecret  presence.Secret
}

// readMonitors reads the part of the section teams that is about monitors.
func (s *settings) readMonitors(in *section) {
	if in.has("monitor") {
		in.fail("monitor", "this key is not used: write monitors, a list with principal_name and client_secret of each, with store and store_key beside it; "+
			"refresh tokens are kept in the store, so each monitor has to sign in once")
	}
	in.asked = append(in.asked, "monitor")
	m := &monitorsSettings{
		storeFile: in.file("store"), storeKey: in.secret("store_key"), formerKey: in.secret("former_store_key"), encrypted: in.flag("encrypted_notifications"),
		pool: monitor.PoolOptions{
			AcceptApplication: in.flag("accept_application"),
			Spares:            in.count("spares"), SecretDescription: in.text("secret_description"), FeatureSecret: s.teams.secret,
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
	case m.storeFile == "":
		in.fail("store", "is missing: name a file, such as monitors.db, in which the sign-ins of the monitors are kept")
	}
	s.teams.monitors = m
	if !in.has("store_key") {
		in.fail("store_key", "is missing: the store holds secrets, and this key seals them: make one with openssl rand -base64 32, keep it apart from the store, and write {env: NAME} or {file: PATH}")
	} else if _, err := m.sealer(); err != nil && !m.storeKey.IsZero() {
		in.fail("store_key", "%s", plain(err))
	}
	if s.publicURL == "" {
		in.fail("monitors", "monitors need public_url, where Microsoft Graph delivers its notifications: set public_url, or remove monitors and store")
	}
	if !s.teams.cloud.Notifications {
		in.doc.warn(in.line, in.path("monitors"), "this cloud has no presence notifications: the monitors stay idle and presence is read in bulk")
	}
}

// sealer seals what is secret in the store.
func (m *monitorsSettings) sealer() (*monitor.Sealer, error) {
	opts := &monitor.SealerOptions{}
	if !m.formerKey.IsZero() {
		opts.Former = []presence.Secret{m.formerKey}
	}
	return monitor.NewSealer(m.storeKey, opts)
}

func (m *monitorsSettings) read(list []*section) {
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
		m.monitors = append(m.monitors, monitorSettings{name, secret})
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
