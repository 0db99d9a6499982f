package wire

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"
)

// The decoder that Scan protects is vmihailenco/msgpack: what that writes must
// pass, and what passes must not make it allocate without bound.

type record struct {
	Name   string
	Tags   []string
	Scores map[string]float64
	Blob   []byte
	At     time.Time
	Inner  *record
	Any    any
}

func TestScanTakesWhatTheEncoderWrites(t *testing.T) {
	for _, v := range []any{
		nil, true, 0, -1, int64(math.MinInt64), uint64(math.MaxUint64), 1.5, float32(1.5), "", "text",
		strings.Repeat("x", 70000),
		[]byte{1, 2},
		make([]byte, 70000),
		[]int{},
		make([]int, 70000),
		map[string]int{"a": 1},
		map[int]any{1: map[string]any{}},
		time.Unix(1, 1), time.Unix(1<<40, 0),
		[]any{1, "a", nil, []any{map[string]any{"k": []byte{}}}},
		record{Name: "n", Tags: []string{"t"}, Inner: &record{Any: []any{1.5, "x"}}},
		errors.New("text"), time.Second,
	} {
		b, err := msgpack.Marshal(v)
		if err != nil {
			t.Fatalf("%T: %v", v, err)
		}
		if err := Scan(b, MaxDepth); err != nil {
			t.Errorf("%T: % .40x: %v", v, b, err)
		}
	}
}

// Any tree of values passes Scan at its own depth, and at no smaller one.
func TestScanTakesTrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v, depth := tree(t, 4)
		b, err := msgpack.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := Scan(b, depth); err != nil {
			t.Fatalf("depth %d: %x: %v", depth, b, err)
		}
		if err := Scan(b, depth-1); depth > 0 && err != ErrTooDeep {
			t.Fatalf("depth %d with limit %d: %x: %v", depth, depth-1, b, err)
		}
		cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
		if Scan(b[:cut], MaxDepth) == nil {
			t.Fatalf("%x passes when cut to %d bytes", b, cut)
		}
	})
}

// tree draws a value and tells how deep it nests containers that hold something.
func tree(t *rapid.T, most int) (v any, depth int) {
	kind := rapid.IntRange(0, 9).Draw(t, "kind")
	if most == 0 {
		kind %= 5
	}
	switch kind {
	case 0:
		return rapid.Int64().Draw(t, "int"), 0
	case 1:
		return rapid.Uint64().Draw(t, "uint"), 0
	case 2:
		return rapid.String().Draw(t, "string"), 0
	case 3:
		return rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "bytes"), 0
	case 4:
		return rapid.Float64().Draw(t, "float"), 0
	}
	n := rapid.IntRange(0, 1<<most).Draw(t, "n")
	array, object := make([]any, n), make(map[string]any)
	for i := range n {
		child, below := tree(t, most-1)
		array[i], object[string(rune('a'+i))] = child, child
		depth = max(depth, 1+below)
	}
	if kind%2 == 0 {
		return array, depth
	}
	return object, depth
}

var errGuarded = errors.New("a value begins where none may")

// guarded keeps the decoder from reading a value's first byte at the given
// offsets, which are those of extensions' payloads: when it wants a map and
// meets an extension, it would take the payload for the map, and Scan has
// passed over it. Package rpc does the same.
type guarded struct {
	bytes.Reader
	at []int
}

// payloads gives the offsets of the payloads of all extensions in b, which has
// passed Scan.
func payloads(b []byte) (at []int) {
	for pos := 0; pos < len(b); {
		size, _, _ := scanHead(b[pos:])
		head := 0
		switch c := b[pos]; {
		case c >= 0xd4 && c <= 0xd8:
			head = 2
		case c >= 0xc7 && c <= 0xc9:
			head = 2 + 1<<(c-0xc7)
		}
		if head > 0 && head < size {
			at = append(at, pos+head)
		}
		pos += size
	}
	return at
}

func (g *guarded) ReadByte() (byte, error) {
	pos := int(g.Size()) - g.Len()
	if _, found := slices.BinarySearch(g.at, pos); found {
		return 0, errGuarded
	}
	return g.Reader.ReadByte()
}

func unmarshal(b []byte, at []int, into any) (err error) {
	g := guarded{at: at}
	g.Reset(b)
	// The library panics at a nil in place of a time; package rpc makes an error
	// of that, as of a panic in a value's own unmarshaller.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return msgpack.NewDecoder(&g).Decode(into)
}

// decode gives b to the decoder in all the shapes that calls use. Its errors
// don't matter here.
func decode(b []byte, at []int) {
	type list []list
	type tree map[string]tree
	for _, into := range []any{
		new(any), new([]any), new(map[string]any), new(record), new([]string), new([]byte),
		new(map[string]string), new([]int), new([]record), new(string), new(time.Time),
		new([]map[string]any), new(map[int]any), new(list), new(tree),
	} {
		_ = unmarshal(b, at, into)
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

// decodeCost is what decode may allocate for n bytes.
func decodeCost(n int) uint64 { return 1<<20 + 4096*uint64(n) }

// The decoder alone would fall for these, so the bound is known to bite.
func TestScanStopsWhatTheDecoderFallsFor(t *testing.T) {
	lie := unhex(t, "dd 00080000 00") // half a million elements in 6 bytes
	if got := allocated(func() { decode(lie, nil) }); got < decodeCost(len(lie)) {
		t.Errorf("the decoder allocates only %d bytes for a lie: is Scan still needed?", got)
	}
	same(t, "Scan", Scan(lie, MaxDepth), ErrLength)
}

// A map in disguise passes Scan, is stopped by the guard, and would cost much
// without it.
func TestMapsInExtensions(t *testing.T) {
	b := unhex(t, "d7 05 df 00080000 000000")
	same(t, "Scan", Scan(b, MaxDepth), nil)
	if got := allocated(func() { decode(b, nil) }); got < decodeCost(len(b)) {
		t.Errorf("without a guard the decoder allocates only %d bytes: is it still needed?", got)
	}
	if got := allocated(func() { decode(b, payloads(b)) }); got > decodeCost(len(b)) {
		t.Errorf("with a guard the decoder allocates %d bytes", got)
	}
	if err := unmarshal(b, payloads(b), new(map[string]any)); !errors.Is(err, errGuarded) {
		t.Errorf("decoded into a map: %v", err)
	}
}
