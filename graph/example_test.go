package graph_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"

	"golang.org/x/oauth2"

	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/presence"
)

const (
	tenantID = "11111111-1111-1111-1111-111111111111"
	clientID = "22222222-2222-2222-2222-222222222222"
	userID   = "aaaaaaaa-0000-0000-0000-000000000001"
)

// A service that reads the presence of all users and shows a call in Teams.
func Example() {
	ctx := context.Background()
	credential, err := graph.NewSecretCredential(tenantID, clientID, presence.NewSecret("the secret's value"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := graph.New(tenantID, clientID, credential, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	var ids []string
	for user, err := range client.Users(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		ids = append(ids, user.ID)
	}
	presences, err := client.Presences(ctx, ids)
	var partial *graph.PartialError
	if errors.As(err, &partial) {
		fmt.Println("try these again later:", partial.Unread)
	}
	for _, p := range presences {
		fmt.Println(p.UserID, p)
	}
	call := presence.Session{Availability: presence.Busy, Activity: presence.ActivityInACall}
	if err := client.SetPresence(ctx, ids[0], call, 10*time.Minute); err != nil {
		fmt.Println(err)
	}
}

func ExampleClient_Presences() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"value":[{"id":"`+userID+`","availability":"Busy","activity":"InACall","sequenceNumber":"A0129311063"}]}`)
	}))
	defer server.Close()
	tokens := graph.FromOAuth2(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "from elsewhere"}))
	client, err := graph.New(tenantID, clientID, tokens, &graph.Options{
		Cloud: graph.Cloud{Name: "here", LoginURL: server.URL, GraphURL: server.URL},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	presences, err := client.Presences(context.Background(), []string{userID})
	fmt.Println(presences, err)
	// Output: [Busy/InACall] <nil>
}

// What to do about a failure is in the error.
func ExampleError() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":"invalid_client","error_codes":[7000222]}`)
	}))
	defer server.Close()
	credential, err := graph.NewSecretCredential(tenantID, clientID, presence.NewSecret("old"), &graph.CredentialOptions{
		Cloud: graph.Cloud{Name: "here", LoginURL: server.URL, GraphURL: server.URL},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = credential.Token(context.Background())
	fmt.Println(errors.Is(err, presence.ErrSecretExpired))
	fmt.Println(err)
	// Output:
	// true
	// graph: token: the client secret has expired (status 401, code invalid_client, AADSTS7000222): create a client secret in Entra under Certificates & secrets, copy its Value (not its Secret ID) and configure it
}

// A monitor signs in: the first half makes a URL, the second half takes what
// comes back to the redirect URI.
func ExampleAuthorizer() {
	secret := presence.NewSecret("the secret's value")
	authorizer, err := graph.NewAuthorizer(tenantID, clientID, secret, "https://bridge.example.com/signed-in", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	request, err := authorizer.Begin("a random text", &graph.AuthorizationOptions{LoginHint: "monitor1@contoso.com"})
	if err != nil {
		fmt.Println(err)
		return
	}
	u, _ := url.Parse(request.URL)
	fmt.Println(u.Host, u.Query().Get("login_hint"), u.Query().Get("code_challenge_method"))

	finish := func(ctx context.Context, form url.Values) (*graph.Credential, error) {
		callback, err := graph.ParseCallback(form)
		if err != nil {
			return nil, err
		}
		grant, err := authorizer.Exchange(ctx, callback.Code.Reveal(), request.Verifier)
		if err != nil {
			return nil, err
		}
		return graph.NewDelegatedCredential(tenantID, clientID, secret, grant.RefreshToken, &graph.DelegatedOptions{
			Rotated: func(_ context.Context, _, next presence.Secret) error {
				return nil // store next
			},
		})
	}
	_, err = finish(context.Background(), url.Values{"error": {"access_denied"}, "error_description": {"AADSTS65004: declined"}})
	fmt.Println(err)
	// Output:
	// login.microsoftonline.com monitor1@contoso.com S256
	// graph: sign in: the user declined consent (code access_denied, AADSTS65004): let an administrator of the tenant grant consent to the application's permissions
}

func ExampleRedirectURI() {
	uri, err := graph.RedirectURI("eu")
	fmt.Println(uri, err)
	// Output: https://workflow.eu.api.mitel.io/2017-09-01/integrations/microsoft/sso <nil>
}

// Which client secrets end within two months?
func ExampleClient_Application() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"appId":"`+clientID+`","passwordCredentials":[
			{"keyId":"1","displayName":"presence monitor 1","hint":"q8X","endDateTime":"2026-04-30T10:00:00Z"},
			{"keyId":"2","displayName":"presence monitor 2","hint":"7aZ","endDateTime":"2027-11-05T10:00:00Z"}]}`)
	}))
	defer server.Close()
	tokens := graph.FromOAuth2(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "from elsewhere"}))
	client, err := graph.New(tenantID, clientID, tokens, &graph.Options{
		Cloud: graph.Cloud{Name: "here", LoginURL: server.URL, GraphURL: server.URL},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	app, err := client.Application(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	today := time.Date(2026, 3, 21, 0, 0, 0, 0, time.UTC)
	for _, secret := range app.ClientSecrets {
		if secret.ExpiresAt.Before(today.AddDate(0, 2, 0)) {
			fmt.Println(secret.Description, "ends on", secret.ExpiresAt.Format(time.DateOnly))
		}
	}
	// Output: presence monitor 1 ends on 2026-04-30
}
