package rpc

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// Copies stay what they were, whatever is copied after them or appended to
// another one.
func TestSlabKeepsCopies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s slab
		var copies []*[]byte
		var want [][]byte
		for i, n := range rapid.SliceOfN(rapid.IntRange(0, 2*slabMost), 1, 300).Draw(t, "lengths") {
			b := bytes.Repeat([]byte{byte(i)}, n)
			copies, want = append(copies, s.copy(b)), append(want, bytes.Clone(b))
			clear(b) // as the next message would overwrite it
			if i%7 == 0 {
				*copies[i] = append(*copies[i], 0xff)
				want[i] = append(want[i], 0xff)
			}
		}
		for i := range copies {
			if !bytes.Equal(*copies[i], want[i]) {
				t.Fatalf("copy %d of %d bytes is % x", i, len(want[i]), *copies[i])
			}
		}
	})
}
