package membership

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"
)

func anyMeta() *rapid.Generator[Meta] {
	return rapid.Custom(func(t *rapid.T) Meta {
		return Meta{
			Boot:     rapid.Uint64().Draw(t, "boot"),
			Zone:     rapid.StringMatching(`[a-zA-Z0-9 /._é-]{0,60}`).Draw(t, "zone"),
			Weight:   rapid.Float64Range(MinWeight, MaxWeight).Draw(t, "weight"),
			State:    State(rapid.Uint8().Draw(t, "state")),
			Protocol: rapid.Uint16().Draw(t, "protocol"),
			Params: TableParams{
				Partitions:    rapid.Uint32().Draw(t, "partitions"),
				SlackPermille: rapid.Uint16().Draw(t, "slack"),
			},
			Down: ServicesOf(rapid.SliceOfN(rapid.StringMatching(`[a-z]{1,8}`), 0, 5).Draw(t, "down")...),
		}
	})
}

func TestMetaRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyMeta().Draw(t, "meta")
		b, err := want.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := DecodeMeta(b); err != nil || got != want {
			t.Fatalf("got %+v, %v; want %+v", got, err, want)
		}
		for i := range b { // every prefix is an error and nothing worse
			if _, err := DecodeMeta(b[:i]); !errors.Is(err, ErrBadMeta) {
				t.Fatalf("%d of %d bytes: %v", i, len(b), err)
			}
		}
	})
}

// metaArray encodes any array of elements.
func metaArray(t testing.TB, elements ...any) []byte {
	var buf bytes.Buffer
	enc := msgpack.NewEncoder(&buf)
	enc.UseCompactInts(true)
	if err := enc.Encode(elements); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestDecodeMeta(t *testing.T) {
	good := []any{1, uint64(1) << 60, "z", 1.5, 1, 2, 16384, 50}
	want := Meta{Boot: 1 << 60, Zone: "z", Weight: 1.5, State: StateDraining, Protocol: 2, Params: TableParams{16384, 50}}
	with := func(i int, v any) []byte {
		e := append([]any(nil), good...)
		e[i] = v
		return metaArray(t, e...)
	}
	for _, tt := range []struct {
		name string
		in   []byte
		text string // of the error; empty: want is decoded
	}{
		{"good", metaArray(t, good...), ""},
		{"later version", metaArray(t, append(good, "", "new", []any{1, map[string]any{"a": nil}})...), ""},
		{"services out of order", metaArray(t, append(good, "b a")...), "no sorted set"},
		{"services twice", metaArray(t, append(good, "a a")...), "no sorted set"},
		{"services with odd spaces", metaArray(t, append(good, " a")...), "no sorted set"},
		{"services unprintable", metaArray(t, append(good, "a\x00")...), "no sorted set"},
		{"services type", metaArray(t, append(good, 7)...), "down is not a string"},
		{"empty", nil, "array"},
		{"nil", []byte{0xc0}, "array"},
		{"map", []byte{0x80}, "array"},
		{"short", metaArray(t, good[:7]...), "at least 8"},
		{"huge array", []byte{0xdd, 0xff, 0xff, 0xff, 0xff, 1}, "boot"},
		{"format", with(0, 2), "format 2, this version reads 1"},
		{"nil number", with(1, nil), "boot is not an unsigned integer"},
		{"negative", with(4, -1), "state is not an unsigned integer"},
		{"large state", with(4, 256), "state is cut off or out of range"},
		{"large protocol", with(5, 1<<16), "protocol"},
		{"zone type", with(2, 3), "zone is not a string"},
		{"zone length", append([]byte{0x98, 1, 2, 0xdb, 0xff, 0xff, 0xff, 0xff}, "z"...), "zone is cut off"},
		{"zone newline", with(2, "a\nb"), "zone"},
		{"weight type", with(3, 1), "weight is not a 64-bit float"},
		{"weight NaN", with(3, math.NaN()), "weight NaN"},
		{"weight zero", with(3, 0.0), "weight 0"},
		{"weight large", with(3, 1e300), "weight"},
		{"trailing", append(metaArray(t, good...), 1), "1 bytes after the last element"},
		{"too long", make([]byte, MetaLimit+1), "513 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := DecodeMeta(tt.in)
			if tt.text == "" {
				if err != nil || got != want {
					t.Errorf("got %+v, %v", got, err)
				}
				return
			}
			if !errors.Is(err, ErrBadMeta) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, want %q", err, tt.text)
			}
		})
	}
}

func TestMetaSize(t *testing.T) {
	m := Meta{Boot: math.MaxUint64, State: 255, Protocol: math.MaxUint16, Params: TableParams{math.MaxUint32, math.MaxUint16}}
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 48 {
		t.Errorf("without a zone it takes %d bytes", len(b))
	}
	if got, _ := DecodeMeta(b); got.Weight != 1 {
		t.Errorf("weight 0 became %v", got.Weight)
	}
	m.Zone = strings.Repeat("z", MetaLimit)
	if _, err := m.Encode(); !errors.Is(err, ErrMetaTooLarge) {
		t.Errorf("got %v", err)
	}
}

func FuzzDecodeMeta(f *testing.F) {
	good, _ := Meta{Boot: 1, Zone: "zone-1", Weight: 2, Protocol: 1, Params: TableParams{16384, 50}}.Encode()
	f.Add(good)
	f.Add(metaArray(f, 1, 2, "z", 1.5, 1, 2, 16384, 50, "extra", nil))
	f.Add([]byte{0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeMeta(b)
		if err != nil {
			if !errors.Is(err, ErrBadMeta) {
				t.Fatalf("unnamed error %v", err)
			}
			return
		}
		again, err := m.Encode()
		if err != nil {
			t.Fatalf("%+v decodes but does not encode: %v", m, err)
		}
		if back, err := DecodeMeta(again); err != nil || back != m {
			t.Fatalf("%+v became %+v, %v", m, back, err)
		}
	})
}

func TestServices(t *testing.T) {
	s := ServicesOf("greeter", "cart", "greeter", "a")
	if s != "a cart greeter" || !s.Has("a") || !s.Has("cart") || !s.Has("greeter") || s.Has("art") || s.Has("") {
		t.Errorf("got %q", s)
	}
	if Services("").Has("") || len(Services("").Names()) != 0 {
		t.Error("the empty set holds something")
	}
	m := Meta{Boot: 1, Down: s}
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := DecodeMeta(b); err != nil || got.Down != s {
		t.Errorf("got %+v, %v", got, err)
	}
}
