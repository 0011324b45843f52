// Command one-way is the smallest program that uses the library: what a person
// does on the telephone shows in Microsoft Teams, and nothing flows back.
//
//	go run ./examples/one-way
//
// It needs no account anywhere. It starts doubles of Microsoft Graph and
// CloudLink in its own process (office.go), lets two people use their
// telephones, prints what becomes of it, and exits.
//
// This file is the part that a service of your own would have: [embed] makes
// the bridge, [serve] runs it. Against the real services, leave Cloud and
// BaseURL out and read the identifiers and secrets from your configuration;
// CloudLink must reach the webhook's URL.
//
// One-way is bulk reads and writes as an application, so it needs no presence
// monitor.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/presencebridge/presencebridge"
	"github.com/presencebridge/presencebridge/cloudlink"
	"github.com/presencebridge/presencebridge/graph"
	"github.com/presencebridge/presencebridge/presence"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "one-way:", err)
		os.Exit(1)
	}
}

// settings are what a service has in its configuration.
type settings struct {
	// Microsoft: an application with the permissions Presence.ReadWrite.All and
	// User.Read.All of the kind "application".
	cloud              graph.Cloud
	tenantID, clientID string
	clientSecret       presence.Secret

	// Mitel: a client of the CloudLink account.
	baseURL                      func(service string) string
	accountID, cloudLinkClientID string
	cloudLinkSecret              presence.Secret

	// webhookURL is where CloudLink posts its notifications.
	webhookURL string
	// wrote is told of everything that the bridge writes.
	wrote func(presencebridge.Write)
}

// service is a bridge with what keeps it informed.
type service struct {
	bridge  *presencebridge.Bridge
	watcher *cloudlink.Watcher
	webhook *cloudlink.WebhookHandler
}

// embed puts the parts together. Nothing is sent yet.
func embed(s settings) (*service, error) {
	credential, err := graph.NewSecretCredential(s.tenantID, s.clientID, s.clientSecret, &graph.CredentialOptions{Cloud: s.cloud})
	if err != nil {
		return nil, err
	}
	teams, err := graph.New(s.tenantID, s.clientID, credential, &graph.Options{Cloud: s.cloud})
	if err != nil {
		return nil, err
	}

	account, err := cloudlink.NewClientCredential(s.accountID, s.cloudLinkClientID, s.cloudLinkSecret, &cloudlink.CredentialOptions{BaseURL: s.baseURL})
	if err != nil {
		return nil, err
	}
	phones, err := cloudlink.New(s.accountID, account, &cloudlink.Options{BaseURL: s.baseURL})
	if err != nil {
		return nil, err
	}

	bridge, err := presencebridge.New(presencebridge.Sides{
		Directory: presencebridge.NewDirectory(teams, phones, nil),
		Teams:     teams,
		Phones:    phones,
	}, &presencebridge.Options{
		Hooks: presencebridge.Hooks{Wrote: s.wrote},
	})
	if err != nil {
		return nil, err
	}

	webhook := cloudlink.NewWebhookHandler(nil)
	watcher, err := cloudlink.NewWatcher(phones, webhook, s.webhookURL, bridge, &cloudlink.WatcherOptions{PhonesOnly: true})
	if err != nil {
		return nil, err
	}
	return &service{bridge: bridge, watcher: watcher, webhook: webhook}, nil
}

// serve runs the service until ctx ends. On the way out the watcher deletes its
// subscriptions, and the bridge clears the Teams sessions that it has open;
// the webhook's server goes last.
func (s *service) serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{Handler: s.webhook, ReadHeaderTimeout: 10 * time.Second}
	closed := make(chan error, 1)
	go func() { closed <- server.Serve(listener) }()

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.bridge.Run(ctx) })
	group.Go(func() error { return s.watcher.Run(ctx) })
	group.Go(func() error {
		select {
		case err := <-closed:
			closed <- err
			return fmt.Errorf("the webhook stopped: %w", err)
		case <-ctx.Done():
			return nil
		}
	})
	err := group.Wait()
	_ = server.Close()
	if stopped := <-closed; !errors.Is(stopped, http.ErrServerClosed) {
		err = errors.Join(err, stopped)
	}
	return err
}
