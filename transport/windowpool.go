package transport

import (
	"sync/atomic"

	"github.com/meshnode/meshnode/internal/wire"
)

const (
	// streamFloor is the smallest window of a stream, and its first, in bytes.
	streamFloor = wire.StreamWindow
	// poolShare is the part of what is left in a pool that one window may take
	// at once. So 192 streams have full windows, and some hundred more have
	// smaller ones, before those that come find nothing but the floor.
	poolShare = 64
	// poolScarce is the part of a pool below which windows shrink as they are
	// used, so that streams which came later get their share.
	poolScarce = 16
)

// windowPool is what the windows of a connection's streams share: the bytes that
// may arrive and lie unread. A stream can always use its floor, so none waits for
// the reader of another one. What its window has beyond the floor is lent by the
// pool, for as long as more can arrive.
//
// Invariant: lent is the sum of what open windows exceed floor by, and is at most
// size. So at most size + floor bytes for each open stream lie unread.
type windowPool struct {
	size  int64 // bytes that can be lent
	floor int64 // bytes of a stream's smallest window
	full  int64 // bytes of its largest
	lent  atomic.Int64
}

func (p *windowPool) init(size, window int64) {
	p.size, p.floor, p.full = size, min(window, streamFloor), window
}

// lend returns by how many bytes a window may grow, which count as lent.
func (p *windowPool) lend(window int64) (more int64) {
	for {
		lent := p.lent.Load()
		more = min(p.full-window, (p.size-lent)/poolShare)
		if more <= 0 {
			return 0
		}
		if p.lent.CompareAndSwap(lent, lent+more) {
			return more
		}
	}
}

// adjust returns by how many bytes a window changes whose reader has taken some:
// it grows while the pool has enough and, when that has little left, shrinks by no
// more than taken. So windows of streams in use get alike.
func (p *windowPool) adjust(window, taken int64) (change int64) {
	free, less := p.size-p.lent.Load(), int64(0)
	if free < p.size/poolScarce {
		less = min((window-p.floor)/4, taken/2)
	}
	if free/poolShare > less {
		return p.lend(window)
	}
	p.giveBack(less)
	return -less
}

// giveBack counts bytes as not lent any more.
func (p *windowPool) giveBack(n int64) { p.lent.Add(-n) }
