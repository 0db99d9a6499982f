package wire

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
)

func TestParseRPC(t *testing.T) {
	cases := []struct {
		name, hex      string
		notify         bool
		id             uint64
		method, params string // hex
	}{
		{"request", "94 00 01 a1 78 90", false, 1, "a178", "90"},
		{"request, wide array", "dc 0004 00 01 a1 78 90", false, 1, "a178", "90"},
		{"request, widest array", "dd 00000004 00 01 a1 78 90", false, 1, "a178", "90"},
		{"wide numbers", "94 cc 00 ce ffffffff a1 78 90", false, 1<<32 - 1, "a178", "90"},
		{"signed id", "94 00 d2 00000007 a1 78 90", false, 7, "a178", "90"},
		{"method as bin", "94 00 01 c4 01 78 91 c0", false, 1, "c40178", "91c0"},
		{"notification", "93 02 a1 78 91 01", true, 0, "a178", "9101"},
		{"any method and params", "94 00 01 c0 c2", false, 1, "c0", "c2"},
	}
	for _, c := range cases {
		var m RPCMessage
		same(t, c.name, ParseRPC(unhex(t, c.hex), &m), nil)
		same(t, c.name+": notify", m.Notify, c.notify)
		same(t, c.name+": id", m.ID, c.id)
		same(t, c.name+": method", fmt.Sprintf("%x", m.Method), c.method)
		same(t, c.name+": params", fmt.Sprintf("%x", m.Params), c.params)
	}
}

func TestParseRPCRefuses(t *testing.T) {
	for text, want := range map[string]error{
		"c0":                                     ErrMalformed,   // no array
		"90":                                     ErrTruncated,   // nothing in it
		"94 a1 30 01 a1 78 90":                   ErrMalformed,   // a string for a kind
		"94 01 01 c0 c0":                         ErrUnknownKind, // a response
		"94 03 01 a1 78 90":                      ErrUnknownKind, // what no one defined
		"93 00 01 a1 78":                         ErrMalformed,   // a request with too little
		"95 00 01 a1 78 90 c0":                   ErrMalformed,   // and too much
		"94 02 01 a1 78 90":                      ErrMalformed,   // a notification with an id
		"94 00 ff a1 78 90":                      ErrMalformed,   // a negative id
		"94 00 a1 31 a1 78 90":                   ErrMalformed,   // a string for an id
		"94 00 c0 a1 78 90":                      ErrMalformed,   // nil for an id
		"94 00 cb 3ff0" + "000000000000 a178 90": ErrMalformed,   // a float for an id
	} {
		var m RPCMessage
		same(t, text, ParseRPC(unhex(t, text), &m), want)
	}
}

func TestElements(t *testing.T) {
	var out [2][]byte
	for text, want := range map[string]string{
		"90": "0", "91 c0": "1 c0", "92 91 01 a1 78": "2 9101 a178", "dc 0003 01 02 03": "3 01 02",
	} {
		clear(out[:])
		n, ok := Elements(unhex(t, text), out[:])
		got := fmt.Sprint(n)
		for _, e := range out[:min(n, 2)] {
			got += fmt.Sprintf(" %x", e)
		}
		same(t, text, got, want)
		same(t, text, ok, true)
	}
	for _, text := range []string{"c0", "80", "a0", "01"} {
		_, ok := Elements(unhex(t, text), out[:])
		same(t, text, ok, false)
	}
}

func TestPairs(t *testing.T) {
	var got []string
	note := func(k, v []byte) error {
		got = append(got, fmt.Sprintf("%x=%x", k, v))
		return nil
	}
	ok, err := Pairs(unhex(t, "82 a1 61 91 01 02 c0"), note)
	if want := []string{"a161=9101", "02=c0"}; !ok || err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, %v, want %v", got, ok, err, want)
	}
	stop := errors.New("stop")
	calls := 0
	ok, err = Pairs(unhex(t, "82 01 02 03 04"), func(_, _ []byte) error { calls++; return stop })
	if !ok || err != stop || calls != 1 {
		t.Errorf("%v, %v after %d calls", ok, err, calls)
	}
	ok, err = Pairs(unhex(t, "90"), note)
	if ok || err != nil {
		t.Errorf("an array: %v, %v", ok, err)
	}
}

func TestRPCValues(t *testing.T) {
	for text, want := range map[string]string{"a1 78": "x", "c4 01 78": "x", "a0": "", "d9 01 78": "x"} {
		got, ok := Text(unhex(t, text))
		same(t, text, string(got), want)
		same(t, text, ok, true)
	}
	for _, text := range []string{"c0", "01", "90"} {
		_, ok := Text(unhex(t, text))
		same(t, text, ok, false)
		_, ok = Bool(unhex(t, text))
		same(t, text, ok, false)
	}
	for text, want := range map[string]bool{"c2": false, "c3": true} {
		got, ok := Bool(unhex(t, text))
		same(t, text, got, want)
		same(t, text, ok, true)
	}
	same(t, "nil", IsNil(AppendNil(nil)), true)
	same(t, "not nil", IsNil(nil), false)
	for _, n := range []int{0, 1, 255, 256, 65535, 65536} {
		data := bytes.Repeat([]byte{'x'}, n)
		b := AppendBin(nil, data)
		got, ok := Text(b)
		if err := Scan(b, 0); !ok || !bytes.Equal(got, data) || !IsBin(b) || err != nil {
			t.Errorf("bin of %d: %d bytes come back, %v, %v", n, len(got), ok, err)
		}
	}
}

func FuzzParseRPC(f *testing.F) {
	f.Add(unhex(f, "94 00 01 a1 78 90"))
	f.Add(unhex(f, "93 02 a1 78 92 c0 81 a3 6b6579 a1 6b"))
	f.Add(unhex(f, "dd 00000004 00 cf 0000000100000000 c4 01 78 91 80"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m RPCMessage
		if Scan(b, MaxDepth) != nil || ParseRPC(b, &m) != nil {
			return
		}
		if !bytes.HasSuffix(b, append(bytes.Clone(m.Method), m.Params...)) {
			t.Fatalf("method %x and params %x are not the end of %x", m.Method, m.Params, b)
		}
		var out [3][]byte
		if n, ok := Elements(m.Params, out[:]); ok && n <= len(out) {
			again := appendArrayHeader(nil, n)
			for _, e := range out[:n] {
				again = append(again, e...)
			}
			if m.Params[0]&0xf0 == 0x90 && !bytes.Equal(again, m.Params) {
				t.Fatalf("elements %x of %x", out[:n], m.Params)
			}
		}
		_, _ = Pairs(m.Params, func(k, v []byte) error {
			if Scan(k, MaxDepth) != nil || Scan(v, MaxDepth) != nil {
				t.Fatalf("pair %x, %x", k, v)
			}
			return nil
		})
	})
}
