package graph

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/presencebridge/presencebridge/presence"
)

// registration is one receiver and what proves that an item is meant for it.
type registration struct {
	receiver presence.Receiver
	tenant   string // empty: any
	// state is the digest of the client state: digests have one length, so
	// comparing them tells nothing of the value, not even how long it is.
	state [sha256.Size]byte

	// Guarded by NotificationHandler.mu.
	subscriptions []string
	gone          bool
}

// Register makes r the receiver of the items that carry clientState, whatever
// their tenant; see [NotificationHandler.Tenant] to tie them to one.
//
// Register comes before the request that creates the subscription, because
// notifications can arrive before the answer to that request does. Until bind
// is called, an item of a subscription that nobody bound is matched by its
// client state alone. bind then records the subscription's id, and from there on
// items must carry both. A subscription that replaces another under the same
// client state is bound by calling bind again; the former id stays accepted
// until unregister, because Microsoft Graph repeats undelivered notifications
// for up to four hours and they are still true hints. unregister ends it all; a
// call of r that has begun may still be under way when it returns. bind and
// unregister may be called at any time, by any goroutine, more than once.
//
// r's functions are called before the request is answered, for encrypted items
// after it, so they must not block; Microsoft Graph holds notifications back when
// more than one in ten answers takes longer than three seconds. A panic in them is contained, logged
// and counted.
//
// Register fails if clientState is empty, longer than 128 characters or in use
// by another registration, and if r.Notify is nil.
func (h *NotificationHandler) Register(clientState presence.Secret, r presence.Receiver) (bind func(subscriptionID string), unregister func(), err error) {
	return h.register("", clientState, r)
}

// TenantNotifications registers receivers for one tenant's notifications. See
// [NotificationHandler.Tenant].
type TenantNotifications struct {
	handler *NotificationHandler
	tenant  string
}

// Tenant returns a view of h whose registrations refuse items of another tenant
// than the one with this Entra tenant id, a GUID: a second proof beside the
// client state where one handler serves several customers. An item that states no
// tenant is judged by its client state alone.
func (h *NotificationHandler) Tenant(tenantID string) *TenantNotifications {
	return &TenantNotifications{h, tenantID}
}

// Register is [NotificationHandler.Register] for items of the tenant. It fails
// as well if the tenant id is not a GUID: a domain name never equals what a
// notification states.
func (t *TenantNotifications) Register(clientState presence.Secret, r presence.Receiver) (bind func(subscriptionID string), unregister func(), err error) {
	if !isGUID(t.tenant) {
		return nil, nil, fmt.Errorf("graph: register for notifications: tenant id %q is not a GUID: notifications state the tenant as a GUID, so use the directory id that the Entra portal shows", t.tenant)
	}
	return t.handler.register(t.tenant, clientState, r)
}

func (h *NotificationHandler) register(tenant string, clientState presence.Secret, r presence.Receiver) (func(string), func(), error) {
	value := clientState.Reveal()
	var faults []error
	if value == "" {
		faults = append(faults, errors.New("client state is empty: anyone could send notifications; use a random one"))
	}
	if len(value) > maxClientState {
		faults = append(faults, fmt.Errorf("client state has %d characters: Microsoft Graph takes at most %d", len(value), maxClientState))
	}
	if r.Notify == nil {
		faults = append(faults, errors.New("receiver has no Notify function"))
	}
	if len(faults) > 0 {
		return nil, nil, fmt.Errorf("graph: register for notifications: %w", errors.Join(faults...))
	}

	reg := &registration{receiver: r, tenant: tenant, state: sha256.Sum256([]byte(value))}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byClientState[reg.state] != nil {
		return nil, nil, errors.New("graph: register for notifications: client state is in use by another registration: use a new random one for each subscription")
	}
	h.byClientState[reg.state] = reg
	bind := func(subscriptionID string) { h.bind(reg, subscriptionID) }
	unregister := func() { h.unregister(reg) }
	return bind, unregister, nil
}

func (h *NotificationHandler) bind(reg *registration, id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if id == "" || reg.gone || h.bySubscription[id] == reg {
		return
	}
	h.bySubscription[id] = reg
	reg.subscriptions = append(reg.subscriptions, id)
}

func (h *NotificationHandler) unregister(reg *registration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if reg.gone {
		return
	}
	reg.gone = true
	delete(h.byClientState, reg.state)
	for _, id := range reg.subscriptions {
		// Another registration may have bound the id since.
		if h.bySubscription[id] == reg {
			delete(h.bySubscription, id)
		}
	}
}
