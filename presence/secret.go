package presence

import "github.com/presencebridge/presencebridge/internal/secret"

// Secret is a password, a client secret, a token or a client state: a value
// that can be passed on, compared in constant time with Equal and revealed on
// purpose with Reveal, but that every way of printing shows as "[redacted]":
// fmt with any verb, log/slog, JSON and YAML. The zero Secret is empty.
type Secret = secret.Secret

// NewSecret returns a Secret that holds value.
func NewSecret(value string) Secret { return secret.New(value) }
