package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink/cloudlinktest"
	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/graph/graphtest"
	"github.com/presencebridge/presencebridge/presence"
)

// patience is how long a scene may take. It takes some milliseconds.
const patience = 30 * time.Second

// office is the doubles with two people in them.
type office struct {
	teams  *graphtest.Server
	phones *cloudlinktest.Server
	names  map[string]string // by extension
	ids    map[string]string // Entra object ids by extension
	// writes are what the bridge has written.
	writes chan presencebridge.Write
}

func openOffice() (*office, error) {
	teams, err := graphtest.NewServer(nil)
	if err != nil {
		return nil, err
	}
	phones, err := cloudlinktest.NewServer(nil)
	if err != nil {
		teams.Close()
		return nil, err
	}
	o := &office{
		teams: teams, phones: phones, names: map[string]string{}, ids: map[string]string{},
		writes: make(chan presencebridge.Write, 16),
	}
	o.hire("Anna Kraus", "anna@example.test", "2001")
	o.hire("Ben Okafor", "ben@example.test", "2002")
	return o, nil
}

// hire adds a person to both sides. The address is what the library matches
// them by. The person is signed in to Teams.
func (o *office) hire(name, email, extension string) {
	account := o.teams.AddUser(graphtest.User{PrincipalName: email, Mail: email, Name: name})
	o.phones.AddUser(cloudlinktest.User{Email: email, Name: name, Extension: extension})
	// It can fail only for an account that is not there.
	_ = o.teams.SetClient(account.ID, "desktop", presence.Available, "")
	o.names[extension], o.ids[extension] = name, account.ID
}

func (o *office) close() {
	o.teams.Close()
	o.phones.Close()
}

// settings registers an application on each side.
func (o *office) settings(webhookURL string) settings {
	application := o.teams.AddApplication(graphtest.Application{})
	const client, secret = "one-way", "known to this process only"
	o.phones.AddClient(client, secret, cloudlinktest.RoleAccountAdmin)
	return settings{
		cloud:    graph.Cloud{Name: "double", LoginURL: o.teams.LoginURL(), GraphURL: o.teams.GraphURL(), Notifications: true},
		tenantID: o.teams.TenantID(), clientID: application.ClientID, clientSecret: application.Secrets[0].Value,
		baseURL: o.phones.URL, accountID: o.phones.AccountID(),
		cloudLinkClientID: client, cloudLinkSecret: presence.NewSecret(secret),
		webhookURL: webhookURL,
		wrote:      func(w presencebridge.Write) { o.writes <- w },
	}
}

// scene is something that happens to a telephone.
type scene struct {
	extension, what string
	happen          func(o *office, extension string)
	// want is the session that the bridge has to show in Teams, or cleared;
	// empty where it has nothing to write.
	want string
}

const cleared = "cleared"

func line(state presence.LineState) func(*office, string) {
	return func(o *office, extension string) { o.phones.SetLine(extension, state) }
}

func doNotDisturb(on bool) func(*office, string) {
	return func(o *office, extension string) { o.phones.SetDoNotDisturb(extension, on) }
}

var scenes = []scene{
	{"2001", "is called", line(presence.LineRinging), ""},
	{"2001", "answers", line(presence.LineConnected), "Busy/InACall"},
	{"2002", "presses do-not-disturb", doNotDisturb(true), "DoNotDisturb/Presenting"},
	{"2001", "puts the caller on hold", line(presence.LineHeld), ""},
	{"2001", "hangs up", line(presence.LineIdle), cleared},
	{"2002", "releases do-not-disturb", doNotDisturb(false), cleared},
}

// run plays the scenes with a bridge in the middle.
func run(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	o, err := openOffice()
	if err != nil {
		return err
	}
	defer o.close()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s, err := embed(o.settings("http://" + listener.Addr().String() + "/cloudlink"))
	if err != nil {
		_ = listener.Close()
		return err
	}

	serving, stop := context.WithCancel(ctx)
	defer stop()
	group, serving := errgroup.WithContext(serving)
	group.Go(func() error { return s.serve(serving, listener) })
	group.Go(func() error {
		defer stop()
		return o.play(serving, s, out)
	})
	return group.Wait()
}

func (o *office) play(ctx context.Context, s *service, out io.Writer) error {
	if err := o.begin(ctx, s); err != nil {
		return err
	}
	for _, user := range s.bridge.Roster().Users {
		fmt.Fprintf(out, "%-11s %-24s Teams shows %s\n", user.Name, "is kept in step", o.teams.Presence(user.TeamsID))
	}
	for _, scene := range scenes {
		began, effect := time.Now(), "nothing is written"
		scene.happen(o, scene.extension)
		if scene.want != "" {
			if err := o.await(ctx, scene); err != nil {
				return err
			}
			effect = time.Since(began).Round(time.Millisecond).String()
		}
		fmt.Fprintf(out, "%-11s %-24s Teams shows %s, %s\n",
			o.names[scene.extension], scene.what, o.teams.Presence(o.ids[scene.extension]), effect)
	}
	return nil
}

// begin waits until the bridge knows everybody and CloudLink its webhook.
func (o *office) begin(ctx context.Context, s *service) error {
	select {
	case <-s.bridge.Loaded():
	case <-ctx.Done():
		return fmt.Errorf("the roster was not read: %w", context.Cause(ctx))
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		confirmed := 0
		for _, subscription := range s.watcher.Snapshot().Subscriptions {
			if subscription.ID != "" {
				confirmed++
			}
		}
		if confirmed > 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("CloudLink gave no subscription: %w", context.Cause(ctx))
		}
	}
}

// await waits for the write that a scene has to cause.
func (o *office) await(ctx context.Context, scene scene) error {
	for {
		select {
		case write := <-o.writes:
			written := write.Session.String()
			if write.Operation == "clear" {
				written = cleared
			}
			if write.Err == nil && write.User.TeamsID == o.ids[scene.extension] && written == scene.want {
				return nil
			}
		case <-ctx.Done():
			return fmt.Errorf("%s %s, and Teams did not get %s: %w", o.names[scene.extension], scene.what, scene.want, context.Cause(ctx))
		}
	}
}
