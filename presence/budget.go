package presence

import "time"

// BudgetUsage is how much of a service's limit a client has used lately: 12 of
// 1,500 units in 30 seconds. It counts what the client itself has sent; what
// other processes send to the same service is not in it.
type BudgetUsage struct {
	// Name says which limit it is.
	Name string `json:"name"`
	// Used is the number of units spent within the last Window: requests, or
	// what else the service counts in. It is never less than what was spent and
	// never more than Units; what was spent up to a thirtieth of a Window earlier
	// may be in it.
	Used int `json:"used"`
	// Units is how many the client lets itself spend within a Window.
	Units int `json:"units"`
	// Window is the length of time; in JSON it is in nanoseconds.
	Window time.Duration `json:"windowNanoseconds"`
	// PausedUntil is when the client asks the service again, which had asked for
	// fewer requests; zero where it does not wait.
	PausedUntil time.Time `json:"pausedUntil,omitzero"`
}
