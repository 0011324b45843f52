package cloudlink

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"time"

	"github.com/presencebridge/presencebridge/presence"
)

// User is a user of the account, as the admin API describes it. The password of
// the user's SIP account, which the API sends along, is never decoded.
type User struct {
	// ID is the user id.
	ID string
	// UniqueID is the uniqueUserId.
	UniqueID string
	// PrincipalID is the principal id where the API gives one, else empty.
	PrincipalID string
	// AccountID is the account.
	AccountID string
	// Name is the display name, or else the name.
	Name string
	// Email is the address that Microsoft Teams users are matched by.
	Email string
	// EmailVerified tells whether the user has confirmed the address.
	EmailVerified bool
	// Role is USER, ACCOUNT_ADMIN or PARTNER_ADMIN.
	Role string
	// Extension is the user's extension; empty where the user has none.
	Extension string
	// SiteID names the site, and with it the telephone system.
	SiteID string
	// Source is where the user was created.
	Source string
}

// Principal returns the user in the words of package presence.
//
// The media API takes an endpoint's extension for its id and no published call
// lists a user's endpoints, so that the user's own extension is the only one
// that is known here. An embedder who knows of more adds them.
func (u User) Principal() presence.Principal {
	p := presence.Principal{ID: cmp.Or(u.PrincipalID, u.ID), Email: u.Email, Name: u.Name, SiteID: u.SiteID}
	if u.Extension != "" {
		p.Endpoints = []string{u.Extension}
	}
	return p
}

func parseUser(raw json.RawMessage) (User, error) {
	var w struct {
		UserID        text `json:"userId"`
		UniqueUserID  text `json:"uniqueUserId"`
		PrincipalID   text `json:"principalId"`
		AccountID     text `json:"accountId"`
		Name          text `json:"name"`
		DisplayName   text `json:"displayName"`
		Email         text `json:"email"`
		EmailVerified flag `json:"emailVerified"`
		Role          text `json:"role"`
		Extension     text `json:"extension"`
		SiteID        text `json:"siteId"`
		Source        text `json:"source"`
	}
	if err := decodeObject(raw, &w); err != nil {
		return User{}, err
	}
	if w.UserID == "" && w.PrincipalID == "" {
		return User{}, errors.New("a user without an id")
	}
	return User{
		ID: string(w.UserID), UniqueID: string(w.UniqueUserID), PrincipalID: string(w.PrincipalID), AccountID: string(w.AccountID),
		Name: string(cmp.Or(w.DisplayName, w.Name)), Email: string(w.Email), EmailVerified: bool(w.EmailVerified),
		Role: string(w.Role), Extension: string(w.Extension), SiteID: string(w.SiteID), Source: string(w.Source),
	}, nil
}

// Users yields the users of the account. An error that matches
// presence.ErrUnreadable speaks of one user, and the listing goes on after it; any
// other is the last.
//
// It takes the role ACCOUNT_ADMIN.
func (c *Client) Users(ctx context.Context) iter.Seq2[User, error] {
	const operation = "list users"
	account, err := segment(operation, "account id", c.accountID)
	if err != nil {
		return func(yield func(User, error) bool) { yield(User{}, err) }
	}
	return listing(ctx, c, call{operation: operation, service: ServiceAdmin, path: "accounts/" + account + "/users"}, parseUser)
}

// User returns one user of the account by the user id.
func (c *Client) User(ctx context.Context, id string) (User, error) {
	const operation = "read user"
	user, err := segment(operation, "user id", id)
	if err != nil {
		return User{}, err
	}
	account, err := segment(operation, "account id", c.accountID)
	if err != nil {
		return User{}, err
	}
	var u User
	err = c.do(ctx, call{
		operation: operation, method: http.MethodGet, service: ServiceAdmin, path: "accounts/" + account + "/users/" + user,
		decode: func(body []byte) (err error) {
			u, err = parseUser(body)
			return err
		},
	})
	return u, err
}

// Principals yields the users of the account in the words of package presence:
// see [User.Principal] and, for the errors, [Client.Users].
func (c *Client) Principals(ctx context.Context) iter.Seq2[presence.Principal, error] {
	return func(yield func(presence.Principal, error) bool) {
		for u, err := range c.Users(ctx) {
			p := presence.Principal{}
			if err == nil {
				p = u.Principal()
			}
			if !yield(p, err) {
				return
			}
		}
	}
}

// Account is a customer's account.
type Account struct {
	ID   string
	Name string
	// AccessTokenLifetime and RefreshTokenLifetime are what the account has set;
	// zero where it has set nothing.
	AccessTokenLifetime, RefreshTokenLifetime time.Duration
}

// Account reads the client's account.
func (c *Client) Account(ctx context.Context) (Account, error) {
	const operation = "read account"
	id, err := segment(operation, "account id", c.accountID)
	if err != nil {
		return Account{}, err
	}
	var account Account
	err = c.do(ctx, call{
		operation: operation, method: http.MethodGet, service: ServiceAdmin, path: "accounts/" + id,
		decode: func(body []byte) (err error) {
			account, err = parseAccount(body)
			return err
		},
	})
	return account, err
}

func parseAccount(body []byte) (Account, error) {
	var w struct {
		AccountID    text   `json:"accountId"`
		Name         text   `json:"name"`
		AccessHours  number `json:"accessTokenExpiryHours"`
		RefreshHours number `json:"refreshTokenExpiryHours"`
	}
	if err := decodeObject(body, &w); err != nil {
		return Account{}, err
	}
	if w.AccountID == "" {
		return Account{}, errors.New("an account without an id")
	}
	return Account{ID: string(w.AccountID), Name: string(w.Name), AccessTokenLifetime: hours(w.AccessHours), RefreshTokenLifetime: hours(w.RefreshHours)}, nil
}

// hours returns n hours, 0 where that is not a lifetime.
func hours(n number) time.Duration {
	const tenYears = 10 * 366 * 24
	if n < 0 || n > tenYears {
		return 0
	}
	return time.Duration(n) * time.Hour
}
