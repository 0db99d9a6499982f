package rpc

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/meshnode/meshnode/internal/wire"
)

// plain qualifies for the quick codec.
type plain struct {
	ID     int64 `msgpack:"id"`
	Score  float64
	For    time.Duration
	Data   []byte `json:"data,omitempty"`
	Inner  *untagged
	List   []tagged
	Names  []string
	Labels map[string]string
	Counts map[string]int
	Hash   [4]byte
}

func TestWhoQualifies(t *testing.T) {
	t.Parallel()
	if planFor[plain]() == nil || planFor[untagged]() == nil || planFor[map[string]tagged]() == nil || planFor[string]() == nil {
		t.Error("a plain type does not qualify")
	}
	if planFor[nested]() != nil || planFor[any]() != nil || planFor[moody]() != nil || planFor[time.Time]() != nil {
		t.Error("a type of the library's qualifies")
	}
}

// both compares what the two codecs make of b.
func both[T any](t *testing.T, b []byte) {
	t.Helper()
	want := new(T)
	wantErr := decode(b, want)
	got, err := codecFor[T]().decode(bytes.Clone(b))
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%T: %x gives %v, by the library %v", want, b, err, wantErr)
	}
	if err != nil {
		prefix, _, _ := strings.Cut(wantErr.Error(), ": ")
		for _, is := range []error{wire.ErrTruncated, wire.ErrMalformed, wire.ErrTooDeep, wire.ErrTrailing, wire.ErrLength} {
			if errors.Is(wantErr, is) && !errors.Is(err, is) {
				t.Fatalf("%T: %x gives %v, want %v", want, b, err, is)
			}
		}
		if !strings.HasPrefix(err.Error(), prefix) && !strings.Contains(prefix, "panicked") {
			t.Fatalf("%T: %x gives %v, want %v", want, b, err, wantErr)
		}
		return
	}
	if reflect.DeepEqual(got, want) {
		return
	}
	again, err := encode(nil, got) // NaN is not equal to itself
	if err != nil {
		t.Fatal(err)
	}
	expect, err := encode(nil, want)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(again)
	slices.Sort(expect)
	if !bytes.Equal(again, expect) {
		t.Fatalf("%T: %x arrives as %+v, by the library as %+v", want, b, got, want)
	}
}

func all(t *testing.T, b []byte) {
	t.Helper()
	both[plain](t, b)
	both[untagged](t, b)
	both[map[string]jsonTagged](t, b)
	both[map[string]string](t, b)
	both[[]string](t, b)
	both[[]*tagged](t, b)
	both[blob](t, b)
	both[uint8](t, b)
	both[float32](t, b)
	both[string](t, b)
}

func samplePlain() *plain {
	return &plain{
		ID: 1 << 40, Score: math.Pi, For: time.Hour, Data: []byte("data"), Inner: &untagged{1, "x"}, List: []tagged{{2, "y"}, {}},
		Names: []string{"alice", ""}, Labels: map[string]string{"k": "v"}, Counts: map[string]int{"n": -1}, Hash: [4]byte{1, 2, 3, 4},
	}
}

// Both codecs refuse the same, in the same words, and understand each other.
func TestTyped(t *testing.T) {
	t.Parallel()
	for _, b := range hostile() {
		all(t, b)
	}
	c := codecFor[plain]()
	for _, v := range []*plain{samplePlain(), {}, nil} {
		got, err := c.append([]byte("head"), v)
		want, wantErr := encode([]byte("head"), v)
		if err != nil || wantErr != nil || !bytes.Equal(got, want) {
			t.Errorf("%+v is encoded as\n%x, %v; by the library as\n%x, %v", v, got, err, want, wantErr)
		}
		all(t, got[4:])
		for n := range got[4:] {
			all(t, got[4:4+n])
		}
	}
	if got, err := c.append(nil, "something else"); err != nil || string(got) != "\xaesomething else" {
		t.Errorf("what an interceptor left is encoded as %q, %v", got, err)
	}
}

type (
	registered  struct{ A int }
	byReference struct{ A registered }
)

// What the program has told the library about its types counts, though it says
// so only after the method has been declared.
func TestRegistered(t *testing.T) {
	t.Parallel()
	type holder struct{ List []registered }
	c := codecFor[holder]()
	msgpack.Register(registered{}, func(e *msgpack.Encoder, v reflect.Value) error {
		return e.EncodeString(strings.Repeat("*", int(v.Field(0).Int())))
	}, func(d *msgpack.Decoder, v reflect.Value) error {
		s, err := d.DecodeString()
		v.Field(0).SetInt(int64(len(s)))
		return err
	})
	b, err := c.append(nil, &holder{[]registered{{3}}})
	if err != nil || !bytes.Contains(b, []byte("\xa3***")) {
		t.Errorf("encoded as %q, %v", b, err)
	}
	v, err := c.decode(b)
	if err != nil || v.(*holder).List[0].A != 3 {
		t.Errorf("decoded as %+v, %v", v, err)
	}
	if planFor[byReference]() != nil {
		t.Error("a struct of a registered type qualifies")
	}
}

// FuzzTyped compares both codecs on bytes from strangers.
func FuzzTyped(f *testing.F) {
	b, err := encode(nil, samplePlain())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	for _, b := range hostile() {
		f.Add(b[:min(len(b), 1<<10)])
	}
	f.Fuzz(all)
}
