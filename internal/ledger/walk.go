package ledger

import (
	"bytes"
	"fmt"
	"io"
)

// walk is one reading of a file by verify.
//
// Invariant: the bit of a page is set in used once the page was found free or in a tree; no page is found twice. So
// pages that point to each other in a circle end the walk.
type walk struct {
	r        io.ReaderAt
	pageSize int64
	end      uint64 // the first page not in use
	used     []uint64
	path     [][]byte
	visit    func(entry) error
}

// bounds is what keys below a branch must keep: at least low, less than high; nil is no bound.
type bounds struct{ low, high []byte }

func (w *walk) bad(id uint64, format string, args ...any) error {
	return &pageError{page: id, why: fmt.Sprintf(format, args...)}
}

// take marks n pages from id.
func (w *walk) take(id, n uint64) error {
	if id < 2 || id >= w.end || n > w.end-id {
		return w.bad(id, "outside the file")
	}
	for ; n > 0; n, id = n-1, id+1 {
		if w.used[id/64]&(1<<(id%64)) != 0 {
			return w.bad(id, "used twice")
		}
		w.used[id/64] |= 1 << (id % 64)
	}
	return nil
}

// read takes the page and returns it whole.
func (w *walk) read(id uint64) ([]byte, error) {
	var head [pageHeader]byte
	if id < 2 || id >= w.end {
		return nil, w.bad(id, "outside the file")
	}
	if _, err := w.r.ReadAt(head[:], int64(id)*w.pageSize); err != nil {
		return nil, w.bad(id, "%v", err)
	}
	n := uint64(order.Uint32(head[12:])) + 1
	if got := order.Uint64(head[:]); got != id {
		return nil, w.bad(id, "says that it is page %d", got)
	}
	if n*uint64(w.pageSize) > maxChunk {
		return nil, w.bad(id, "%d pages long", n)
	}
	if err := w.take(id, n); err != nil {
		return nil, err
	}
	page := make([]byte, int64(n)*w.pageSize)
	if _, err := w.r.ReadAt(page, int64(id)*w.pageSize); err != nil {
		return nil, w.bad(id, "%v", err)
	}
	return page, nil
}

func (w *walk) freelist(id uint64) error {
	page, err := w.read(id)
	if err != nil {
		return err
	}
	if order.Uint16(page[8:]) != flagFreelist {
		return w.bad(id, "not a list of free pages")
	}
	ids, n := page[pageHeader:], uint64(order.Uint16(page[10:]))
	if n == 0xFFFF {
		n, ids = order.Uint64(ids), ids[8:]
	}
	if n > uint64(len(ids)/8) {
		return w.bad(id, "%d free pages don't fit", n)
	}
	for ; n > 0; n, ids = n-1, ids[8:] {
		if err := w.take(order.Uint64(ids), 1); err != nil {
			return err
		}
	}
	return nil
}

// tree reads the page and all below it.
func (w *walk) tree(id uint64, b bounds, depth int) error {
	page, err := w.read(id)
	if err != nil {
		return err
	}
	if depth > maxDepth {
		return w.bad(id, "too deep")
	}
	switch flags := order.Uint16(page[8:]); flags {
	case flagLeaf:
		return w.leaf(id, page, false, b, depth)
	case flagBranch:
		return w.branch(id, page, b, depth)
	default:
		return w.bad(id, "unknown kind %#x", flags)
	}
}

func (w *walk) branch(id uint64, page []byte, b bounds, depth int) error {
	n := int(order.Uint16(page[10:]))
	if n == 0 || pageHeader+n*elemSize > len(page) {
		return w.bad(id, "%d entries", n)
	}
	keys, children, next := make([][]byte, n), make([]uint64, n), pageHeader+n*elemSize
	for i := range n {
		at := pageHeader + i*elemSize
		pos, size := uint64(order.Uint32(page[at:])), uint64(order.Uint32(page[at+4:]))
		if uint64(at)+pos != uint64(next) || size == 0 || size > uint64(len(page)-next) {
			return w.bad(id, "entry %d is misplaced", i)
		}
		keys[i], children[i] = page[next:next+int(size)], order.Uint64(page[at+8:])
		next += int(size)
		if !follows(keys[i], b, i > 0, keys[max(i-1, 0)]) {
			return w.bad(id, "entry %d is out of order", i)
		}
	}
	for i := range n {
		below := bounds{low: keys[i], high: b.high}
		if i+1 < n {
			below.high = keys[i+1]
		}
		if err := w.tree(children[i], below, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// follows reports whether key may stand in bounds b and behind the one before it, if there is one.
func follows(key []byte, b bounds, after bool, before []byte) bool {
	if after && bytes.Compare(before, key) >= 0 {
		return false
	}
	return (b.low == nil || bytes.Compare(b.low, key) <= 0) && (b.high == nil || bytes.Compare(key, b.high) < 0)
}

// leaf reads a leaf page, or the page inside the value of a small bucket (inline), which its entries fill to the end.
func (w *walk) leaf(id uint64, page []byte, inline bool, b bounds, depth int) error {
	n := int(order.Uint16(page[10:]))
	if pageHeader+n*elemSize > len(page) {
		return w.bad(id, "%d entries", n)
	}
	var before []byte
	next := pageHeader + n*elemSize
	for i := range n {
		at := pageHeader + i*elemSize
		flags, pos := order.Uint32(page[at:]), uint64(order.Uint32(page[at+4:]))
		ksize, vsize := uint64(order.Uint32(page[at+8:])), uint64(order.Uint32(page[at+12:]))
		if uint64(at)+pos != uint64(next) || ksize == 0 || ksize+vsize > uint64(len(page)-next) || flags&^leafBucket != 0 {
			return w.bad(id, "entry %d is misplaced", i)
		}
		key := page[next : next+int(ksize)]
		value := page[next+int(ksize) : next+int(ksize+vsize)]
		next += int(ksize + vsize)
		if !follows(key, b, i > 0, before) {
			return w.bad(id, "entry %d is out of order", i)
		}
		before = key
		if err := w.entry(id, key, value, flags == leafBucket, depth); err != nil {
			return err
		}
	}
	// A count of 0 could be damage: then the entries are still there.
	if inline && next != len(page) || n == 0 && len(bytes.Trim(page[pageHeader:], "\x00")) > 0 {
		return w.bad(id, "more than its entries")
	}
	return nil
}

func (w *walk) entry(id uint64, key, value []byte, bucket bool, depth int) error {
	if err := w.visit(entry{path: w.path, key: key, value: value, bucket: bucket}); err != nil {
		return &pageError{page: id, why: err.Error(), cause: err}
	}
	if !bucket {
		return nil
	}
	if len(value) < rootSize {
		return w.bad(id, "bucket of %d bytes", len(value))
	}
	w.path = append(w.path, key)
	defer func() { w.path = w.path[:len(w.path)-1] }()
	root := order.Uint64(value)
	switch {
	case depth > maxDepth:
		return w.bad(id, "too deep")
	case root != 0 && len(value) == rootSize:
		return w.tree(root, bounds{}, depth+1)
	case root != 0 || len(value) < rootSize+pageHeader:
		return w.bad(id, "bucket of %d bytes", len(value))
	}
	page := value[rootSize:]
	if flags := order.Uint16(page[8:]); flags != flagLeaf {
		return w.bad(id, "small bucket of unknown kind %#x", flags)
	}
	return w.leaf(id, page, true, bounds{}, depth+1)
}
