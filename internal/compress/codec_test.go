package compress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// samples are bodies of many kinds.
func samples() map[string][]byte {
	random := make([]byte, 300<<10)
	source := rand.New(rand.NewPCG(1, 2))
	for i := range random {
		random[i] = byte(source.Uint32())
	}
	var text bytes.Buffer
	for i := range 20_000 {
		fmt.Fprintf(&text, `{"id":%d,"name":"user-%d"}`, i, source.IntN(100))
	}
	all := map[string][]byte{
		"nothing": {}, "zeros": make([]byte, 3<<20), "random": random, "text": text.Bytes(),
	}
	for _, n := range []int{1, 31, 255, 256, 257, 1 << 10, 1<<10 + 1, 64 << 10, 128 << 10, 128<<10 + 1, window, window + 1} {
		all[fmt.Sprintf("text of %d", n)] = text.Bytes()[:n]
	}
	return all
}

func TestThereAndBack(t *testing.T) {
	var c Codec
	for name, body := range samples() {
		for _, alg := range Algorithms() {
			what := fmt.Sprintf("%v of %s", alg, name)
			small, err := c.Append([]byte("head"), body, alg)
			if err != nil || !bytes.HasPrefix(small, []byte("head")) {
				t.Fatalf("%s: %v", what, err)
			}
			small = small[len("head"):]
			if strings.HasPrefix(name, "text") && alg != None && len(body) > 1<<10 && len(small) > len(body)*2/3 {
				t.Errorf("%s: %d bytes become %d", what, len(body), len(small))
			}
			for _, dst := range [][]byte{nil, []byte("head"), make([]byte, 7, 8<<20)} {
				back, err := c.Expand(dst, small, alg, len(body))
				if err != nil || !bytes.HasPrefix(back, dst) || !bytes.Equal(back[len(dst):], body) {
					t.Errorf("%s behind %d bytes: %d come back, %v", what, len(dst), len(back)-len(dst), err)
				}
			}
			if len(body) == 0 {
				continue
			}
			back, err := c.Expand([]byte("head"), small, alg, len(body)-1)
			if err != ErrTooLarge || string(back) != "head" {
				t.Errorf("%s, a byte over the limit: %q, %v", what, back, err)
			}
		}
	}
}

func TestNames(t *testing.T) {
	for _, a := range Algorithms() {
		if got, err := Parse(a.String()); got != a || err != nil || !a.Known() {
			t.Errorf("%v parses as %v, %v", a, got, err)
		}
	}
	_, err := Parse("lz4")
	if !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "none, s2, zstd") {
		t.Errorf("lz4: %v", err)
	}
	if None != 0 || S2 != 1 || Zstd != 2 {
		t.Error("the numbers on the wire have changed")
	}
	var c Codec
	if _, err := c.Append(nil, nil, 77); !errors.Is(err, ErrUnknown) {
		t.Errorf("compressing by algorithm 77: %v", err)
	}
	if _, err := c.Expand(nil, nil, 77, 10); !errors.Is(err, ErrUnknown) || Algorithm(77).Known() {
		t.Errorf("expanding by algorithm 77: %v", err)
	}
}

const magic = "\x28\xb5\x2f\xfd"

// zeros is a frame of blocks that say "128 KiB of zeros" in four bytes. It
// declares that it holds size bytes; negative: it declares nothing.
func zeros(blocks int, size int64) []byte {
	frame := []byte(magic + "\x00\x98") // no size, window of 512 MiB
	if size >= 0 {
		frame = binary.LittleEndian.AppendUint64([]byte(magic+"\xe0"), uint64(size))
	}
	for i := range blocks {
		head := uint32(block)<<3 | 1<<1
		if i == blocks-1 {
			head |= 1
		}
		frame = append(frame, byte(head), byte(head>>8), byte(head>>16), 0)
	}
	return frame
}

// Bombs cost their receiver the limit at most, whatever they declare.
func TestBombs(t *testing.T) {
	const limit = 4 << 20
	s2Bomb := binary.AppendUvarint(nil, 3<<30)
	s2Bomb = append(s2Bomb, 0, 'x') // a literal of one byte, then repeats
	s2Liar := append(binary.AppendUvarint(nil, limit), 0, 'x')
	for range 100 << 10 {
		s2Bomb = append(s2Bomb, 0x1d, 0, 0xff, 0xff, 0xff) // 16 MiB each
		s2Liar = append(s2Liar, 0x1d, 0, 0xff, 0xff, 0xff)
	}
	var c Codec
	// Of compressed blocks, whose size nobody knows before.
	text := bytes.Repeat(samples()["text"], 8)
	zstdLiar, err := c.Append(nil, text[:3<<20], Zstd)
	if err != nil || zstdLiar[4]>>5 != 0b101 {
		t.Fatalf("the size is not where it was expected: %x, %v", zstdLiar[:12], err)
	}
	binary.LittleEndian.PutUint32(zstdLiar[5:], 1<<20)
	cases := []struct {
		name string
		alg  Algorithm
		src  []byte
		want error
	}{
		{"zstd, 3 MiB of text declared as 1", Zstd, zstdLiar, ErrCorrupt},
		{"zstd, 10 GiB declared", Zstd, zeros(80<<10, 10<<30), ErrTooLarge},
		{"zstd, 10 GiB undeclared", Zstd, zeros(80<<10, -1), ErrCorrupt},
		{"zstd, 10 GiB declared as the limit", Zstd, zeros(80<<10, limit), ErrCorrupt},
		{"zstd, 10 GiB declared as 1 MiB", Zstd, zeros(80<<10, 1<<20), ErrCorrupt},
		{"zstd, 10 GiB declared as 200 KiB", Zstd, zeros(80<<10, 200<<10), ErrCorrupt},
		{"zstd, 10 GiB in two frames", Zstd, append(zeros(32, limit), zeros(80<<10, -1)...), ErrCorrupt},
		{"zstd, the limit declared and nothing there", Zstd, zeros(1, limit), ErrCorrupt},
		{"zstd, a size that is no int", Zstd, zeros(1, 1<<62), ErrTooLarge},
		{"zstd, a frame to skip", Zstd, []byte("\x50\x2a\x4d\x18\x00\x00\x00\x00"), ErrCorrupt},
		{"zstd, nothing", Zstd, nil, ErrCorrupt},
		{"zstd, a header only", Zstd, zeros(1, 5)[:9], ErrCorrupt},
		{"s2, 3 GiB declared", S2, s2Bomb, ErrTooLarge},
		{"s2, 1.6 TiB declared as the limit", S2, s2Liar, ErrCorrupt},
		{"s2, a size that is no uint32", S2, binary.AppendUvarint(nil, 1<<40), ErrCorrupt},
		{"s2, nothing", S2, nil, ErrCorrupt},
		{"s2, a size only", S2, []byte{5}, ErrCorrupt},
		{"none", None, make([]byte, limit+1), ErrTooLarge},
	}
	for _, one := range cases {
		// Twice: the first time pays for a decoder.
		for range 2 {
			dst := []byte("head")
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got, err := c.Expand(dst, one.src, one.alg, limit)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, one.want) || string(got) != "head" {
				t.Errorf("%s: %d bytes, %v, want %v", one.name, len(got), err, one.want)
			}
			if cost := after.TotalAlloc - before.TotalAlloc; cost > limit+1<<20 {
				t.Errorf("%s: %d bytes of input cost %d KiB", one.name, len(one.src), cost>>10)
			}
		}
	}
	body := zeros(32, limit)
	if got, err := c.Expand(nil, body, Zstd, limit); err != nil || len(got) != limit {
		t.Errorf("an honest frame of the limit: %d bytes, %v", len(got), err)
	}
}

// What a Codec keeps for reuse is small.
func TestMemory(t *testing.T) {
	body := samples()["text"][:600<<10]
	for _, alg := range Algorithms() {
		var c Codec
		dst := make([]byte, 0, 1<<20)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		small, err := c.Append(dst, body, alg)
		if err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		encoding := after.TotalAlloc - before.TotalAlloc
		back := make([]byte, 0, 1<<20)
		runtime.ReadMemStats(&before)
		if _, err := c.Expand(back, small, alg, len(body)); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		decoding := after.TotalAlloc - before.TotalAlloc
		t.Logf("%v: the first use allocates %d KiB to compress, %d KiB to expand", alg, encoding>>10, decoding>>10)
		if encoding > 4<<20 || decoding > 1<<20 {
			t.Errorf("%v: the first use allocates %d KiB to compress, %d KiB to expand", alg, encoding>>10, decoding>>10)
		}
	}
}

// Many at once share what is pooled.
func TestConcurrent(t *testing.T) {
	var c Codec
	bodies := samples()
	var wg sync.WaitGroup
	for _, alg := range Algorithms() {
		for name, body := range bodies {
			wg.Go(func() {
				for range 3 {
					small, err := c.Append(nil, body, alg)
					if err != nil {
						t.Error(err)
					}
					if back, err := c.Expand(nil, small, alg, len(body)); err != nil || !bytes.Equal(back, body) {
						t.Errorf("%v of %s: %v", alg, name, err)
					}
				}
			})
		}
	}
	wg.Wait()
}

func FuzzExpand(f *testing.F) {
	var c Codec
	for _, alg := range Algorithms() {
		for _, body := range []string{"", "x", strings.Repeat("hello ", 100)} {
			small, _ := c.Append(nil, []byte(body), alg)
			f.Add(small, uint8(alg), uint16(1000))
		}
	}
	f.Add(zeros(3, 3*block), uint8(Zstd), uint16(1000))
	f.Add(zeros(3, 1000), uint8(Zstd), uint16(1000))
	f.Fuzz(func(t *testing.T, src []byte, number uint8, limit uint16) {
		alg := Algorithm(number % 4)
		got, err := c.Expand([]byte("head"), src, alg, int(limit))
		if !bytes.HasPrefix(got, []byte("head")) || len(got) > 4+int(limit) {
			t.Fatalf("%d bytes", len(got))
		}
		if err != nil {
			if string(got) != "head" {
				t.Fatalf("%q beside the error %v", got, err)
			}
			if !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrUnknown) {
				t.Fatalf("error %v", err)
			}
			return
		}
		again, err := c.Append(nil, got[4:], alg)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := c.Expand(nil, again, alg, len(got)); err != nil || !bytes.Equal(back, got[4:]) {
			t.Fatalf("%x comes back as %x, %v", got[4:], back, err)
		}
	})
}

func BenchmarkCodec(b *testing.B) {
	var c Codec
	text := samples()["text"]
	for _, size := range []int{1 << 10, 64 << 10} {
		for _, alg := range Algorithms()[1:] {
			body := text[:size]
			small, _ := c.Append(nil, body, alg)
			b.Run(fmt.Sprintf("%v/%d/append", alg, size), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(size))
				b.ReportMetric(float64(len(small))/float64(size), "ratio")
				var dst []byte
				for b.Loop() {
					dst, _ = c.Append(dst[:0], body, alg)
				}
			})
			b.Run(fmt.Sprintf("%v/%d/expand", alg, size), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(size))
				var dst []byte
				for b.Loop() {
					dst, _ = c.Expand(dst[:0], small, alg, size)
				}
			})
		}
	}
}
