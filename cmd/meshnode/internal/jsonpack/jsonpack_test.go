package jsonpack

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

func TestFromJSON(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`null`, "c0"},
		{` true `, "c3"},
		{`false`, "c2"},
		{`0`, "00"},
		{`-0`, "00"},
		{`127`, "7f"},
		{`128`, "cc80"},
		{`-32`, "e0"},
		{`-33`, "d0df"},
		{`-9223372036854775808`, "d38000000000000000"},
		{`9223372036854775808`, "cf8000000000000000"},
		{`18446744073709551615`, "cfffffffffffffffff"},
		{`1.0`, "cb3ff0000000000000"},
		{`1e2`, "cb4059000000000000"},
		{`-0.0`, "cb8000000000000000"},
		{`"aGVsbG8="`, "a8614756736247383d"},
		{`"\u00e9"`, "a2c3a9"},
		{`[]`, "90"},
		{`{}`, "80"},
		{`[1,[2],{"a":3}]`, "93019102" + "81a16103"},
		{`{"b":1,"a":2}`, "82a16201a16102"}, // the order stays
	} {
		got, err := FromJSON([]byte(c.text))
		if err != nil || hex.EncodeToString(got) != c.want {
			t.Errorf("FromJSON(%s) = %x, %v; want %s", c.text, got, err, c.want)
		}
	}
}

func TestFromJSONRefuses(t *testing.T) {
	deep := strings.Repeat("[", 65) + strings.Repeat("]", 65)
	for _, c := range []struct{ text, want string }{
		{``, "unexpected end"},
		{`{`, "unexpected end"},
		{`{"a":1}}`, "after byte 8"},
		{`{a:1}`, "after byte 2"},
		{`[1 2]`, "after byte 4"},
		{`1 2`, "after byte 3"},
		{`18446744073709551616`, "write 18446744073709551616.0 for a float"},
		{`-9223372036854775809`, "does not fit 64 bits"},
		{`1e400`, "does not fit a 64-bit float"},
		{`{"a":1,"a":2}`, `"a" comes twice`},
		{"\"\xff\"", "not UTF-8"},
		{deep, "deeper than 64"},
	} {
		if got, err := FromJSON([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("FromJSON(%.30s) = %x, %v; want an error with %q", c.text, got, err, c.want)
		}
	}
}

func TestToJSON(t *testing.T) {
	when := time.Date(2026, 2, 3, 4, 5, 6, 789, time.UTC)
	for _, c := range []struct {
		value any
		want  string
	}{
		{nil, `null`},
		{uint64(math.MaxUint64), `18446744073709551615`},
		{int64(math.MinInt64), `-9223372036854775808`},
		{float32(0.1), `0.1`},
		{2.0, `2.0`},
		{1e-9, `1e-09`},
		{1e21, `1e+21`},
		{math.NaN(), `"NaN"`},
		{math.Inf(-1), `"-Inf"`},
		{"<é\n\xff>", `"<é\n\ufffd>"`},
		{[]byte("hello"), `"aGVsbG8="`},
		{map[int]string{7: "x"}, `{"7":"x"}`},
		{map[bool]any{true: []any{}}, `{"true":[]}`},
		{when, `"2026-02-03T04:05:06.000000789Z"`},
		{msgpack.RawMessage{0xd4, 5, 0xff}, `{"ext":5,"data":"/w=="}`},
		{msgpack.RawMessage{0xd6, 0xff, 0, 0, 0, 1}, `"1970-01-01T00:00:01Z"`},
		{msgpack.RawMessage{0xd7, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, `{"ext":-1,"data":"/////wAAAAA="}`},
		{msgpack.RawMessage{0x81, 0x92, 1, 2, 0xc0}, `{"[1,2]":null}`},
	} {
		b, err := msgpack.Marshal(c.value)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ToJSON(b)
		if err != nil || string(got) != c.want {
			t.Errorf("ToJSON(%v) = %s, %v; want %s", c.value, got, err, c.want)
		}
	}
}

func TestToJSONRefuses(t *testing.T) {
	for _, text := range []string{"", "c1", "0101", "dcffff", "a5", "c6ffffffff", strings.Repeat("91", 70) + "c0"} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ToJSON(b); err == nil {
			t.Errorf("ToJSON(%s) = %s; want an error", text, got)
		}
	}
}

// FuzzJSONToMsgpack checks that whatever is accepted survives the way to
// msgpack and back: the second time, the bytes are the same.
func FuzzJSONToMsgpack(f *testing.F) {
	for _, seed := range []string{
		`{"name":"alice","n":[1,-2,3.5,1e-7,18446744073709551615],"ok":true,"no":null}`,
		`"\ud800"`, `[[[]]]`, `{"a":{"a":{}}}`, `-0.0`, `1E5`, `[1 2]`, `{"a":1,"a":1}`, `"\u2028<&>"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		first, err := FromJSON(text)
		if err != nil {
			return
		}
		if !json.Valid(text) {
			t.Fatalf("%q was accepted, and is no JSON", text)
		}
		back, err := ToJSON(first)
		if err != nil {
			t.Fatalf("%q became %x, which does not go back: %v", text, first, err)
		}
		second, err := FromJSON(back)
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%q became %x, then %s, then %x, %v", text, first, back, second, err)
		}
	})
}

// FuzzMsgpackToJSON checks that bytes from strangers give JSON or an error.
func FuzzMsgpackToJSON(f *testing.F) {
	for _, seed := range []string{"82a16101a162c4020102", "d7ffffffffffffffffff", "93cb7ff8000000000001c0c3", "8191c0c0", "c1"} {
		b, err := hex.DecodeString(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		text, err := ToJSON(b)
		if err == nil && !json.Valid(text) {
			t.Fatalf("%x became %q, which is no JSON", b, text)
		}
	})
}
