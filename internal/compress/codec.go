package compress

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/s2"
)

// Codec compresses and expands bodies. The zero Codec is ready.
type Codec struct {
	encoders sync.Pool // of *zstd.Encoder
	decoders sync.Pool // of *zstd.Decoder
}

// Append appends src, compressed, to dst. The result may be longer than src: a
// caller that minds compares. src and dst's spare room must not overlap. The
// error is ErrUnknown.
func (c *Codec) Append(dst, src []byte, alg Algorithm) ([]byte, error) {
	switch alg {
	case None:
		return append(dst, src...), nil
	case S2:
		dst = room(dst, s2.MaxEncodedLen(len(src)))
		small := s2.Encode(dst[len(dst):cap(dst)], src)
		return dst[:len(dst)+len(small)], nil
	case Zstd:
		return c.appendZstd(dst, src), nil
	}
	return dst, unknown(alg)
}

// Expand appends to dst what Append made src from, of at most limit bytes.
// On an error dst comes back as it was, but for its spare room. Errors:
// ErrTooLarge, ErrCorrupt, ErrUnknown.
func (c *Codec) Expand(dst, src []byte, alg Algorithm, limit int) ([]byte, error) {
	switch alg {
	case None:
		if len(src) > limit {
			return dst, ErrTooLarge
		}
		return append(dst, src...), nil
	case S2:
		return expandS2(dst, src, limit)
	case Zstd:
		return c.expandZstd(dst, src, limit)
	}
	return dst, unknown(alg)
}

func unknown(alg Algorithm) error { return fmt.Errorf("%w: %v", ErrUnknown, alg) }

func expandS2(dst, src []byte, limit int) ([]byte, error) {
	size, err := s2.DecodedLen(src)
	switch {
	case err == s2.ErrTooLarge || err == nil && size > limit:
		return dst, ErrTooLarge
	case err != nil:
		return dst, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	grown := room(dst, size)
	body, err := s2.Decode(grown[len(dst):len(dst)+size], src)
	if err != nil {
		return dst, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return grown[:len(dst)+len(body)], nil
}

// room gives dst with room for n more bytes: just so many, if it must move. It is
// slices.Grow without the reserve for what comes later.
func room(dst []byte, n int) []byte {
	if cap(dst)-len(dst) >= n {
		return dst
	}
	moved := make([]byte, len(dst), len(dst)+n)
	copy(moved, dst)
	return moved
}
