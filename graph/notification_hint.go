package graph

import "fmt"

// HintReason says why an encrypted notification was handed on without its content,
// as a hint to look at the user again. Its client state has proved where it comes
// from, and a hint makes the receiver only read, so nothing is lost by it but the
// time that the reading takes.
type HintReason uint8

// The reasons to hand an encrypted notification on without its content.
const (
	_ HintReason = iota
	// HintQueueFull: more items waited for decryption than the queue holds.
	HintQueueFull
	// HintUnknownCertificate: it was encrypted for a certificate that the ring
	// does not have: one of a former process, until the subscription is renewed;
	// one of another process on the same URL; or one that was dropped.
	HintUnknownCertificate
	// HintKeyFailed: a private key that is not in memory could not be used.
	HintKeyFailed
	// HintNoValidationToken: no validation token came for its tenant. Microsoft
	// Graph sends none where the application's service principal demands
	// assignment and "Microsoft Graph Change Tracking" is not assigned to it. Nor
	// can there be one where neither the item nor its registration
	// ([NotificationHandler.Tenant]) tells the tenant.
	HintNoValidationToken
	// HintSigningKeys: the validation token could not be checked, because the
	// signing keys of the login service could not be fetched, or its key was not
	// among those that were fetched less than 5 minutes ago.
	HintSigningKeys
	// HintNoPresence: the content was decrypted and tells no availability.
	HintNoPresence

	hintReasons = iota
)

// String returns the reason in a few lower-case words.
func (r HintReason) String() string {
	switch r {
	case HintQueueFull:
		return "decryption queue full"
	case HintUnknownCertificate:
		return "unknown certificate"
	case HintKeyFailed:
		return "private key failed"
	case HintNoValidationToken:
		return "no validation token"
	case HintSigningKeys:
		return "signing keys unavailable"
	case HintNoPresence:
		return "no presence in the content"
	default:
		return fmt.Sprintf("reason %d", uint8(r))
	}
}

// MarshalText returns what String returns, so that reasons are words in JSON.
func (r HintReason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText takes what MarshalText gives.
func (r *HintReason) UnmarshalText(text []byte) error { return unmarshalReason(r, text, hintReasons) }

// remedy says what whoever reads the log can do.
func (r HintReason) remedy() string {
	switch r {
	case HintQueueFull:
		return "raise DecryptionOptions.QueueSize or Workers, or give the process more processors"
	case HintUnknownCertificate:
		return "normal for an hour after a restart with generated keys; otherwise give all processes behind the notification URL the same keys, and each renewal the ring's current certificate"
	case HintKeyFailed:
		return "see why the key vault or module does not answer"
	case HintNoValidationToken:
		return `in Entra, either turn "Assignment required" off for the enterprise application or assign "Microsoft Graph Change Tracking" (` + changeTrackingID + ") to it; if the notification states no tenant, register its receiver by NotificationHandler.Tenant"
	case HintSigningKeys:
		return "let this process reach the login service over HTTPS"
	default:
		return "none is needed: the presence is read instead"
	}
}
