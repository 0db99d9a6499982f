package rpc

import (
	"bytes"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
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

// both compares what the codec of a type makes of b with what Decode does.
func both[T any](t *testing.T, b []byte) {
	t.Helper()
	want := new(T)
	wantErr := decode(b, want)
	got, err := codecFor[T]().decode(bytes.Clone(b))
	switch {
	case (err == nil) != (wantErr == nil), err != nil && err.Error() != wantErr.Error():
		t.Fatalf("%T: %x: %v, by Decode %v", want, b, err, wantErr)
	case err != nil || reflect.DeepEqual(got, want):
		return
	}
	again, err := Encode(nil, got) // NaN is not equal to itself
	if err != nil {
		t.Fatal(err)
	}
	expect, err := Encode(nil, want)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(again)
	slices.Sort(expect)
	if !bytes.Equal(again, expect) {
		t.Fatalf("%T: %x arrives as %+v, by Decode as %+v", want, b, got, want)
	}
}

func all(t *testing.T, b []byte) {
	t.Helper()
	both[plain](t, b)
	both[nested](t, b)
	both[any](t, b)
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

// A type's own codec and Decode refuse the same, in the same words.
func TestTyped(t *testing.T) {
	t.Parallel()
	for _, b := range hostile() {
		all(t, b)
	}
	c := codecFor[plain]()
	for _, v := range []*plain{samplePlain(), {}, nil} {
		got, err := c.append([]byte("head"), v, bounds(0))
		want, wantErr := Encode([]byte("head"), v)
		if err != nil || wantErr != nil || !bytes.Equal(got, want) {
			t.Errorf("%+v is encoded as\n%x, %v; by the library as\n%x, %v", v, got, err, want, wantErr)
		}
		all(t, got[4:])
		for n := range got[4:] {
			all(t, got[4:4+n])
		}
	}
	if got, err := c.append(nil, "something else", bounds(0)); err != nil || string(got) != "\xaesomething else" {
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
	b, err := c.append(nil, &holder{[]registered{{3}}}, bounds(0))
	if err != nil || !bytes.Contains(b, []byte("\xa3***")) {
		t.Errorf("encoded as %q, %v", b, err)
	}
	v, err := c.decode(b)
	if err != nil || v.(*holder).List[0].A != 3 {
		t.Errorf("decoded as %+v, %v", v, err)
	}
	b, err = Encode(nil, &byReference{registered{2}})
	if err != nil || string(b) != "\x81\xa1A\xa2**" {
		t.Errorf("a struct of a registered type is encoded as %q, %v", b, err)
	}
}

// FuzzTyped compares both ways to decode on bytes from strangers.
func FuzzTyped(f *testing.F) {
	b, err := Encode(nil, samplePlain())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	for _, b := range hostile() {
		f.Add(b[:min(len(b), 1<<10)])
	}
	f.Fuzz(all)
}
