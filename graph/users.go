package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"strings"

	abs "github.com/microsoft/kiota-abstractions-go"
	"github.com/microsoftgraph/msgraph-sdk-go/users"

	"github.com/presencebridge/presencebridge/presence"
)

// pageSize is the largest page of users (learn.microsoft.com/graph/api/user-list).
const pageSize int32 = 999

// maxPage bounds one page of a listing.
const maxPage = 16 << 20

func userFields() []string {
	return []string{"id", "userPrincipalName", "mail", "displayName", "accountEnabled"}
}

// wireUser is one user as the service writes it.
type wireUser struct {
	ID      string `json:"id"`
	UPN     string `json:"userPrincipalName"`
	Mail    string `json:"mail"`
	Name    string `json:"displayName"`
	Enabled bool   `json:"accountEnabled"`
}

func (w wireUser) user() presence.TeamsUser {
	return presence.TeamsUser{ID: w.ID, PrincipalName: w.UPN, Mail: w.Mail, Name: w.Name, Enabled: w.Enabled}
}

// Users walks all users of the tenant, page by page. An error that matches
// presence.ErrUnreadable speaks of one user; any other ends the walk and is its
// last pair, and users that came before it are good. A page is read when the user
// before it was taken, so a walk may pause.
func (c *Client) Users(ctx context.Context) iter.Seq2[presence.TeamsUser, error] {
	return func(yield func(presence.TeamsUser, error) bool) {
		top := pageSize
		builder := users.NewUsersRequestBuilderInternal(c.path, c.adapter)
		first, err := builder.ToGetRequestInformation(ctx, &users.UsersRequestBuilderGetRequestConfiguration{
			QueryParameters: &users.UsersRequestBuilderGetQueryParameters{Select: userFields(), Top: &top},
		})
		if err != nil {
			yield(presence.TeamsUser{}, buildError(opListUsers, err))
			return
		}
		next := func(link string) (*abs.RequestInformation, error) {
			return builder.WithUrl(link).ToGetRequestInformation(ctx, nil)
		}
		for page, err := range pages(ctx, c, opListUsers, first, next, usableUser) {
			if err != nil {
				yield(presence.TeamsUser{}, err)
				return
			}
			for _, w := range page.items {
				if !yield(w.user(), nil) {
					return
				}
			}
			for range page.skipped {
				if !yield(presence.TeamsUser{}, fmt.Errorf("graph: %s: %w: an account of the listing is not what the API describes: look for one without an id", opListUsers.name, presence.ErrUnreadable)) {
					return
				}
			}
		}
	}
}

func usableUser(w wireUser) bool { return w.ID != "" }

// listed is one page of a listing. Items that cannot be read, or are not usable,
// are skipped and counted.
type listed[T any] struct {
	items   []T
	skipped int
}

// pages walks the pages of a listing.
func pages[T any](ctx context.Context, c *Client, op operation, info *abs.RequestInformation, next func(link string) (*abs.RequestInformation, error), usable func(T) bool) iter.Seq2[listed[T], error] {
	return func(yield func(listed[T], error) bool) {
		visited := make(map[string]bool)
		for {
			var (
				page listed[T]
				link string
			)
			err := c.do(ctx, op, info, maxPage, func(body io.Reader) (err error) {
				page.items, page.skipped, link, err = decodePage(body, usable)
				return err
			})
			if err != nil {
				yield(listed[T]{}, err)
				return
			}
			if page.skipped > 0 {
				c.metrics.skipped(ctx, op.name, page.skipped)
				c.logger.WarnContext(ctx, "items that could not be read were left out", "operation", op.name, "skipped", page.skipped)
			}
			if !yield(page, nil) || link == "" {
				return
			}
			// A link to elsewhere would take the token there; one that was
			// followed before would never end.
			u, err := url.Parse(link)
			if err != nil || !c.isOwn(u) || visited[link] {
				yield(listed[T]{}, &Error{Operation: op.name, kind: ErrMalformed})
				return
			}
			visited[link] = true
			if info, err = next(link); err != nil {
				yield(listed[T]{}, buildError(op, err))
				return
			}
		}
	}
}

func decodePage[T any](body io.Reader, usable func(T) bool) (page []T, skipped int, link string, err error) {
	link, err = eachValueAndLink(body, func(d *json.Decoder) error {
		var w T
		switch err := d.Decode(&w); {
		case err != nil && isSyntax(err):
			return err
		case err != nil || !usable(w):
			skipped++
		default:
			page = append(page, w)
		}
		return nil
	})
	return page, skipped, link, err
}

// User returns one user, by object id or user principal name. Where there is
// none, the error matches presence.ErrNotFound.
func (c *Client) User(ctx context.Context, idOrUPN string) (presence.TeamsUser, error) {
	// A segment of dots would be another path.
	if strings.Trim(idOrUPN, ".") == "" || strings.ContainsAny(idOrUPN, "/\\?\x00") {
		return presence.TeamsUser{}, invalid(opReadUser, "%q is neither an object id nor a user principal name", idOrUPN)
	}
	info, err := c.user(idOrUPN).ToGetRequestInformation(ctx, &users.UserItemRequestBuilderGetRequestConfiguration{
		QueryParameters: &users.UserItemRequestBuilderGetQueryParameters{Select: userFields()},
	})
	if err != nil {
		return presence.TeamsUser{}, buildError(opReadUser, err)
	}
	var w wireUser
	err = c.do(ctx, opReadUser, info, maxAnswer, func(body io.Reader) error {
		if err := json.NewDecoder(body).Decode(&w); err != nil {
			return err
		}
		if !usableUser(w) {
			return errors.New("graph: the answer is not a user")
		}
		return nil
	})
	if err != nil {
		return presence.TeamsUser{}, err
	}
	return w.user(), nil
}

// UserByMail returns the one user with this mail attribute. Where there is none,
// the error matches presence.ErrNotFound; where there are several, it matches
// presence.ErrConflict, and none of them is returned.
func (c *Client) UserByMail(ctx context.Context, mail string) (presence.TeamsUser, error) {
	mail = strings.TrimSpace(mail)
	if mail == "" {
		return presence.TeamsUser{}, invalid(opFindUser, "the mail address is empty")
	}
	filter := "mail eq '" + strings.ReplaceAll(mail, "'", "''") + "'"
	top := int32(2)
	info, err := users.NewUsersRequestBuilderInternal(c.path, c.adapter).ToGetRequestInformation(ctx, &users.UsersRequestBuilderGetRequestConfiguration{
		QueryParameters: &users.UsersRequestBuilderGetQueryParameters{Select: userFields(), Filter: &filter, Top: &top},
	})
	if err != nil {
		return presence.TeamsUser{}, buildError(opFindUser, err)
	}
	var found []wireUser
	err = c.do(ctx, opFindUser, info, maxPage, func(body io.Reader) error {
		found, _, _, err = decodePage(body, usableUser)
		return err
	})
	switch {
	case err != nil:
		return presence.TeamsUser{}, err
	case len(found) == 0:
		return presence.TeamsUser{}, fmt.Errorf("graph: %s: %w: no account has this mail address", opFindUser.name, presence.ErrNotFound)
	case len(found) > 1:
		return presence.TeamsUser{}, fmt.Errorf("graph: %s: %w: more than one account has this mail address: give each account its own", opFindUser.name, presence.ErrConflict)
	}
	return found[0].user(), nil
}
