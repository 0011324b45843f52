package main

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"regexp"
	"slices"
	"strings"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/micollab"
	"github.com/presencebridge/presencebridge/presence"
)

// settings are everything that a bridge is assembled from. They come from a
// file, see [load], or from the demonstration.
type settings struct {
	// listen is where Microsoft Graph and CloudLink are served, and publicURL
	// how they reach it; empty: no notifications.
	listen    string
	publicURL string
	// status is where the status page is served; empty: nowhere.
	status string
	// listener and statusListener, if set, are served in place of listen and status.
	listener, statusListener net.Listener

	logLevel slog.Level
	// roots are the authorities that are trusted besides the system's.
	roots *x509.CertPool

	teams     teamsSettings
	cloudlink cloudLinkSettings
	// micollab is nil for a bridge that is one-way for good.
	micollab *micollabSettings
	// groups are the mapping groups of a person, by e-mail address.
	groups map[string][]string
	// bridge are name, direction, mapping and times.
	bridge presencebridge.Options
}

type teamsSettings struct {
	cloud              graph.Cloud
	tenantID, clientID string
	secret             presence.Secret
	certificate        *x509.Certificate
	key                crypto.Signer
	monitors           *monitorsSettings // nil: no notifications of Teams
}

type cloudLinkSettings struct {
	region             cloudlink.Region
	baseURL            func(service string) string // nil: the region's
	accountID          string
	clientID, username string
	secret             presence.Secret
	requestsPerSecond  float64
	pbx                presence.PBX
	sites              map[string]presence.PBX
	capabilities       presence.Capabilities
}

type micollabSettings struct {
	server micollab.Server
	names  map[presence.Status]string
}

// load reads a configuration file. It returns everything that is wrong with it
// at once, and what is doubtful besides.
func load(file string, text []byte, lookup func(string) (string, bool)) (*settings, []*mistake, error) {
	doc := &document{file: file, lookup: lookup}
	s := readSettings(doc.root(text))
	if err := doc.err(); err != nil {
		return nil, doc.warnings, err
	}
	return s, doc.warnings, nil
}

func readSettings(top *section) *settings {
	s := &settings{}
	if !top.present {
		return s
	}
	s.bridge.Name = top.text("name")
	_ = s.bridge.Direction.UnmarshalText([]byte(top.choice("direction", "one-way", "bidirectional", "off")))
	s.bridge.DryRun = top.flag("dry_run")
	_ = s.logLevel.UnmarshalText([]byte(top.choice("log_level", "info", "debug", "warn", "error")))
	s.publicURL = top.url("public_url")
	s.listen = top.address("listen")
	if s.publicURL != "" && s.listen == "" {
		top.fail("listen", "is missing: public_url must lead to an address where the bridge listens, such as 127.0.0.1:8080 behind a proxy")
	}
	if s.publicURL == "" {
		top.doc.warn(top.line, "public_url", "there is none, so nothing can notify the bridge: changes are seen only every options.reconcile_interval")
	}
	s.status = top.address("status")
	if host, _, err := net.SplitHostPort(s.status); err == nil && !loopback(host) {
		top.fail("status", "%s is not an address of this machine alone, and the status page names people: use 127.0.0.1", quote(s.status))
	} else if sameAddress(s.listen, s.status) {
		top.fail("status", "%s is where the bridge listens already: use another port", quote(s.status))
	}
	if authorities := top.contents("ca_file"); authorities != nil {
		s.roots, _ = x509.SystemCertPool()
		if s.roots == nil {
			s.roots = x509.NewCertPool()
		}
		if !s.roots.AppendCertsFromPEM(authorities) {
			top.fail("ca_file", "there is no certificate in this file: it must hold PEM blocks that begin with BEGIN CERTIFICATE")
		}
	}
	s.readTeams(top, top.sub("teams"))
	s.readCloudLink(top, top.sub("cloudlink"))
	s.readMiCollab(top, top.sub("micollab"))
	s.readMapping(top.sub("mapping"))
	s.readOptions(top.sub("options"))
	top.close()
	return s
}

// guid is the form of the ids that Entra gives.
var guid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

func (s *settings) readTeams(top, in *section) {
	if !in.present {
		absent(top, "teams", "it says how the bridge reaches Microsoft Graph")
		return
	}
	t := &s.teams
	t.cloud = map[string]graph.Cloud{
		"global": graph.Global(), "gcc-high": graph.USGovernment(), "dod": graph.USGovernmentDoD(),
	}[in.choice("cloud", "global", "gcc-high", "dod")]
	login, graphURL := in.url("login_url"), in.url("graph_url")
	switch {
	case login != "" && graphURL != "":
		t.cloud = graph.Cloud{Name: "configured", LoginURL: login, GraphURL: graphURL, Notifications: t.cloud.Notifications}
	case login != "":
		in.fail("login_url", "graph_url is missing: give both or neither")
	case graphURL != "":
		in.fail("graph_url", "login_url is missing: give both or neither")
	}
	t.tenantID = in.required("tenant_id", "copy the Directory (tenant) ID from the application's overview in Entra")
	if t.tenantID != "" && !guid.MatchString(t.tenantID) && !strings.Contains(t.tenantID, ".") {
		in.fail("tenant_id", "%s is neither a GUID nor a domain of the tenant: copy the Directory (tenant) ID from Entra", quote(t.tenantID))
	}
	t.clientID = in.required("client_id", "copy the Application (client) ID from the application's overview in Entra")
	if t.clientID != "" && !guid.MatchString(t.clientID) {
		in.fail("client_id", "%s is not a GUID: copy the Application (client) ID from Entra", quote(t.clientID))
	}
	switch {
	case in.has("secret") && in.has("certificate"):
		in.fail("certificate", "there is a secret too: the application proves itself by one of them")
	case !in.has("secret") && !in.has("certificate"):
		in.fail("secret", "is missing: write {env: NAME} or {file: PATH} for the client secret's Value, or give a certificate")
	}
	t.secret = in.secret("secret")
	t.certificate, t.key = readCertificate(in.sub("certificate"))
	s.readMonitors(in)
	in.close()
}

func absent(top *section, name, reason string) {
	if !top.has(name) {
		top.fail(name, "this section is missing: %s; see bridge.sample.yaml", reason)
	}
}

func readCertificate(in *section) (*x509.Certificate, crypto.Signer) {
	if !in.present {
		return nil, nil
	}
	in.required("file", "name the PEM file of the certificate that is registered with the application")
	in.required("key_file", "name the PEM file of the certificate's private key")
	certificate, key := in.contents("file"), in.contents("key_file")
	in.close()
	if certificate == nil || key == nil {
		return nil, nil
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		// The text of the error is left out, because it may speak of the key.
		in.fail("file", "certificate and key do not belong together, or one of them is not PEM: export both anew")
		return nil, nil
	}
	signer, _ := pair.PrivateKey.(crypto.Signer)
	if pair.Leaf == nil {
		pair.Leaf, _ = x509.ParseCertificate(pair.Certificate[0])
	}
	return pair.Leaf, signer
}

func (s *settings) readCloudLink(top, in *section) {
	if !in.present {
		absent(top, "cloudlink", "it says how the bridge reaches Mitel CloudLink")
		return
	}
	c := &s.cloudlink
	c.region = cloudlink.Region(in.text("region"))
	base := in.url("base_url")
	services := in.sub("services")
	overrides := map[string]string{}
	for _, service := range services.names() {
		known := []string{cloudlink.ServiceAuthentication, cloudlink.ServiceAdmin, cloudlink.ServiceMedia, cloudlink.ServiceNotifications, cloudlink.ServicePresence}
		if !slices.Contains(known, service) {
			services.fail(service, "there is no such service%s", orList(suggest(service, known), known))
		}
		overrides[service] = services.url(service)
	}
	platform := cloudlink.Platform{Region: c.region}
	if base != "" || len(overrides) > 0 {
		c.baseURL = func(service string) string {
			switch {
			case overrides[service] != "":
				return overrides[service]
			case base != "":
				return base + "/" + service + "/2017-09-01"
			default:
				return platform.URL(service)
			}
		}
	}
	if !regionForm.MatchString(string(c.region)) {
		in.fail("region", "%s is not a region: use us, eu or ap, or leave it out", quote(string(c.region)))
	}
	c.accountID = in.required("account_id", "Mitel Administration shows it on the account page")
	if c.accountID != "" && !accountForm.MatchString(c.accountID) {
		in.fail("account_id", "%s is not an account id: copy it from the account page of Mitel Administration", quote(c.accountID))
	}
	credential := in.sub("credential")
	if !credential.present && !in.has("credential") {
		in.fail("credential", "is missing: give client_id and secret, which Mitel recommends for a service, or username and password")
	}
	if credential.present {
		c.readCredential(credential)
	}
	c.requestsPerSecond = in.number("requests_per_second")
	c.readPBX(in.sub("pbx"))
	in.close()
}

var (
	regionForm  = regexp.MustCompile(`^([a-z0-9-]+(\.[a-z0-9-]+)*)?$`)
	accountForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
)

func orList(hint string, known []string) string {
	if hint != "" {
		return hint
	}
	return ": use " + strings.Join(known, ", ")
}

func (c *cloudLinkSettings) readCredential(in *section) {
	switch {
	case in.has("client_id") || in.has("secret"):
		c.clientID = in.required("client_id", "it is the id of the client that was made for this account")
		c.secret = in.requiredSecret("secret", "write {env: NAME} or {file: PATH}")
		if in.has("username") || in.has("password") {
			in.fail("username", "there is a client_id too: use one or the other")
			in.asked = append(in.asked, "username", "password")
		}
	case in.has("username") || in.has("password"):
		c.username = in.required("username", "it is the e-mail address of a CloudLink user with the role ACCOUNT_ADMIN")
		c.secret = in.requiredSecret("password", "write {env: NAME} or {file: PATH}")
	default:
		in.fail("client_id", "is missing: give client_id and secret, or username and password")
	}
	in.asked = append(in.asked, "client_id", "secret", "username", "password")
	in.close()
}

func (c *cloudLinkSettings) readPBX(in *section) {
	c.capabilities = presence.DefaultCapabilities()
	c.pbx = presence.MiVoiceBusiness
	if in.flag("extended") {
		c.capabilities = presence.ExtendedCapabilities()
	}
	system := func(s *section, name string) presence.PBX {
		pbx := presence.ParsePBX(s.text(name))
		if _, known := c.capabilities[pbx]; !known && pbx != "" {
			var names []string
			for _, p := range []presence.PBX{presence.MiVoiceBusiness, presence.MXONE, presence.MiVoice5000, presence.MiVoiceOffice400} {
				names = append(names, string(p))
			}
			s.fail(name, "%s is not a telephone system%s", quote(string(pbx)), orList(suggest(string(pbx), names), names))
		}
		return pbx
	}
	if in.has("default") {
		c.pbx = system(in, "default")
	}
	in.asked = append(in.asked, "default")
	sites := in.sub("sites")
	c.sites = make(map[string]presence.PBX, len(sites.fields))
	for _, id := range sites.names() {
		c.sites[id] = system(sites, id)
	}
	in.close()
}

func (s *settings) readMiCollab(top, in *section) {
	if !in.present {
		if s.bridge.Direction == presencebridge.Bidirectional {
			absent(top, "micollab", "direction is bidirectional")
		}
		return
	}
	m := &micollabSettings{names: map[presence.Status]string{}}
	s.micollab = m
	m.server = micollab.Server{
		Address:          in.text("address"),
		TeamsIntegration: in.flag("teams_integration"), CloudLinkIntegration: in.flag("cloudlink_integration"), PasswordSet: in.flag("password_set"),
	}
	if version := in.text("version"); version != "" {
		var err error
		if m.server.Version, err = micollab.ParseVersion(version); err != nil {
			in.fail("version", "%s", plain(err))
		}
	}
	names := in.sub("names")
	for _, status := range names.names() {
		m.names[presence.Status(status)] = names.text(status)
	}
	in.close()
	for _, err := range unjoin(m.server.Ready()) {
		var condition *micollab.ConditionError
		if errors.As(err, &condition) {
			if key := conditionKey(condition.Condition); !in.doc.failed(in.path(key)) {
				in.fail(key, "%s", plain(err))
			}
		}
	}
	if _, err := micollab.NewClient(noDriver{}, ready(), &micollab.Options{Names: m.names}); err != nil {
		for _, err := range unjoin(err) {
			names.fail("", "%s", plain(err))
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

// unjoin returns the errors that errors.Join put together.
func unjoin(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// plain is an error's text without the package that it comes from, which means
// nothing to whoever writes a configuration file.
func plain(err error) string {
	text := err.Error()
	for _, prefix := range []string{"micollab: ", "presence: ", "presencebridge: ", "graph: ", "cloudlink: ", "monitor: ", "entra: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return text
}

func (s *settings) readOptions(in *section) {
	o := &s.bridge
	o.SessionLifetime = in.duration("session_lifetime")
	if shortest, longest := graph.MinSessionLifetime, graph.MaxSessionLifetime; o.SessionLifetime != 0 && (o.SessionLifetime < shortest || o.SessionLifetime > longest) {
		in.fail("session_lifetime", "%v is outside of what Teams allows: use %v to %v", o.SessionLifetime, shortest, longest)
	}
	o.KeepSessionsOnStop = in.flag("keep_sessions_on_stop")
	o.StopTimeout = in.duration("stop_timeout")
	o.EchoWindow = in.duration("echo_window")
	o.ReconcileInterval = in.duration("reconcile_interval")
	o.MaxReconcileInterval = in.duration("max_reconcile_interval")
	if o.MaxReconcileInterval != 0 && o.MaxReconcileInterval < o.ReconcileInterval {
		in.fail("max_reconcile_interval", "%v is below reconcile_interval: use at least %v", o.MaxReconcileInterval, o.ReconcileInterval)
	}
	o.MissedAfter = in.duration("missed_after")
	o.DirectoryInterval = in.duration("directory_interval")
	o.Workers = in.count("workers")
	o.RequestTimeout = in.duration("request_timeout")
	o.MaxBackoff = in.duration("max_backoff")
	damping := in.sub("damping")
	o.Damping = presencebridge.Damping{
		Changes: damping.count("changes"), Window: damping.duration("window"), Settle: damping.duration("settle"),
		MaxHold: damping.duration("max_hold"), Disabled: damping.flag("disabled"),
	}
	if o.Damping.Changes > 8 {
		damping.fail("changes", "%d is too many: use at most 8", o.Damping.Changes)
	}
	damping.close()
	in.close()
}
