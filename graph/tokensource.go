package graph

import (
	"context"
	"errors"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"golang.org/x/oauth2"

	"github.com/presencebridge/presencebridge/internal/tokens"
)

// FromOAuth2 makes a TokenSource of an [oauth2.TokenSource] that the embedder
// brings, for the resource of the cloud's Graph. Such a source takes no context:
// a call of it ends when it ends. Wrap one that asks anew at each call with
// [oauth2.ReuseTokenSource].
func FromOAuth2(source oauth2.TokenSource) TokenSource { return oauth2Source{source} }

type oauth2Source struct{ source oauth2.TokenSource }

func (s oauth2Source) Token(ctx context.Context) (*oauth2.Token, error) {
	if s.source == nil {
		return nil, ownFault(tokenOperation, errNoSource)
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return s.source.Token()
}

var errNoSource = errors.New("the token source is nil: pass the source or credential that gives tokens")

// FromAzure makes a TokenSource of a credential of the Azure SDK, such as those
// of package azidentity, for the Graph of the cloud; the zero Cloud is [Global].
func FromAzure(credential azcore.TokenCredential, cloud Cloud) TokenSource {
	cloud, cloudErr := cloud.normalize()
	// The Azure SDK is asked only when the last token is about to end; it has a
	// cache of its own, but other implementations may not.
	return tokens.New(early, func(ctx context.Context) (*oauth2.Token, error) {
		if cloudErr != nil {
			return nil, ownFault(tokenOperation, cloudErr)
		}
		if credential == nil {
			return nil, ownFault(tokenOperation, errNoSource)
		}
		token, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{cloud.defaultScope()}})
		if err != nil {
			return nil, err
		}
		return &oauth2.Token{AccessToken: token.Token, TokenType: "Bearer", Expiry: token.ExpiresOn}, nil
	})
}
