package ledger

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// The parts of bbolt's file format that are needed to check a file without trusting it. The format has not changed
// since 2014; numbers are in the byte order of the machine.
const (
	pageHeader = 16 // id u64, flags u16, count u16, overflow u32
	elemSize   = 16 // branch: pos u32, ksize u32, pgid u64; leaf: flags u32, pos u32, ksize u32, vsize u32
	rootSize   = 16 // of a bucket: page u64, sequence u64

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagFreelist = 0x10
	leafBucket   = 0x01

	metaBytes = 64 // of a meta page behind its header; then the checksum of them
	metaMagic = 0xED0CDAED
	boltV2    = 2

	maxDepth  = 64      // of pages and buckets below each other; a file of 2^60 bytes needs less
	maxChunk  = 1 << 30 // bytes of one page with its overflow
	minPage   = 1 << 10
	maxPage   = 1 << 16
	sectorLen = 512
)

var order = binary.NativeEndian

// meta is what a meta page says.
type meta struct {
	pageSize                 int64
	root, freelist, end, txn uint64 // pages; end is the first page not in use
}

// entry is a key of a bucket that the check has come to. The slices are valid until the callback returns.
type entry struct {
	path   [][]byte // names of the buckets, from the outermost one
	key    []byte
	value  []byte
	bucket bool // key names a bucket; its entries follow
}

// verify reads the whole file of r and calls visit for each key, in order of the tree. It returns an error, a
// *pageError where a page can be named, unless all of this is so:
//
//   - both meta pages have their checksum. bbolt writes one at a time, in one sector, so that a crash leaves both
//     whole; without the newer one the last commit would silently be missing. Each is in its own place: a copy of
//     the older one over the newer would bring an older state.
//   - each page in use belongs to one tree once, or is free, never both and never neither.
//   - the entries fill each page without gaps, in order, within the bounds that the page above sets.
//
// So bbolt can't be led astray by a damaged file, and no key can be missing. What values hold is left to visit.
func verify(r io.ReaderAt, size int64, visit func(entry) error) (meta, error) {
	m, err := newestMeta(r, size)
	if err != nil {
		return m, err
	}
	if m.end > uint64(size/m.pageSize) {
		return m, fmt.Errorf("%d pages in use, the file has %d", m.end, size/m.pageSize)
	}
	w := &walk{r: r, pageSize: m.pageSize, end: m.end, used: make([]uint64, m.end/64+1), visit: visit}
	if err := w.freelist(m.freelist); err != nil {
		return m, err
	}
	if err := w.tree(m.root, bounds{}, 0); err != nil {
		return m, err
	}
	for id := uint64(2); id < m.end; id++ {
		if w.used[id/64]&(1<<(id%64)) == 0 {
			return m, w.bad(id, "neither used nor free")
		}
	}
	return m, nil
}

// pageError is a finding of verify on a page.
type pageError struct {
	page  uint64
	why   string
	cause error // what visit said; nil otherwise
}

func (e *pageError) Error() string { return fmt.Sprintf("page %d: %s", e.page, e.why) }
func (e *pageError) Unwrap() error { return e.cause }

func newestMeta(r io.ReaderAt, size int64) (meta, error) {
	first, err := readMeta(r, 0)
	if err != nil {
		return meta{}, &pageError{page: 0, why: err.Error()}
	}
	second, err := readMeta(r, first.pageSize)
	if err != nil {
		return meta{}, &pageError{page: 1, why: err.Error()}
	}
	switch { // of each two transactions, the even one writes page 0
	case second.pageSize != first.pageSize:
		return meta{}, &pageError{page: 1, why: "page size differs from page 0's"}
	case first.txn%2 != 0:
		return meta{}, &pageError{page: 0, why: fmt.Sprintf("transaction %d belongs on page 1", first.txn)}
	case second.txn%2 != 1:
		return meta{}, &pageError{page: 1, why: fmt.Sprintf("transaction %d belongs on page 0", second.txn)}
	}
	if first.txn > second.txn {
		return first, nil
	}
	return second, nil
}

func readMeta(r io.ReaderAt, off int64) (meta, error) {
	var buf [pageHeader + metaBytes]byte
	if _, err := r.ReadAt(buf[:], off); err != nil {
		return meta{}, fmt.Errorf("no meta page: %w", err)
	}
	b := buf[pageHeader:]
	h := fnv.New64a()
	h.Write(b[:metaBytes-8])
	m := meta{
		pageSize: int64(order.Uint32(b[8:])), root: order.Uint64(b[16:]),
		freelist: order.Uint64(b[32:]), end: order.Uint64(b[40:]), txn: order.Uint64(b[48:]),
	}
	switch {
	case order.Uint32(b) != metaMagic:
		return m, fmt.Errorf("not a file of bbolt")
	case h.Sum64() != order.Uint64(b[metaBytes-8:]):
		return m, fmt.Errorf("checksum of the meta page differs")
	case order.Uint32(b[4:]) != boltV2:
		return m, fmt.Errorf("bbolt's format %d", order.Uint32(b[4:]))
	case m.pageSize < minPage || m.pageSize > maxPage || m.pageSize&(m.pageSize-1) != 0:
		return m, fmt.Errorf("page size of %d", m.pageSize)
	}
	return m, nil
}

// unborn reports whether the file is one whose creation was cut off before anything could be committed to it: no
// longer than bbolt's first write, and nothing in it but what that writes: at most 96 bytes at the start of a page, and
// transactions 0 and 1. So a longer file of which only the beginning is left is not taken for one.
func unborn(r io.ReaderAt, size int64) bool {
	page := int64(os.Getpagesize())
	if size > 4*page {
		return false
	}
	for _, off := range []int64{0, page} {
		if m, err := readMeta(r, off); err == nil && m.txn > 1 {
			return false
		}
	}
	buf := make([]byte, size)
	if _, err := r.ReadAt(buf, 0); err != nil && err != io.EOF {
		return false
	}
	for off := int64(0); off < size; off += sectorLen {
		sector := buf[off:min(off+sectorLen, size)]
		if off%page == 0 {
			sector = sector[min(96, len(sector)):]
		}
		if len(bytes.Trim(sector, "\x00")) > 0 {
			return false
		}
	}
	return true
}
