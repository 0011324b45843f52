package secret

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestPanicTextHoldsNoValue(t *testing.T) {
	assert.Equal(t, "string", PanicText("hunter2"))
	assert.Equal(t, "*errors.errorString", PanicText(errors.New("hunter2")))
	defer func() {
		assert.Contains(t, PanicText(recover()), "index out of range", "the runtime's own errors say what went wrong")
	}()
	first := func(list []int) int { return list[0] }
	first(nil)
}
