package boltstore

import (
	"go.etcd.io/bbolt"
)

// HoldWriter keeps every writer waiting until the returned function is called.
func HoldWriter(s *Store) (release func()) {
	token := <-s.writer
	return func() { s.writer <- token }
}

// Panic has bbolt panic in a transaction, after the change if there is one.
func Panic(s *Store, writes bool, value any) error {
	return s.transaction(writes, func(tx *bbolt.Tx) error {
		if writes {
			if err := tx.Bucket(entriesBucket).Put([]byte("half"), []byte("done")); err != nil {
				return err
			}
		}
		panic(value)
	})
}

// Fault reads memory that no file stands behind, as a page is that was cut off.
func Fault(s *Store, read func()) error {
	return s.transaction(false, func(*bbolt.Tx) error {
		read()
		return nil
	})
}
