package presence

import "time"

// MaxSubscriptionUsers is how many users one presence subscription may watch
// (learn.microsoft.com/graph/changenotifications-for-presence).
const MaxSubscriptionUsers = 650

// MaxSubscriptionLifetime is the longest life of a presence subscription
// (learn.microsoft.com/graph/api/resources/subscription).
const MaxSubscriptionLifetime = 60 * time.Minute

// MinSubscriptionLifetime is what Microsoft Graph extends a shorter request to
// (learn.microsoft.com/graph/api/resources/subscription).
const MinSubscriptionLifetime = 45 * time.Minute

// Subscription is a presence subscription that exists at Microsoft Graph.
type Subscription struct {
	// ID is the subscription's id.
	ID string
	// UserIDs are the Entra object ids it watches.
	UserIDs []string
	// NotificationURL is where its notifications go.
	NotificationURL string
	// ExpiresAt is when it ends unless it is renewed before.
	ExpiresAt time.Time
}

// EncryptionCertificate is the public half of a key with which Microsoft Graph
// encrypts what it puts into notifications.
type EncryptionCertificate struct {
	// ID names the key; it comes back with every notification. At most 128
	// characters.
	ID string
	// Certificate is an X.509 certificate in DER, with an RSA key of 2048 to 4096
	// bits (learn.microsoft.com/graph/change-notifications-with-resource-data).
	Certificate []byte
}

// Notification says that a person's presence has changed: look again. It
// carries no order, and may come late, twice or never.
type Notification struct {
	// SubscriptionID is the subscription it belongs to.
	SubscriptionID string
	// TenantID is the Entra tenant.
	TenantID string
	// UserID is the Entra object id of the person.
	UserID string
	// Presence is the state that came with it, nil in a basic notification.
	// Since a notification has no order, it is a hint and not an observation.
	Presence *Presence
}

// LifecycleEvent is what Microsoft Graph says of a subscription itself.
type LifecycleEvent string

// The lifecycle events that Microsoft Graph documents. For presence only
// ReauthorizationRequired is sent
// (learn.microsoft.com/graph/change-notifications-lifecycle-events).
const (
	ReauthorizationRequired LifecycleEvent = "reauthorizationRequired"
	SubscriptionRemoved     LifecycleEvent = "subscriptionRemoved"
	NotificationsMissed     LifecycleEvent = "missed"
)

// Lifecycle is a lifecycle notification of a subscription.
type Lifecycle struct {
	// SubscriptionID is the subscription it speaks of.
	SubscriptionID string
	// TenantID is the Entra tenant.
	TenantID string
	// Event is what is said of the subscription.
	Event LifecycleEvent
	// ExpiresAt is the end of the subscription as the notification tells it;
	// zero where it does not.
	ExpiresAt time.Time
}

// SubscriptionRequest is what is asked of Microsoft Graph to watch users.
type SubscriptionRequest struct {
	// UserIDs are the Entra object ids, at most [MaxSubscriptionUsers].
	UserIDs []string
	// NotificationURL takes the notifications; HTTPS and reachable for Microsoft.
	NotificationURL string
	// LifecycleURL takes the lifecycle notifications. It cannot be added
	// later. Empty: none are sent.
	LifecycleURL string
	// ClientState comes back with every notification, at most 128 characters.
	ClientState Secret
	// ExpiresAt is the wished end, at most [MaxSubscriptionLifetime] from now.
	ExpiresAt time.Time
	// Encryption asks for notifications that carry the presence, encrypted with
	// this certificate. Nil: they only name the user.
	Encryption *EncryptionCertificate
}

// SubscriptionRenewal is what is asked of Microsoft Graph to let a subscription
// live on.
type SubscriptionRenewal struct {
	// ExpiresAt is the wished end, at most [MaxSubscriptionLifetime] from now.
	ExpiresAt time.Time
	// Encryption, if set, takes the place of the certificate that the subscription
	// had. Only for a subscription that was created with one.
	Encryption *EncryptionCertificate
}

// Receiver takes what arrives for one subscription. Its functions are called
// concurrently and must not block: they only note what is to be looked at.
type Receiver struct {
	// Notify takes one notification. Required.
	Notify func(Notification)
	// Lifecycle takes one lifecycle notification; nil discards them.
	Lifecycle func(Lifecycle)
}
