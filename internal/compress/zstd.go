package compress

import (
	"fmt"
	"math"

	"github.com/klauspost/compress/zstd"
)

const (
	// window bounds how far back an encoder looks, and with it its memory.
	window = 512 << 10
	// block is the most that one block of a frame expands to, by the format.
	block = 128 << 10
)

func (c *Codec) appendZstd(dst, src []byte) []byte {
	enc, ok := c.encoders.Get().(*zstd.Encoder)
	if !ok {
		enc = newEncoder()
	}
	defer c.encoders.Put(enc)
	return enc.EncodeAll(src, dst)
}

// newEncoder gives one for EncodeAll only, which starts no goroutine.
func newEncoder() *zstd.Encoder {
	enc, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(true),
		zstd.WithEncoderCRC(false),   // the stream beneath has its own
		zstd.WithSingleSegment(true), // declares the size of the content,
		zstd.WithZeroFrames(true),    // even if there is none
	)
	if err != nil {
		panic(err) // the options are constants
	}
	return enc
}

// newDecoder gives one for DecodeAll only, which starts no goroutine and decodes
// into the room that it is given.
func newDecoder() *zstd.Decoder {
	dec, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return dec
}

// expandZstd takes one frame that declares the size of its content, and makes
// just that much room. A block that gives more than was declared is noticed
// when it is decoded; there is room for that as well, so that nothing is moved.
func (c *Codec) expandZstd(dst, src []byte, limit int) ([]byte, error) {
	size, err := contentSize(src, limit)
	if err != nil {
		return dst, err
	}
	dec, ok := c.decoders.Get().(*zstd.Decoder)
	if !ok {
		dec = newDecoder()
	}
	defer c.decoders.Put(dec)
	grown := room(dst, size+min(size/8, block))
	body, err := dec.DecodeAll(src, grown[len(dst):len(dst):cap(grown)])
	switch {
	case err != nil:
		return dst, fmt.Errorf("%w: %w", ErrCorrupt, err)
	case len(body) != size:
		return dst, fmt.Errorf("%w: %d bytes where %d were declared", ErrCorrupt, len(body), size)
	}
	return grown[:len(dst)+size], nil
}

// contentSize reads what the frame declares, and checks what can be told without
// decoding.
func contentSize(src []byte, limit int) (int, error) {
	var h zstd.Header
	if err := h.Decode(src); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	switch {
	case h.Skippable || !h.HasFCS:
		return 0, fmt.Errorf("%w: the frame does not declare its content's size", ErrCorrupt)
	case h.FrameContentSize > uint64(max(limit, 0)):
		return 0, ErrTooLarge
	}
	least, most, end := walk(src, h.HeaderSize)
	if h.HasCheckSum {
		end += 4
	}
	switch size := int(h.FrameContentSize); {
	case end != len(src):
		return 0, fmt.Errorf("%w: the input is not one whole frame", ErrCorrupt)
	case size < least || size > most:
		return 0, fmt.Errorf("%w: %d bytes are declared where %d to %d are", ErrCorrupt, size, least, most)
	default:
		return size, nil
	}
}

// Types of blocks.
const (
	blockRaw    = iota
	blockRepeat // of one byte
	blockCompressed
)

// walk passes over a frame's blocks, whose heads begin at pos, and gives how many
// bytes they expand to, at least and at most, and where they end: 0 if they are
// malformed or cut short.
func walk(src []byte, pos int) (least, most, end int) {
	for pos+3 <= len(src) {
		head := int(src[pos]) | int(src[pos+1])<<8 | int(src[pos+2])<<16
		last, kind, size := head&1 == 1, head>>1&3, head>>3
		if size > block {
			return 0, 0, 0
		}
		pos += 3
		switch kind {
		case blockRaw:
			pos, least, most = pos+size, least+size, most+size
		case blockRepeat:
			pos, least, most = pos+1, least+size, most+size
		case blockCompressed:
			pos, most = pos+size, most+block
		default:
			return 0, 0, 0
		}
		least, most = min(least, math.MaxInt32/2), min(most, math.MaxInt32/2) // beyond any limit
		if last {
			return least, most, pos
		}
	}
	return 0, 0, 0
}
