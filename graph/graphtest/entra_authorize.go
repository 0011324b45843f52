package graphtest

import (
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// maxListedUsers bounds the list of accounts on the sign-in page; the others
// are typed in.
const maxListedUsers = 50

// authorization is an authorization request (RFC 6749, section 4.1.1).
type authorization struct {
	clientID, redirectURI, responseMode, state, nonce string
	challenge, challengeMethod                        string
	loginHint, prompt                                 string
	scopes                                            []string
	audience                                          string
}

// parseAuthorization reads an authorization request. A fault is shown on a
// page; a denial is sent to the redirect URI, which is known to be right then.
func (s *Server) parseAuthorization(tenant string, q url.Values) (a *application, request authorization, denial, fault *entraFault) {
	request = authorization{
		clientID: q.Get("client_id"), redirectURI: q.Get("redirect_uri"), responseMode: q.Get("response_mode"), state: q.Get("state"),
		nonce: q.Get("nonce"), challenge: q.Get("code_challenge"), challengeMethod: q.Get("code_challenge_method"),
		loginHint: q.Get("login_hint"), prompt: q.Get("prompt"),
	}
	if fault := s.checkTenant(tenant, true); fault != nil {
		return nil, request, nil, fault
	}
	if a, fault = s.checkApplication(request.clientID); fault != nil {
		return nil, request, nil, fault
	}
	if a.platform(request.redirectURI) == platformNone {
		return nil, request, nil, refuse(http.StatusBadRequest, "invalid_request", aadstsRedirectMismatch,
			"The redirect URI '%s' specified in the request does not match the redirect URIs configured for the application '%s'.", request.redirectURI, request.clientID)
	}
	bad := func(oauth string, code int, format string, args ...any) *entraFault {
		return refuse(http.StatusFound, oauth, code, format, args...)
	}
	switch request.responseMode {
	case "":
		request.responseMode = "query"
	case "query", "form_post":
	default:
		return a, request, bad("invalid_request", 70007, "The response_mode '%s' is not supported for this request.", request.responseMode), nil
	}
	if q.Get("response_type") != "code" {
		return a, request, bad("unsupported_response_type", aadstsResponseType, "The response_type '%s' is not enabled for the application.", q.Get("response_type")), nil
	}
	switch request.challengeMethod {
	case "", "plain", "S256":
	default:
		return a, request, bad("invalid_request", 501481, "The code_challenge_method '%s' is not supported.", request.challengeMethod), nil
	}
	wanted, f := s.parseScopes(q.Get("scope"))
	if f != nil {
		f.status = http.StatusFound
		return a, request, f, nil
	}
	request.scopes, request.audience = wanted.names, wanted.audience
	if request.prompt == "none" {
		// Nobody is ever signed in to the double's browser session.
		return a, request, bad("login_required", aadstsSilentSignIn, "Session information is not sufficient for single-sign-on."), nil
	}
	granted, missing := a.consented("", nil, wanted.names)
	if len(granted) == 0 || len(missing) > 0 {
		if slices.ContainsFunc(missing, func(name string) bool { p, _ := findPermission(name); return p.adminOnly }) && !a.ConsentPending {
			return a, request, bad("access_denied", aadstsAdminConsentRequired, "An administrator of %s must grant consent to the permissions that the application requests.", s.domain), nil
		}
		return a, request, bad("consent_required", aadstsConsentMissing,
			"The user or administrator has not consented to use the application with ID '%s' named '%s'.", a.ClientID, a.Name), nil
	}
	return a, request, nil, nil
}

// sameRedirect compares reply addresses as Entra does: exactly, but for the
// port of a loopback address.
func sameRedirect(registered, asked string) bool {
	if registered == asked {
		return true
	}
	a, errA := url.Parse(registered)
	b, errB := url.Parse(asked)
	if errA != nil || errB != nil || a.Hostname() != b.Hostname() || a.Hostname() != "localhost" && a.Hostname() != "127.0.0.1" {
		return false
	}
	a.Host, b.Host = a.Hostname(), b.Hostname()
	return a.String() == b.String()
}

func (s *Server) serveAuthorize(w http.ResponseWriter, r *http.Request, tenant string) {
	a, request, denial, fault := s.parseAuthorization(tenant, r.URL.Query())
	switch {
	case fault != nil:
		s.renderFault(w, r, fault)
	case denial != nil:
		s.respond(w, r, request.responseMode, request.redirectURI, s.denied(r, denial, request.state))
	case r.Method == http.MethodPost:
		s.signInForm(w, r, a, request)
	default:
		s.renderSignIn(w, http.StatusOK, s.signInPage(a, request.loginHint, ""))
	}
}

// signInForm takes what a person typed into the sign-in page.
func (s *Server) signInForm(w http.ResponseWriter, r *http.Request, a *application, request authorization) {
	if r.PostFormValue("cancel") != "" {
		denial := refuse(http.StatusFound, "access_denied", aadstsConsentDeclined, "User declined to consent to access the app.")
		s.respond(w, r, request.responseMode, request.redirectURI, s.denied(r, denial, request.state))
		return
	}
	login := r.PostFormValue("login")
	u, f := s.checkPassword(login, presence.NewSecret(r.PostFormValue("password")))
	if f != nil {
		s.renderSignIn(w, http.StatusOK, s.signInPage(a, login, f.Error()))
		return
	}
	s.respond(w, r, request.responseMode, request.redirectURI, s.issueCode(request, u.ID))
}

func (s *Server) checkPassword(login string, password presence.Secret) (User, *entraFault) {
	s.mu.Lock()
	p := s.names[strings.ToLower(strings.TrimSpace(login))]
	var u User
	if p != nil {
		u = p.user
	}
	s.mu.Unlock()
	if !u.Password.IsZero() && !u.Password.Equal(password) {
		return User{}, invalidGrant(aadstsPasswordWrong, "Error validating credentials due to invalid username or password.")
	}
	return s.checkUser(u.ID)
}

// issueCode notes a sign-in and returns the parameters of the response.
func (s *Server) issueCode(request authorization, userID string) url.Values {
	code := "1.A" + newToken(48)
	s.mu.Lock()
	s.codes[code] = &authorizationCode{request: request, userID: userID, issued: time.Now()}
	s.mu.Unlock()
	v := url.Values{"code": {code}, "session_state": {newGUID()}}
	if request.state != "" {
		v.Set("state", request.state)
	}
	return v
}

// denied returns the parameters of an error response (RFC 6749, section 4.1.2.1).
func (s *Server) denied(r *http.Request, f *entraFault, state string) url.Values {
	b := s.errorBody(r, f)
	v := url.Values{"error": {b.Error}, "error_description": {b.Description}, "error_uri": {b.URI}}
	if f.code == aadstsConsentDeclined {
		v.Set("error_subcode", "cancel")
	}
	if state != "" {
		v.Set("state", state)
	}
	return v
}

// respond sends the browser back to the application.
func (s *Server) respond(w http.ResponseWriter, r *http.Request, mode, redirectURI string, v url.Values) {
	if mode == "form_post" {
		render(w, http.StatusOK, formPostPage, map[string]any{"Action": redirectURI, "Values": v})
		return
	}
	http.Redirect(w, r, withQuery(redirectURI, v), http.StatusFound)
}

func withQuery(address string, v url.Values) string {
	if strings.Contains(address, "?") {
		return address + "&" + v.Encode()
	}
	return address + "?" + v.Encode()
}

// SignIn does what a person does who opens an authorization URL and signs in as
// the user: it returns the URL to which the browser is sent back, with the code
// or the error in its query. For response_mode=form_post too: post that query
// as a form. It fails where a browser would stay on an error page.
func (s *Server) SignIn(authorizationURL, userID string) (redirectURL string, err error) {
	tenant, q, err := s.parseEntraURL(authorizationURL, "oauth2/v2.0/authorize")
	if err != nil {
		return "", err
	}
	_, request, denial, fault := s.parseAuthorization(tenant, q)
	if fault != nil {
		return "", fault
	}
	if denial != nil {
		return withQuery(request.redirectURI, s.denied(&http.Request{}, denial, request.state)), nil
	}
	u, fault := s.checkUser(userID)
	if fault != nil {
		return "", fault
	}
	return withQuery(request.redirectURI, s.issueCode(request, u.ID)), nil
}

// parseEntraURL takes a URL of this server's Entra apart.
func (s *Server) parseEntraURL(address string, endpoints ...string) (tenant string, q url.Values, err error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", nil, err
	}
	path, _ := cutPrefixFold(u.Path, "/login/")
	tenant, endpoint, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if u.Scheme+"://"+u.Host != s.double.URL || !slices.Contains(endpoints, strings.ToLower(endpoint)) {
		return "", nil, errors.New("graphtest: not a URL of this server's sign-in pages")
	}
	return tenant, u.Query(), nil
}

// serveAdminConsent is the page on which an administrator grants an
// application's permissions for the whole tenant.
func (s *Server) serveAdminConsent(w http.ResponseWriter, r *http.Request, tenant string) {
	a, fault := s.checkConsent(tenant, r.URL.Query())
	if fault != nil {
		s.renderFault(w, r, fault)
		return
	}
	q := r.URL.Query()
	if r.Method != http.MethodPost {
		s.renderSignIn(w, http.StatusOK, s.consentPage(a, ""))
		return
	}
	if r.PostFormValue("cancel") != "" {
		http.Redirect(w, r, withQuery(q.Get("redirect_uri"), s.consentDenied(r, q)), http.StatusFound)
		return
	}
	u, f := s.checkPassword(r.PostFormValue("login"), presence.NewSecret(r.PostFormValue("password")))
	if f == nil && !u.GlobalAdministrator {
		f = refuse(http.StatusForbidden, "access_denied", aadstsAdminConsentRequired, "Only an administrator may grant consent for the organization.")
	}
	if f != nil {
		s.renderSignIn(w, http.StatusOK, s.consentPage(a, f.Error()))
		return
	}
	http.Redirect(w, r, s.consent(a, q), http.StatusFound)
}

func (s *Server) checkConsent(tenant string, q url.Values) (*application, *entraFault) {
	if f := s.checkTenant(tenant, true); f != nil {
		return nil, f
	}
	a, f := s.checkApplication(q.Get("client_id"))
	if f != nil {
		return nil, f
	}
	asked := q.Get("redirect_uri")
	if a.platform(asked) == platformNone {
		return nil, refuse(http.StatusBadRequest, "invalid_request", aadstsRedirectMismatch,
			"The redirect URI '%s' specified in the request does not match the redirect URIs configured for the application '%s'.", asked, a.ClientID)
	}
	return a, nil
}

// consent grants the permissions and returns the URL the browser is sent to.
func (s *Server) consent(a *application, q url.Values) string {
	_ = s.SetConsent(a.ClientID, true)
	v := url.Values{"admin_consent": {"True"}, "tenant": {s.tenantID}, "scope": {q.Get("scope")}}
	if state := q.Get("state"); state != "" {
		v.Set("state", state)
	}
	return withQuery(q.Get("redirect_uri"), v)
}

func (s *Server) consentDenied(r *http.Request, q url.Values) url.Values {
	v := s.denied(r, refuse(http.StatusFound, "access_denied", aadstsConsentDeclined, "User declined to consent to access the app."), q.Get("state"))
	v.Set("admin_consent", "True")
	v.Set("tenant", s.tenantID)
	return v
}

// ConsentAs does what a global administrator does who opens an admin consent
// URL and accepts: it returns the URL to which the browser is sent back. Other
// users are refused.
func (s *Server) ConsentAs(adminConsentURL, userID string) (redirectURL string, err error) {
	tenant, q, err := s.parseEntraURL(adminConsentURL, "v2.0/adminconsent", "adminconsent")
	if err != nil {
		return "", err
	}
	a, f := s.checkConsent(tenant, q)
	if f != nil {
		return "", f
	}
	u, f := s.checkUser(userID)
	if f != nil {
		return "", f
	}
	if !u.GlobalAdministrator {
		return "", refuse(http.StatusForbidden, "access_denied", aadstsAdminConsentRequired, "Only an administrator may grant consent for the organization.")
	}
	return s.consent(a, q), nil
}

type signInPage struct {
	Title, Application, Login, Problem string
	Users                              []User
	Permissions                        []string
	Action                             string
}

func (s *Server) signInPage(a *application, login, problem string) signInPage {
	s.mu.Lock()
	defer s.mu.Unlock()
	page := signInPage{Title: "Sign in", Application: a.Name, Login: login, Problem: problem, Action: "Sign in"}
	for _, p := range s.roster[:min(len(s.roster), maxListedUsers)] {
		page.Users = append(page.Users, p.user)
	}
	return page
}

func (s *Server) consentPage(a *application, problem string) signInPage {
	page := s.signInPage(a, "", problem)
	page.Title, page.Action = "Permissions requested: accept for your organization", "Accept"
	page.Users = slices.DeleteFunc(page.Users, func(u User) bool { return !u.GlobalAdministrator })
	roles, scopes := a.declared()
	page.Permissions = append(slices.Clone(roles), scopes...)
	return page
}

func (s *Server) renderSignIn(w http.ResponseWriter, status int, page signInPage) {
	render(w, status, signInTemplate, page)
}

func (s *Server) renderFault(w http.ResponseWriter, r *http.Request, f *entraFault) {
	render(w, f.status, faultPage, s.errorBody(r, f))
}

func render(w http.ResponseWriter, status int, text string, data any) {
	t, err := template.New("page").Parse(text)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = t.Execute(w, data)
}

const signInTemplate = `<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>{{.Title}}</title>
<body style="font-family: sans-serif; max-width: 26em; margin: 4em auto">
<h1>{{.Title}}</h1>
<p>{{.Application}} (test double of Microsoft Entra)</p>
{{with .Problem}}<p role="alert" style="color: #a00">{{.}}</p>{{end}}
{{with .Permissions}}<ul>{{range .}}<li>{{.}}</li>{{end}}</ul>{{end}}
<form method="post">
<p><label>User <input name="login" list="users" value="{{.Login}}" autofocus></label>
<datalist id="users">{{range .Users}}<option value="{{.PrincipalName}}">{{.Name}}</option>{{end}}</datalist></p>
<p><label>Password <input name="password" type="password"></label></p>
<p><button type="submit">{{.Action}}</button> <button type="submit" name="cancel" value="1">Cancel</button></p>
</form></body></html>
`

const formPostPage = `<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>Working...</title>
<body onload="document.forms[0].submit()">
<form method="post" action="{{.Action}}">
{{range $name, $values := .Values}}{{range $values}}<input type="hidden" name="{{$name}}" value="{{.}}">
{{end}}{{end}}<noscript><button type="submit">Continue</button></noscript>
</form></body></html>
`

const faultPage = `<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>Sorry, but we are having trouble signing you in</title>
<body style="font-family: sans-serif; max-width: 40em; margin: 4em auto">
<h1>Sorry, but we are having trouble signing you in.</h1>
<p>{{.Description}}</p>
</body></html>
`
