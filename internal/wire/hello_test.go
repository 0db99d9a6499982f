package wire

import (
	"math"
	"strings"
	"testing"
)

func TestHelloRoundTrip(t *testing.T) {
	for _, h := range []Hello{
		{},
		{Version: Version},
		{Version: Version, Cluster: "prod", Name: "a", To: "b", Boot: 1, KeyID: 2, MaxBody: 3, MaxCalls: 4},
		{Version: 99, Name: strings.Repeat("n", MaxName), Boot: math.MaxUint64, KeyID: math.MaxUint64},
	} {
		got, err := ParseHello(AppendHello(nil, &h))
		if err != nil || got != h {
			t.Errorf("got %+v, %v, want %+v", got, err, h)
		}
	}
}

func TestHelloBytes(t *testing.T) {
	h := Hello{Version: 1, Cluster: "c", Name: "a", To: "b", Boot: 5, KeyID: 6, MaxBody: 1 << 22, MaxCalls: 256, Window: 2048, ConnWindow: 4096}
	want := unhex(t, "93 0b 01 89"+
		"a7 636c7573746572 a1 63"+ // cluster
		"a4 6e616d65 a1 61"+ // name
		"a2 746f a1 62"+ // to
		"a4 626f6f74 05"+ // boot
		"a3 6b6579 06"+ // key
		"a8 6d61785f626f6479 ce 00400000"+ // max_body
		"a9 6d61785f63616c6c73 cd 0100"+ // max_calls
		"a6 77696e646f77 cd 0800"+ // window
		"ab 636f6e6e5f77696e646f77 cd 1000") // conn_window
	if got := AppendHello(nil, &h); string(got) != string(want) {
		t.Errorf("encoded\n %x, want\n %x", got, want)
	}
}

func TestParseHello(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		want      Hello
		err       error
	}{
		{"nothing but a version", "93 0b 01 80", Hello{Version: 1}, nil},
		{"another version", "93 0b 02 81 a4 6e616d65 a1 61", Hello{Version: 2, Name: "a"}, nil},
		{"a version beyond a byte", "93 0b ce 00010000 80", Hello{Version: 65536}, nil},
		{"unknown keys", "93 0b 01 83 a3 666f6f 92 01 02 a4 6e616d65 a1 61 a3 626172 c0", Hello{Version: 1, Name: "a"}, nil},
		{"newer elements behind the map", "95 0b 01 81 a4 6e616d65 a1 61 92 01 02 a1 78", Hello{Version: 1, Name: "a"}, nil},
		{"bytes behind the frame's header", "93 0b 01 80 ffff", Hello{Version: 1}, nil},
		{"duplicate key: the last counts", "93 0b 01 82 a4 6e616d65 a1 61 a4 6e616d65 a1 62", Hello{Version: 1, Name: "b"}, nil},
		{"empty name", "93 0b 01 81 a4 6e616d65 a0", Hello{Version: 1}, nil},
		{"name with a space", "93 0b 01 81 a4 6e616d65 a2 6120", Hello{}, ErrHello},
		{"name with a line feed", "93 0b 01 81 a4 6e616d65 a1 0a", Hello{}, ErrHello},
		{"name beyond ASCII", "93 0b 01 81 a4 6e616d65 a2 c3a4", Hello{}, ErrHello},
		{"cluster with a delete", "93 0b 01 81 a7 636c7573746572 a1 7f", Hello{}, ErrHello},
		{"to with a zero", "93 0b 01 81 a2 746f a1 00", Hello{}, ErrHello},
		{"name that is a number", "93 0b 01 81 a4 6e616d65 05", Hello{}, ErrMalformed},
		{"boot that is text", "93 0b 01 81 a4 626f6f74 a1 35", Hello{}, ErrMalformed},
		{"negative limit", "93 0b 01 81 a8 6d61785f626f6479 ff", Hello{}, ErrMalformed},
		{"key that is a number", "93 0b 01 81 05 05", Hello{}, ErrMalformed},
		{"map that is an array", "93 0b 01 90", Hello{}, ErrMalformed},
		{"no map", "92 0b 01", Hello{}, ErrMalformed},
		{"version that is text", "93 0b a1 31 80", Hello{}, ErrMalformed},
		{"map that lies", "93 0b 01 dfffffffff", Hello{}, ErrTruncated},
		{"unknown key that lies", "93 0b 01 81 a1 78 ddffffffff", Hello{}, ErrLength},
		{"another kind", "92 08 01", Hello{}, ErrHello},
		{"no kind", "92 7f 01", Hello{}, ErrUnknownKind},
		{"nothing", "", Hello{}, ErrTruncated},
	} {
		got, err := ParseHello(unhex(t, c.hex))
		same(t, c.name+" error", err, c.err)
		if c.err == nil {
			same(t, c.name, got, c.want)
		}
	}
}

func TestHelloCutAnywhere(t *testing.T) {
	frame := AppendHello(nil, &Hello{Version: 1, Cluster: "prod", Name: "a", Boot: 1 << 40, MaxBody: 1 << 22})
	for n := range frame {
		if _, err := ParseHello(frame[:n]); err != ErrTruncated && err != ErrLength {
			t.Errorf("cut to %d of %d bytes: %v", n, len(frame), err)
		}
	}
}

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "node-1.eu_west": true, "!~": true, strings.Repeat("n", MaxName): true,
		"": false, " ": false, "a b": false, "a\n": false, "ä": false, "\x7f": false,
		strings.Repeat("n", MaxName+1): false,
	} {
		same(t, name, ValidName(name), want)
	}
	_, err := ParseHello(AppendHello(nil, &Hello{Version: 1, Name: strings.Repeat("n", MaxName+1)}))
	same(t, "name over the limit", err, ErrHello)
}
