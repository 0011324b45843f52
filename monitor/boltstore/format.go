package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"

	"go.etcd.io/bbolt"

	"github.com/presencebridge/presencebridge/monitor"
)

// A store is a database with two buckets. One says in which format the other
// holds the entries, whose sequence counts the revisions.
var (
	aboutBucket   = []byte("presencebridge")
	formatKey     = []byte("format")
	entriesBucket = []byte("entries")
)

// format is the newest format that this version reads, and the one it writes.
const format = 1

// recordHeader is how many bytes precede the value: the revision and the
// checksum, both big-endian.
const recordHeader = 8 + 4

// encode returns what is kept of an entry under its key.
func encode(key string, revision uint64, value []byte) []byte {
	data := make([]byte, recordHeader, recordHeader+len(value))
	data = append(data, value...)
	binary.BigEndian.PutUint64(data, revision)
	binary.BigEndian.PutUint32(data[8:], checksum([]byte(key), data))
	return data
}

// decode takes a record apart. The value is part of it.
func decode(key, data []byte) (revision uint64, value []byte, err error) {
	if len(data) < recordHeader || binary.BigEndian.Uint32(data[8:]) != checksum(key, data) {
		return 0, nil, fmt.Errorf("the entry %q is damaged", key)
	}
	return binary.BigEndian.Uint64(data), data[recordHeader:], nil
}

// checksum is CRC-32C over the key, the revision and the value.
func checksum(key, data []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli) // one that package crc32 keeps
	sum := crc32.Update(0, table, key)
	sum = crc32.Update(sum, table, data[:8])
	return crc32.Update(sum, table, data[recordHeader:])
}

// initialize makes an empty database a store.
func initialize(tx *bbolt.Tx) error {
	about, err := tx.CreateBucket(aboutBucket)
	if err != nil {
		return err
	}
	if err := about.Put(formatKey, []byte(strconv.Itoa(format))); err != nil {
		return err
	}
	_, err = tx.CreateBucket(entriesBucket)
	return err
}

func isEmpty(tx *bbolt.Tx) bool {
	key, _ := tx.Cursor().First()
	return key == nil
}

// check reads the whole store. An empty database is
// fine: it is what a process leaves that is killed just before initialize.
func check(tx *bbolt.Tx) error {
	if isEmpty(tx) {
		return nil
	}
	about, entries := tx.Bucket(aboutBucket), tx.Bucket(entriesBucket)
	if about == nil {
		return errors.New("it is a database of another program")
	}
	switch found, err := strconv.Atoi(string(about.Get(formatKey))); {
	case err != nil || found < 1:
		return errors.New("its format is not a number")
	case found > format:
		return &newerError{found}
	case entries == nil:
		return errors.New("its entries are missing")
	}
	var before []byte
	return entries.ForEach(func(key, data []byte) error {
		revision, value, err := decode(key, data)
		switch {
		case err != nil:
			return err
		case monitor.CheckKey(string(key)) != nil || monitor.CheckValue(value) != nil || string(key) <= string(before):
			return fmt.Errorf("the entry %q cannot be one", key)
		case revision == 0 || revision > entries.Sequence():
			return fmt.Errorf("the entry %q has the revision %d, and the last one given was %d", key, revision, entries.Sequence())
		}
		before = key
		return nil
	})
}

// newerError says that the store is of a format that is yet to come.
type newerError struct{ format int }

func (e *newerError) Error() string {
	return fmt.Sprintf("it has format %d, and this version reads %d", e.format, format)
}

// unreadable returns the error of a file that is not a sound store.
func unreadable(path string, reason error) error {
	remedy := "restore the file from a backup, or move it away to begin with an empty store, " +
		"and add and authorize the monitors again"
	var newer *newerError
	if errors.As(reason, &newer) {
		remedy = "install the version that wrote it, or a later one"
	}
	return fmt.Errorf("boltstore: %s: %w: %w; %s", path, monitor.ErrStoreUnreadable, reason, remedy)
}
