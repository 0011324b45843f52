package boltstore

import (
	"errors"
	"fmt"
	"runtime/debug"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/presencebridge/presencebridge/internal/secret"
)

// transaction calls f in a transaction, and commits it if it writes and f
// returns nil.
//
// bbolt answers a page that makes no sense with a panic, and a page that is not
// there, because the file was cut short, with a fault of its memory mapping.
// Both become an error, and then the database is not used any more.
func (s *Store) transaction(writes bool, f func(*bbolt.Tx) error) error {
	var tx *bbolt.Tx
	err := guard(func() (err error) {
		if tx, err = s.db.Begin(writes); err != nil {
			return err
		}
		if err = f(tx); err != nil || !writes {
			return err
		}
		return tx.Commit()
	})
	var rollback error
	if tx != nil {
		// It does nothing after a commit, in which it is closed already.
		rollback = guard(tx.Rollback)
		if errors.Is(rollback, bolterrors.ErrTxClosed) {
			rollback = nil
		}
	}
	for _, err := range []error{err, rollback} {
		var broken *brokenError
		if errors.As(err, &broken) {
			return s.damage(unreadable(s.path, broken), rollback != nil || tx == nil)
		}
	}
	return errors.Join(err, rollback)
}

// damage notes that the file turned out to be damaged.
func (s *Store) damage(err error, stuck bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.damaged == nil {
		s.damaged = err
	}
	s.stuck = s.stuck || stuck
	return err
}

// brokenError is what was a panic of bbolt.
type brokenError struct{ text string }

func (e *brokenError) Error() string { return "bbolt panicked: " + e.text }

// guard calls f, and returns its error or what it panicked with.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = &brokenError{describe(p)}
		}
	}()
	return f()
}

// describe puts a panic into words without a value of an entry: bbolt's texts
// are about pages, and other values are named by their type only.
func describe(p any) string {
	if text, ok := p.(string); ok {
		const most = 200
		return fmt.Sprintf("%.*s", most, text)
	}
	return secret.PanicText(p)
}
