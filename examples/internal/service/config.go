package service

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"net"
	"regexp"
	"slices"
	"strings"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/presence"
)

func readSettings(top *section) *Settings {
	s := &Settings{}
	if !top.present {
		return s
	}
	s.Bridge.Name = top.text("name")
	_ = s.Bridge.Direction.UnmarshalText([]byte(top.choice("direction", "one-way", "bidirectional", "off")))
	s.Bridge.DryRun = top.flag("dry_run")
	_ = s.LogLevel.UnmarshalText([]byte(top.choice("log_level", "info", "debug", "warn", "error")))
	s.PublicURL = top.url("public_url")
	s.Listen = top.address("listen")
	if s.PublicURL != "" && s.Listen == "" {
		top.fail("listen", "is missing: public_url must lead to an address where the bridge listens, such as 127.0.0.1:8080 behind a proxy")
	}
	if s.PublicURL == "" {
		top.doc.warn(top.line, "public_url", "there is none, so nothing can notify the bridge: changes are seen only every options.reconcile_interval")
	}
	s.Status = top.address("status")
	if host, _, err := net.SplitHostPort(s.Status); err == nil && !loopback(host) {
		top.fail("status", "%s is not an address of this machine alone, and the status page names people: use 127.0.0.1", quote(s.Status))
	} else if sameAddress(s.Listen, s.Status) {
		top.fail("status", "%s is where the bridge listens already: use another port", quote(s.Status))
	}
	if authorities := top.contents("ca_file"); authorities != nil {
		s.Roots, _ = x509.SystemCertPool()
		if s.Roots == nil {
			s.Roots = x509.NewCertPool()
		}
		if !s.Roots.AppendCertsFromPEM(authorities) {
			top.fail("ca_file", "there is no certificate in this file: it must hold PEM blocks that begin with BEGIN CERTIFICATE")
		}
	}
	s.readTeams(top, top.sub("teams"))
	s.readCloudLink(top, top.sub("cloudlink"))
	s.readMiCollab(top, top.sub("micollab"))
	s.readMapping(top.sub("mapping"))
	s.readOptions(top.sub("options"))
	s.readVerify(top.sub("verify"))
	top.close()
	return s
}

// guid is the form of the ids that Entra gives.
var guid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

func (s *Settings) readTeams(top, in *section) {
	if !in.present {
		absent(top, "teams", "it says how the bridge reaches Microsoft Graph")
		return
	}
	t := &s.Teams
	t.Cloud = map[string]graph.Cloud{
		"global": graph.Global(), "gcc-high": graph.USGovernment(), "dod": graph.USGovernmentDoD(),
	}[in.choice("cloud", "global", "gcc-high", "dod")]
	login, graphURL := in.url("login_url"), in.url("graph_url")
	switch {
	case login != "" && graphURL != "":
		t.Cloud = graph.Cloud{Name: "configured", LoginURL: login, GraphURL: graphURL, Notifications: t.Cloud.Notifications}
	case login != "":
		in.fail("login_url", "graph_url is missing: give both or neither")
	case graphURL != "":
		in.fail("graph_url", "login_url is missing: give both or neither")
	}
	t.TenantID = in.required("tenant_id", "copy the Directory (tenant) ID from the application's overview in Entra")
	if t.TenantID != "" && !guid.MatchString(t.TenantID) && !strings.Contains(t.TenantID, ".") {
		in.fail("tenant_id", "%s is neither a GUID nor a domain of the tenant: copy the Directory (tenant) ID from Entra", quote(t.TenantID))
	}
	t.ClientID = in.required("client_id", "copy the Application (client) ID from the application's overview in Entra")
	if t.ClientID != "" && !guid.MatchString(t.ClientID) {
		in.fail("client_id", "%s is not a GUID: copy the Application (client) ID from Entra", quote(t.ClientID))
	}
	switch {
	case in.has("secret") && in.has("certificate"):
		in.fail("certificate", "there is a secret too: the application proves itself by one of them")
	case !in.has("secret") && !in.has("certificate"):
		in.fail("secret", "is missing: write {env: NAME} or {file: PATH} for the client secret's Value, or give a certificate")
	}
	t.Secret = in.secret("secret")
	t.Certificate, t.Key = readCertificate(in.sub("certificate"))
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

func (s *Settings) readCloudLink(top, in *section) {
	if !in.present {
		absent(top, "cloudlink", "it says how the bridge reaches Mitel CloudLink")
		return
	}
	c := &s.CloudLink
	c.Region = cloudlink.Region(in.text("region"))
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
	platform := cloudlink.Platform{Region: c.Region}
	if base != "" || len(overrides) > 0 {
		c.BaseURL = func(service string) string {
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
	if !regionForm.MatchString(string(c.Region)) {
		in.fail("region", "%s is not a region: use us, eu or ap, or leave it out", quote(string(c.Region)))
	}
	c.AccountID = in.required("account_id", "Mitel Administration shows it on the account page")
	if c.AccountID != "" && !accountForm.MatchString(c.AccountID) {
		in.fail("account_id", "%s is not an account id: copy it from the account page of Mitel Administration", quote(c.AccountID))
	}
	credential := in.sub("credential")
	if !credential.present && !in.has("credential") {
		in.fail("credential", "is missing: give client_id and secret, which Mitel recommends for a service, or username and password")
	}
	if credential.present {
		c.readCredential(credential)
	}
	c.RequestsPerSecond = in.number("requests_per_second")
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

func (c *CloudLinkSettings) readCredential(in *section) {
	switch {
	case in.has("client_id") || in.has("secret"):
		c.ClientID = in.required("client_id", "it is the id of the client that was made for this account")
		c.Secret = in.requiredSecret("secret", "write {env: NAME} or {file: PATH}")
		if in.has("username") || in.has("password") {
			in.fail("username", "there is a client_id too: use one or the other")
			in.asked = append(in.asked, "username", "password")
		}
	case in.has("username") || in.has("password"):
		c.Username = in.required("username", "it is the e-mail address of a CloudLink user with the role ACCOUNT_ADMIN")
		c.Secret = in.requiredSecret("password", "write {env: NAME} or {file: PATH}")
	default:
		in.fail("client_id", "is missing: give client_id and secret, or username and password")
	}
	in.asked = append(in.asked, "client_id", "secret", "username", "password")
	in.close()
}

func (c *CloudLinkSettings) readPBX(in *section) {
	c.Capabilities = presence.DefaultCapabilities()
	c.PBX = presence.MiVoiceBusiness
	if in.flag("extended") {
		c.Capabilities = presence.ExtendedCapabilities()
	}
	system := func(s *section, name string) presence.PBX {
		pbx := presence.ParsePBX(s.text(name))
		if !c.knows(pbx) && pbx != "" {
			s.fail(name, "%s is not a telephone system%s", quote(string(pbx)), orList(suggest(string(pbx), systemNames()), systemNames()))
		}
		return pbx
	}
	if in.has("default") {
		c.PBX = system(in, "default")
	}
	in.asked = append(in.asked, "default")
	sites := in.sub("sites")
	c.Sites = make(map[string]presence.PBX, len(sites.fields))
	for _, id := range sites.names() {
		c.Sites[id] = system(sites, id)
	}
	in.close()
}

func (s *Settings) readOptions(in *section) {
	o := &s.Bridge
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
