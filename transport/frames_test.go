package transport

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/meshnode/meshnode/internal/wire"
)

// chunks reads a stream in pieces of the given sizes, over and over.
type chunks struct {
	data  []byte
	sizes []int
	n     int
}

func (c *chunks) Read(b []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	size := min(c.sizes[c.n%len(c.sizes)], len(b), len(c.data))
	c.n++
	copy(b, c.data[:size])
	c.data = c.data[size:]
	return size, nil
}

// stream puts frames with the given bodies one behind the other.
func stream(bodies [][]byte) []byte {
	var b []byte
	for _, body := range bodies {
		at := len(b)
		b, _ = wire.Begin(b)
		b = wire.End(append(b, body...), at)
	}
	return b
}

// However a stream is cut into reads, the same frames come out of it.
func TestFramesFromAnyChunks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 200), rapid.IntRange(3000, 5000),
			rapid.IntRange(wire.MaxFrame-10, wire.MaxFrame), rapid.Just(wire.Chunk)), 1, 12).Draw(t, "frames")
		bodies := make([][]byte, len(sizes))
		for i, n := range sizes {
			bodies[i] = bytes.Repeat([]byte{byte(i + 1)}, n)
		}
		cuts := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(1, 9), rapid.IntRange(1, 70_000)), 1, 8).Draw(t, "cuts")
		in := &chunks{data: stream(bodies), sizes: cuts}
		f := frameReader{r: in, limit: wire.MaxFrame}
		for i, want := range bodies {
			ready, reads := f.ready(), in.n
			frame, err := f.next()
			if err != nil || !bytes.Equal(frame, want) {
				t.Fatalf("frame %d: %d bytes, %v, want %d bytes", i, len(frame), err, len(want))
			}
			if ready && in.n != reads {
				t.Fatalf("frame %d of %d bytes was called ready and had to be read", i, len(want))
			}
		}
		if _, err := f.next(); err != io.EOF {
			t.Fatalf("behind the last frame: %v, want EOF", err)
		}
		if len(f.buf) > maxReadBuffer {
			t.Fatalf("the buffer grew to %d bytes", len(f.buf))
		}
	})
}

// A stream that ends or breaks inside a frame is told from one that ends well.
func TestFrameCutAnywhere(t *testing.T) {
	for _, size := range []int{0, 5, wire.MaxFrame} {
		whole := stream([][]byte{make([]byte, size)})
		for _, n := range []int{0, 1, 3, 4, 5, 8, minReadBuffer, wire.MaxFrame, len(whole) - 1} {
			if n >= len(whole) {
				continue
			}
			want := io.ErrUnexpectedEOF
			if n == 0 {
				want = io.EOF
			}
			f := frameReader{r: bytes.NewReader(whole[:n]), limit: wire.MaxFrame}
			_, err := f.next()
			same(t, "end", err, want)
			broken := errors.New("broken")
			f = frameReader{r: io.MultiReader(bytes.NewReader(whole[:n]), iotest.ErrReader(broken)), limit: wire.MaxFrame}
			_, err = f.next()
			same(t, "break", err, broken)
		}
	}
}

// The error of a read that also brought bytes comes after these bytes.
func TestDataWithError(t *testing.T) {
	data := stream([][]byte{[]byte("one"), make([]byte, wire.MaxFrame), []byte("three")})
	f := frameReader{r: iotest.DataErrReader(bytes.NewReader(data)), limit: wire.MaxFrame}
	for i := range 3 {
		if _, err := f.next(); err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
	}
	_, err := f.next()
	same(t, "end", err, io.EOF)
}

func TestFrameReaderLimit(t *testing.T) {
	for _, c := range []struct {
		size int
		want error
	}{{999, nil}, {1000, nil}, {1001, ErrFrameTooLarge}} {
		f := frameReader{r: bytes.NewReader(stream([][]byte{make([]byte, c.size)})), limit: 1000}
		_, err := f.next()
		same(t, "error", err, c.want)
	}
	// Lengths that a 32-bit int takes for negative.
	for _, length := range []string{"\x80\x00\x00\x00", "\xff\xff\xff\xff", "\xff\xff\xff\xfc"} {
		f := frameReader{r: bytes.NewReader([]byte(length + "xxxx")), limit: 1000}
		_, err := f.next()
		same(t, "error", err, ErrFrameTooLarge)
	}
}

// A declared length costs nothing: memory follows the bytes that came.
func TestDeclaredLengthCostsNothing(t *testing.T) {
	for _, come := range []int{0, 1, 1000, 10_000, 100_000} {
		data := stream([][]byte{make([]byte, wire.MaxFrame)})[:wire.Prefix+come]
		grown := allocated(func() {
			f := frameReader{r: bytes.NewReader(data), limit: wire.MaxFrame}
			_, err := f.next()
			if err != io.ErrUnexpectedEOF && err != io.EOF {
				t.Error(err)
			}
		})
		if most := uint64(6*come + 3*minReadBuffer); grown > most {
			t.Errorf("%d bytes of a frame came and cost %d bytes, more than %d", come, grown, most)
		}
	}
}

// allocated gives the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Many strangers that declare the largest frame and send nothing more.
func TestDeclaredLengthsOfMany(t *testing.T) {
	l := &lab{t, newMemNet(1000)}
	h := l.host(Config{Name: "b"})
	const strangers = 100
	raws := make([]*raw, strangers)
	for i := range raws {
		raws[i] = l.greeted(h)
	}
	eventually(t, "connections", func() bool { return h.Conns() == strangers })
	grown := allocated(func() {
		for _, r := range raws {
			r.write(append(binaryLength(wire.MaxFrame), "\x93\x02\xa1m\x80"...))
		}
		for _, r := range raws {
			eventually(t, "read", func() bool { return r.nc.(*memConn).out.buffered() == 0 })
		}
	})
	if most := uint64(strangers * 3 * minReadBuffer); grown > most {
		t.Errorf("%d strangers who declared the longest frame cost %d bytes, more than %d", strangers, grown, most)
	}
	same(t, "protocol errors", h.stats.Get(ProtocolErrors), 0)
}

// What is pooled keeps no large frame alive, also not by a slice of it.
func TestPoolsKeepNoLargeFrames(t *testing.T) {
	ep := newEndpoint(t, Config{})
	r := &Reply{conn: &Conn{ep: ep}, frame: make([]byte, keepFrame+1)}
	r.head.Meta.User = []Pair{{Key: r.frame[:1]}}
	ep.putReply(r)
	in := &Incoming{conn: r.conn, frame: make([]byte, keepFrame+1)}
	in.head.Method = in.frame[:1]
	ep.putIncoming(in)
	if r.frame != nil || r.head.Meta.User[0].Key != nil || in.frame != nil || in.head.Method != nil {
		t.Error("a pooled object keeps a large frame")
	}
}
