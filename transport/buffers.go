package transport

import "sync"

// bufferSizes are the tiers of buffers kept for reuse, in bytes. What is larger
// than the last is left to the collector.
var bufferSizes = [...]int{16 << 10, 68 << 10, 132 << 10, gather + 132<<10, 4 * gather}

// buffers keeps byte slices for reuse, by size. The collector empties it when
// they are not used, so that a burst of large bodies hoards nothing.
type buffers struct {
	tiers [len(bufferSizes)]sync.Pool // of *[]byte, each at least of its tier's size
}

// get gives an empty slice with room for n bytes.
func (b *buffers) get(n int) []byte {
	for i, size := range bufferSizes {
		if n > size {
			continue
		}
		if p, ok := b.tiers[i].Get().(*[]byte); ok {
			return (*p)[:0]
		}
		return make([]byte, 0, size)
	}
	return make([]byte, 0, n)
}

// put takes a slice back. Nobody may use it any more.
func (b *buffers) put(buf []byte) {
	for i := len(bufferSizes) - 1; i >= 0; i-- {
		if cap(buf) < bufferSizes[i] {
			continue
		}
		if cap(buf) <= 2*bufferSizes[len(bufferSizes)-1] {
			buf = buf[:0]
			b.tiers[i].Put(&buf)
		}
		return
	}
}
