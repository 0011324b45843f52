package secret

import "fmt"

// PanicText describes a panic without printing a value that might hold a secret:
// only the runtime's own errors, and the type of anything else.
func PanicText(p any) string {
	if err, ok := p.(interface {
		error
		RuntimeError()
	}); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", p)
}
