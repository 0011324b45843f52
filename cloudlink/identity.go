package cloudlink

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"
)

// Identity is who a token belongs to, as whoami tells it.
type Identity struct {
	// AccountID and PartnerID are the account and the partner that owns it.
	AccountID, PartnerID string
	// PrincipalID is the id that presence and calls go by.
	PrincipalID string
	// UserID and UniqueUserID are the ids of the admin API.
	UserID, UniqueUserID string
	// Role is USER, ACCOUNT_ADMIN or PARTNER_ADMIN.
	Role string
	// LoginID is what the user signs in with.
	LoginID string
	// Name, Email and Extension are the user's own.
	Name, Email, Extension string
	// SiteID names the site of the user's telephone system.
	SiteID string
	// Domain is the account's host name on the platform, such as
	// "<accountId>.us.api.mitel.io".
	Domain string
	// LanguageCode is the user's language.
	LanguageCode string
	// EmailVerified, ExtensionVerified, MobileVerified and PhoneVerified come as
	// strings on the wire.
	EmailVerified, ExtensionVerified, MobileVerified, PhoneVerified bool
	// Issuer and Audience are those of the token.
	Issuer, Audience string
	// IssuedAt and ExpiresAt are when the token begins and ends; zero where the
	// service does not tell. On the wire they are strings with seconds.
	IssuedAt, ExpiresAt time.Time
}

// Region returns the region that Domain names, and whether it names one:
// "<accountId>.us.dev.api.mitel.io" (Mitel's sample token) is of the region
// "us.dev". A domain without a region, or of another form, names none.
//
// Assumed: that the domain of an account has the form of the sample in every
// region.
func (i Identity) Region() (Region, bool) {
	host, ok := strings.CutSuffix(strings.ToLower(i.Domain), ".api.mitel.io")
	account, region, found := strings.Cut(host, ".")
	if !ok || !found || len(host) > 253 || !idPattern.MatchString(account) || !regionPattern.MatchString(region) {
		return "", false
	}
	return Region(region), true
}

// WhoAmI returns who the client's token belongs to. It is the cheapest way to
// find out whether the credentials work.
func (c *Client) WhoAmI(ctx context.Context) (Identity, error) {
	var identity Identity
	err := c.do(ctx, call{
		operation: "who am I", method: http.MethodGet, service: ServiceAuthentication, path: "token",
		decode: func(body []byte) (err error) {
			identity, err = parseIdentity(body)
			return err
		},
	})
	return identity, err
}

func parseIdentity(body []byte) (Identity, error) {
	var w struct {
		AccountID         text    `json:"accountId"`
		PartnerID         text    `json:"partnerId"`
		PrincipalID       text    `json:"principalId"`
		UserID            text    `json:"userId"`
		UniqueUserID      text    `json:"uniqueUserId"`
		Role              text    `json:"role"`
		LoginID           text    `json:"loginId"`
		Name              text    `json:"name"`
		Email             text    `json:"email"`
		Extension         text    `json:"extension"`
		SiteID            text    `json:"siteId"`
		Domain            text    `json:"domain"`
		LanguageCode      text    `json:"languageCode"`
		EmailVerified     flag    `json:"emailVerified"`
		ExtensionVerified flag    `json:"extensionVerified"`
		MobileVerified    flag    `json:"mobileVerified"`
		PhoneVerified     flag    `json:"phoneVerified"`
		Issuer            text    `json:"iss"`
		Audience          text    `json:"aud"`
		IssuedAt          instant `json:"iat"`
		ExpiresAt         instant `json:"exp"`
	}
	if err := decodeObject(body, &w); err != nil {
		return Identity{}, err
	}
	if w.AccountID == "" && w.PrincipalID == "" && w.UserID == "" {
		return Identity{}, errors.New("names nobody")
	}
	return Identity{
		AccountID: string(w.AccountID), PartnerID: string(w.PartnerID), PrincipalID: string(w.PrincipalID),
		UserID: string(w.UserID), UniqueUserID: string(w.UniqueUserID), Role: string(w.Role), LoginID: string(w.LoginID),
		Name: string(w.Name), Email: string(w.Email), Extension: string(w.Extension), SiteID: string(w.SiteID),
		Domain: string(w.Domain), LanguageCode: string(w.LanguageCode), EmailVerified: bool(w.EmailVerified),
		ExtensionVerified: bool(w.ExtensionVerified), MobileVerified: bool(w.MobileVerified), PhoneVerified: bool(w.PhoneVerified),
		Issuer: string(w.Issuer), Audience: string(w.Audience), IssuedAt: w.IssuedAt.Time, ExpiresAt: w.ExpiresAt.Time,
	}, nil
}
