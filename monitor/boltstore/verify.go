package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The flags of bbolt's pages and of elements that are buckets
// (github.com/etcd-io/bbolt/blob/main/internal/common/page.go).
const (
	branchPage    = 0x01
	leafPage      = 0x02
	freelistPage  = 0x10
	bucketElement = 0x01
)

const (
	pageHeader    = 16 // identifier (8), flags (2), count (2), overflow (4)
	elementHeader = 16
	noFreelist    = ^uint64(0)
	manyFree      = ^uint16(0) // the count is in front of the list
)

// verifier reads the pages of a database from its file. bbolt trusts them: one
// that says it is free while it is not would be written over, and one that is
// its own child be followed for ever.
type verifier struct {
	file     io.ReaderAt
	pageSize uint64
	// marked says of every page whether it was seen, so that a page which
	// belongs to two is found, and one that belongs to none.
	marked []bool
}

// metaPage is what a database has two of: where a transaction begins to read.
type metaPage struct {
	root, freelist, pages, transaction uint64
}

func (v *verifier) meta(id uint64) (metaPage, error) {
	const length = pageHeader + 64
	page := make([]byte, length)
	if _, err := v.file.ReadAt(page, int64(id*v.pageSize)); err != nil {
		return metaPage{}, err
	}
	word := func(at int) uint64 { return binary.NativeEndian.Uint64(page[pageHeader+at:]) }
	return metaPage{root: word(16), freelist: word(32), pages: word(40), transaction: word(48)}, nil
}

// verify checks that the pages of a database, as the transaction finds it, are
// one tree and a list of free pages, and that keys are where they are looked for.
// size is that of the file, in bytes.
func verify(file io.ReaderAt, size, pageSize int64, transaction uint64) error {
	v := &verifier{file: file, pageSize: uint64(pageSize)}
	var meta metaPage
	for id := range uint64(2) {
		m, err := v.meta(id)
		if err != nil {
			return err
		}
		if m.transaction == transaction {
			meta = m
		}
	}
	if meta.pages < 2 || meta.pages > uint64(size/pageSize) {
		return fmt.Errorf("it has %d pages of %d bytes, and not %d", size/pageSize, pageSize, meta.pages)
	}
	v.marked = make([]bool, meta.pages)
	v.marked[0], v.marked[1] = true, true
	if err := v.tree(meta.root, nil, nil); err != nil {
		return err
	}
	if meta.freelist != noFreelist {
		if err := v.free(meta.freelist); err != nil {
			return err
		}
	}
	for id, marked := range v.marked {
		if !marked && meta.freelist != noFreelist {
			return fmt.Errorf("page %d is neither free nor in use", id)
		}
	}
	return nil
}

func (v *verifier) mark(id uint64) error {
	switch {
	case id >= uint64(len(v.marked)):
		return fmt.Errorf("page %d of %d does not exist", id, len(v.marked))
	case v.marked[id]:
		return fmt.Errorf("page %d belongs to two", id)
	}
	v.marked[id] = true
	return nil
}

// page reads a page, with those that continue it, and marks them.
func (v *verifier) page(id uint64) (page []byte, flags, count uint16, err error) {
	if id >= uint64(len(v.marked)) {
		return nil, 0, 0, v.mark(id)
	}
	header := make([]byte, pageHeader)
	if _, err := v.file.ReadAt(header, int64(id*v.pageSize)); err != nil {
		return nil, 0, 0, err
	}
	if is := binary.NativeEndian.Uint64(header); is != id {
		return nil, 0, 0, fmt.Errorf("page %d says that it is %d", id, is)
	}
	last := id + uint64(binary.NativeEndian.Uint32(header[12:]))
	for each := id; each <= last; each++ {
		if err := v.mark(each); err != nil {
			return nil, 0, 0, err
		}
	}
	page = make([]byte, (last-id+1)*v.pageSize)
	if _, err := v.file.ReadAt(page, int64(id*v.pageSize)); err != nil {
		return nil, 0, 0, err
	}
	return page, binary.NativeEndian.Uint16(header[8:]), binary.NativeEndian.Uint16(header[10:]), nil
}

// tree checks a page and those below it. Their keys are not before low and, if
// high is not nil, before high.
func (v *verifier) tree(id uint64, low, high []byte) error {
	page, flags, count, err := v.page(id)
	if err != nil {
		return err
	}
	elements, err := parse(page, flags, count)
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	for i, e := range elements {
		if i == 0 && bytes.Compare(e.key, low) < 0 || high != nil && bytes.Compare(e.key, high) >= 0 {
			return fmt.Errorf("page %d has keys that belong elsewhere", id)
		}
		next := high
		if i+1 < len(elements) {
			next = elements[i+1].key
		}
		switch {
		case flags == branchPage:
			err = v.tree(e.child, e.key, next)
		case e.child != 0:
			err = v.tree(e.child, nil, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pageElement is a key and the page that it leads to: the child of a branch, the
// root of a bucket that has pages of its own, or 0.
type pageElement struct {
	key   []byte
	child uint64
}

// parse takes the page of a tree apart. bbolt writes what belongs to the elements
// without a gap behind them, so that a wrong count or length is found out.
func parse(page []byte, flags, count uint16) ([]pageElement, error) {
	body := page[pageHeader:]
	switch {
	case flags != branchPage && flags != leafPage, flags == branchPage && count == 0:
		return nil, errors.New("it is of no known kind")
	case count == 0 && len(bytes.TrimLeft(body, "\x00")) > 0:
		return nil, errors.New("it is not as empty as it says")
	case int(count)*elementHeader > len(body):
		return nil, errors.New("it is too short for its elements")
	}
	elements := make([]pageElement, 0, count)
	next := uint64(count) * elementHeader // where an element's bytes are to begin
	for i := range uint64(count) {
		at := i * elementHeader
		field := func(n uint64) uint64 { return uint64(binary.NativeEndian.Uint32(body[at+4*n:])) }
		position, keyLength, valueLength := field(0), field(1), uint64(0)
		if flags == leafPage {
			position, keyLength, valueLength = field(1), field(2), field(3)
		}
		end := next + keyLength + valueLength
		if at+position != next || end > uint64(len(body)) || keyLength == 0 {
			return nil, errors.New("it has an element that is not where it says")
		}
		e := pageElement{key: body[next : next+keyLength]}
		if i > 0 && bytes.Compare(e.key, elements[i-1].key) <= 0 {
			return nil, errors.New("its keys are in disorder")
		}
		switch {
		case flags == branchPage:
			e.child = binary.NativeEndian.Uint64(body[at+8:])
		case field(0) == bucketElement:
			var err error
			if e.child, err = bucket(body[next+keyLength : end]); err != nil {
				return nil, err
			}
		case field(0) != 0:
			return nil, errors.New("it has an element of no known kind")
		}
		elements = append(elements, e)
		next = end
	}
	return elements, nil
}

// bucket returns the page of a bucket's root, or 0 if the bucket is so small that
// its only page is in its element.
func bucket(value []byte) (root uint64, err error) {
	const bucketHeader = 16 // the page of the root (8), the sequence (8)
	if len(value) < bucketHeader {
		return 0, errors.New("it has a bucket without a root")
	}
	if root = binary.NativeEndian.Uint64(value); root != 0 {
		return root, nil
	}
	inline := value[bucketHeader:]
	if len(inline) < pageHeader {
		return 0, errors.New("it has a bucket without a page")
	}
	flags, count := binary.NativeEndian.Uint16(inline[8:]), binary.NativeEndian.Uint16(inline[10:])
	if flags != leafPage {
		return 0, errors.New("it has a small bucket of no known kind")
	}
	elements, err := parse(inline, flags, count)
	for _, e := range elements {
		if e.child != 0 {
			err = errors.New("it has a small bucket with another in it")
		}
	}
	return 0, err
}

// free marks the pages that the database counts as free.
func (v *verifier) free(id uint64) error {
	page, flags, count, err := v.page(id)
	if err != nil {
		return err
	}
	if flags != freelistPage {
		return fmt.Errorf("page %d is not the list of free pages", id)
	}
	list := page[pageHeader:]
	n := uint64(count)
	if count == manyFree && len(list) >= 8 {
		n, list = binary.NativeEndian.Uint64(list), list[8:]
	}
	if n > uint64(len(list)/8) {
		return fmt.Errorf("page %d lists more free pages than it can", id)
	}
	for i := range n {
		if err := v.mark(binary.NativeEndian.Uint64(list[8*i:])); err != nil {
			return err
		}
	}
	return nil
}
