package rpc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// bound is what decoding n bytes may allocate: some for the decoder itself and
// for errors, and the size of the largest element for each byte.
func bound(n int) uint64 { return 256<<10 + 256*uint64(n) }

// hostile are bodies that ask for more than they are.
func hostile() map[string][]byte {
	huge := binary.BigEndian.AppendUint32(nil, 1<<32-1)
	with := func(head ...byte) []byte { return append(head, huge...) }
	bodies := map[string][]byte{
		"array of 64 GiB": with(0xdd), "map of 4 G pairs": with(0xdf), "string of 4 GiB": with(0xdb),
		"bytes of 4 GiB": with(0xc6), "extension of 4 GiB": with(0xc9),
		"array in a field":  append([]byte{0x81, 0xa4, 'L', 'i', 's', 't'}, with(0xdd)...),
		"arrays in arrays":  bytes.Repeat([]byte{0xdd, 0, 0, 0xff, 0xff}, 60),
		"depth bomb":        append(bytes.Repeat([]byte{0x91}, 1<<20), 0),
		"depth bomb of map": append(bytes.Repeat([]byte{0x81, 0}, 1<<20), 0),
		"unused byte":       {0xc1},
		"empty":             {},
		"two values":        {1, 2},
	}
	// An extension value in place of a map: the payload, which nobody checks,
	// would be read as the head of a map.
	for name, head := range map[string][]byte{
		"time of 8 bytes": {0xd7, 0xff}, "ext 8": {0xc7, 8, 0xff}, "ext 16": {0xc8, 0, 8, 1}, "ext 32": {0xc9, 0, 0, 0, 8, 5},
	} {
		bodies["map in a "+name] = append(append(head, with(0xdf)...), 0, 0, 0)
		bodies["map 16 in a "+name] = append(head[:len(head):len(head)], 0xde, 0xff, 0xff, 0, 0, 0, 0, 0)
	}
	return bodies
}

// targets gives new values to decode into, of every kind that has a path of
// its own in the library.
func targets() map[string]any {
	return map[string]any{
		"struct": new(nested), "any": new(any), "map of any": new(map[string]any), "map of strings": new(map[string]string),
		"map of structs": new(map[string]tagged), "any map": new(map[any]any), "slice of any": new([]any),
		"slice of strings": new([]string), "slice of maps": new([]map[string]any), "bytes": new([]byte), "string": new(string),
		"time": new(time.Time), "pointer": new(*nested), "field": new(struct{ List map[string]any }),
	}
}

// Not parallel: it measures what the process allocates.
func TestHostileBodies(t *testing.T) {
	for what, body := range hostile() {
		for kind, v := range targets() {
			var err error
			used := allocated(func() { err = Decode(body, v) })
			time := strings.HasPrefix(what, "map") && (kind == "time" || kind == "any") // a strange one, but one
			if err == nil && !time {
				t.Errorf("%s is a valid %s: %+v", what, kind, v)
			}
			if most := bound(min(len(body), 1<<10)); used > most {
				t.Errorf("%s of %d bytes took %d bytes of memory as %s, want at most %d", what, len(body), used, kind, most)
			}
		}
	}
}

// One value by itself may be larger than its bytes by a factor, no more.
func TestAmplification(t *testing.T) {
	const n = 1 << 18
	sized := func(head byte, count int) []byte {
		return binary.BigEndian.AppendUint32([]byte{head}, uint32(count))
	}
	bodies := map[string][]byte{
		"nils in an array": append(sized(0xdd, n), bytes.Repeat([]byte{0xc0}, n)...),
		"maps in an array": append(sized(0xdd, n), bytes.Repeat([]byte{0x80}, n)...),
		"a map of one key": append(sized(0xdf, n/2), bytes.Repeat([]byte{0xa0, 0xc0}, n/2)...),
		"times":            append(sized(0xdd, n/6), bytes.Repeat([]byte{0xd6, 0xff, 0, 0, 0, 0}, n/6)...),
	}
	for what, body := range bodies {
		for kind, v := range targets() {
			if kind == "pointer" || kind == "struct" {
				continue
			}
			used := allocated(func() { _ = Decode(body, v) })
			if most := bound(len(body)); used > most {
				t.Errorf("%s: %d bytes took %d bytes of memory as %s, want at most %d", what, len(body), used, kind, most)
			}
		}
	}
}

func TestTruncated(t *testing.T) {
	t.Parallel()
	v := nested{
		At: time.Unix(1, 2), Inner: &nested{}, List: []untagged{{1, "x"}}, ByName: map[string]tagged{"k": {}},
		Raw: make([]byte, 300), Any: strings.Repeat("s", 70_000), Anys: map[string]any{"f": 0.5},
	}
	body, err := Encode(nil, &v)
	if err != nil {
		t.Fatal(err)
	}
	for n := range body {
		if n > 1000 && n < len(body)-1000 {
			continue // within one long string
		}
		for kind, into := range map[string]any{"struct": new(nested), "any": new(any), "map": new(map[string]any)} {
			if err := Decode(body[:n], into); err == nil {
				t.Fatalf("the first %d of %d bytes are a valid %s", n, len(body), kind)
			}
		}
	}
	for _, more := range []byte{0, 0xc0, 0xc1} {
		if err := Decode(append(bytes.Clone(body), more), new(nested)); !errors.Is(err, wire.ErrTrailing) {
			t.Errorf("with %#x behind it: %v", more, err)
		}
	}
}

func TestDepth(t *testing.T) {
	t.Parallel()
	for depth, want := range map[int]error{1: nil, MaxDepth: nil, MaxDepth + 1: wire.ErrTooDeep, 10 * MaxDepth: wire.ErrTooDeep} {
		body := append(bytes.Repeat([]byte{0x91}, depth), 0xc0)
		var v any
		if err := Decode(body, &v); !errors.Is(err, want) {
			t.Errorf("depth %d: %v, want %v", depth, err, want)
		}
	}
}

func TestTypeMismatch(t *testing.T) {
	t.Parallel()
	cases := []struct {
		from any
		into any
	}{
		{"text", new(int)},
		{1, new(untagged)},
		{[]int{1}, new(untagged)},
		{map[string]any{"Alpha": "text"}, new(untagged)},
		{untagged{}, new([]string)},
		{-1, new(time.Time)},
		{1, untagged{}}, // no pointer
		{1, nil},
		{1, (*int)(nil)},
	}
	for _, c := range cases {
		b, err := Encode(nil, c.from)
		if err != nil {
			t.Fatal(err)
		}
		if err := Decode(b, c.into); err == nil {
			t.Errorf("%#v decodes into %T", c.from, c.into)
		}
	}
}

// headOf must see the same heads as the scan, which has no list of them.
func FuzzExtensions(f *testing.F) {
	f.Add([]byte{0x93, 0xd6, 0xff, 0, 0, 0, 1, 0xc7, 1, 5, 9, 0xa1, 'x'})
	f.Fuzz(func(t *testing.T, b []byte) {
		if wire.Scan(b, MaxDepth) != nil {
			return
		}
		pos := 0
		for pos < len(b) {
			head, payload := headOf(b[pos:])
			if head < 1 || payload < 0 || pos+head+payload > len(b) {
				t.Fatalf("%x: a head of %d and %d bytes at %d", b, head, payload, pos)
			}
			pos += head + payload
		}
		for _, at := range extensions(nil, b) {
			if at < 2 || at >= len(b) {
				t.Fatalf("%x: a payload at %d", b, at)
			}
		}
	})
}

// FuzzDecode decodes bytes from strangers into everything: no panic, bounded
// memory, and what was decoded can be encoded again.
func FuzzDecode(f *testing.F) {
	for _, body := range hostile() {
		f.Add(body[:min(len(body), 1<<10)])
	}
	full, err := Encode(nil, &nested{At: time.Unix(1, 2), Anys: map[string]any{"k": []any{1, "x"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(full)
	f.Fuzz(func(t *testing.T, b []byte) {
		for kind, v := range targets() {
			var err error
			used := allocated(func() { err = Decode(b, v) })
			if most := bound(len(b)) + 1<<20; used > most {
				t.Fatalf("%d bytes took %d bytes of memory as %s, want at most %d", len(b), used, kind, most)
			}
			if err != nil {
				continue
			}
			if _, err := Encode(nil, v); err != nil {
				t.Fatalf("%x was decoded as %s but cannot be encoded: %v", b, kind, err)
			}
		}
	})
}
