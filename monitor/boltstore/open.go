package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/presencebridge/presencebridge/monitor"
)

// defaultLockTimeout is long enough for a process that is just ending.
const defaultLockTimeout = time.Second

// Options are what [Open] can do without. The zero value of a field is its
// default.
type Options struct {
	// LockTimeout is how long to wait for another process to close the file.
	// Default: 1 second.
	LockTimeout time.Duration
}

// Open opens the store in a file, which it creates if there is none, for its
// owner only (mode 0600). The directory must exist. An empty file becomes a store.
//
// The error matches [monitor.ErrStoreInUse] if another process has the file
// open; [monitor.ErrStoreUnreadable] if the file is not a store, is damaged, or
// was written by a newer version; and [fs.ErrNotExist] or [fs.ErrPermission] if
// the system does not let it open. Each says what to do, and in none of these
// cases is a file changed.
func Open(path string, opts *Options) (*Store, error) {
	if opts == nil {
		opts = &Options{}
	}
	switch {
	case path == "":
		return nil, errors.New("boltstore: open: the path of the file is missing")
	case opts.LockTimeout < 0:
		return nil, fmt.Errorf("boltstore: open %s: Options.LockTimeout is %v: it cannot be less than 0", path, opts.LockTimeout)
	}
	o := opening{path: path, timeout: opts.LockTimeout, began: time.Now()}
	if o.timeout == 0 {
		o.timeout = defaultLockTimeout
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := o.create(); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, o.explain(err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("boltstore: open %s: it is not a file: give the path of one", path)
	case info.Size() > 0:
		if err := o.inspect(); err != nil {
			return nil, err
		}
	}
	return o.open()
}

// opening is one call of Open.
type opening struct {
	path    string
	timeout time.Duration
	began   time.Time
}

// options are those of bbolt, with what is left of the time to wait. None at all
// would mean to wait for ever.
func (o opening) options() *bbolt.Options {
	return &bbolt.Options{Timeout: max(o.timeout-time.Since(o.began), time.Millisecond), FreelistType: bbolt.FreelistMapType}
}

// create makes an empty store under another name and then gives it its own, so
// that a process that is killed meanwhile does not leave half a store. A process
// that does the same at the same time may be faster: then its store is the one.
func (o opening) create() error {
	dir, name := filepath.Split(o.path)
	if dir == "" {
		dir = "."
	}
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("boltstore: open %s: its directory must exist: create it, or correct the path: %w", o.path, err)
	}
	file, err := os.CreateTemp(dir, name+".new-*") // with mode 0600
	if err != nil {
		return o.explain(err)
	}
	defer func() { _ = os.Remove(file.Name()) }()
	if err := file.Close(); err != nil {
		return o.explain(err)
	}
	made := opening{path: file.Name(), timeout: o.timeout, began: o.began}
	s, err := made.open()
	if err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	// Where this fails, either another process was faster or the file system has no
	// links. What comes next is right for both: opening the file, or making it.
	if os.Link(file.Name(), o.path) == nil {
		return o.explain(syncDirectory(dir))
	}
	return nil
}

// inspect reads the whole file before anything may write to it. It is opened for
// reading, and without the list of free pages, because then bbolt looks at no
// page but the first two, which have checksums.
func (o opening) inspect() error {
	return o.explain(guard(func() error {
		options := o.options()
		options.ReadOnly = true
		db, err := bbolt.Open(o.path, 0, options)
		var errno syscall.Errno
		switch {
		case err == nil:
		case errors.Is(err, bolterrors.ErrTimeout) || errors.As(err, &errno):
			return err
		default:
			return &unsoundError{err}
		}
		found := guard(func() error { return db.View(o.check) })
		return errors.Join(found, db.Close())
	}))
}

// check finds out whether the database is a sound store.
func (o opening) check(tx *bbolt.Tx) error {
	file, err := os.Open(o.path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if err := verify(file, info.Size(), int64(tx.DB().Info().PageSize), uint64(tx.ID())); err != nil {
		return &unsoundError{err}
	}
	if err := check(tx); err != nil {
		return &unsoundError{err}
	}
	return nil
}

// open opens the file for good.
func (o opening) open() (*Store, error) {
	s := &Store{path: o.path, leases: monitor.NewMemoryStore(), writer: make(chan struct{}, 1)}
	s.writer <- struct{}{}
	err := guard(func() (err error) {
		s.db, err = bbolt.Open(o.path, 0o600, o.options())
		return err
	})
	if err != nil {
		return nil, o.explain(err)
	}
	empty := false
	err = s.transaction(false, func(tx *bbolt.Tx) error {
		empty = isEmpty(tx)
		// Another process may have written since the inspection.
		return o.check(tx)
	})
	if err == nil && empty {
		err = s.transaction(true, initialize)
	}
	if err != nil {
		return nil, errors.Join(o.explain(err), s.Close())
	}
	return s, nil
}

// unsoundError is what check has found.
type unsoundError struct{ reason error }

func (e *unsoundError) Error() string { return e.reason.Error() }
func (e *unsoundError) Unwrap() error { return e.reason }

// explain puts an error of opening into words that say what to do.
func (o opening) explain(err error) error {
	var (
		broken  *brokenError
		unsound *unsoundError
		system  *fs.PathError
	)
	switch {
	case err == nil || errors.Is(err, monitor.ErrStoreUnreadable):
		return err
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("boltstore: open %s: %w: another process, or another part of this one, has the file open: "+
			"stop it, or give each a file of its own", o.path, monitor.ErrStoreInUse)
	case errors.As(err, &unsound):
		return unreadable(o.path, unsound.reason)
	case errors.As(err, &broken):
		return unreadable(o.path, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("boltstore: open: let the user of this process read and write the file and its directory: %w", err)
	case errors.As(err, &system):
		return fmt.Errorf("boltstore: open: %w", err)
	default:
		return fmt.Errorf("boltstore: open %s: %w", o.path, err)
	}
}
