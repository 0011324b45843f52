package verify

import (
	"context"
	"fmt"
	"time"

	"github.com/presencebridge/presencebridge/internal/secret"
)

// once returns a function that asks once, however many checks want the answer,
// bounded for itself and not by the check that happens to be first. What does not
// obey its context, or panics, is an error to all who wait, and not a check each
// that hangs.
//
// Those who wait do so at a channel and not at a mutex, for which the time of a
// synctest bubble would stand still.
func once[T any](ctx context.Context, bound time.Duration, ask func(context.Context) (T, error)) func() (T, error) {
	var value T
	var err error
	first, answered := make(chan struct{}, 1), make(chan struct{})
	first <- struct{}{}
	return func() (T, error) {
		select {
		case <-first:
			value, err = bounded(ctx, bound, ask)
			close(answered)
		case <-answered:
		}
		return value, err
	}
}

// bounded asks and goes on without an answer when the bound is over.
func bounded[T any](ctx context.Context, bound time.Duration, ask func(context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	answers := make(chan answer, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				answers <- answer{err: fmt.Errorf("the question broke off: %s", secret.PanicText(v))}
			}
		}()
		value, err := ask(ctx)
		answers <- answer{value, err}
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
	}
	// One that obeys says what it was waiting for. It has less time for that than
	// a check has, so that the check can tell it.
	grace := time.NewTimer(obeyWithin / 2)
	defer grace.Stop()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-grace.C:
		var none T
		return none, fmt.Errorf("there was no answer within %v: %w", bound, ctx.Err())
	}
}
