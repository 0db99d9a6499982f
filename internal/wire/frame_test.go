package wire

import (
	"encoding/hex"
	"fmt"
	"math"
	"strings"
	"testing"
)

// examples are frames as they lie on the wire, with what they say.
var examples = []struct {
	name  string
	hex   string // with the length
	build func([]byte) []byte
	want  Header
	body  string
}{
	{
		"call", "0000000f 94 00 01 a4 4563686f 81 02 07 626f6479",
		func(b []byte) []byte { return append(AppendCall(b, 1, "Echo", &Meta{Partition: 7}), "body"...) },
		Header{Kind: KindCall, ID: 1, Method: []byte("Echo"), Meta: Meta{Partition: 7}},
		"body",
	},
	{
		"call without meta", "00000006 94 00 05 a1 78 80",
		func(b []byte) []byte { return AppendCall(b, 5, "x", nil) },
		Header{Kind: KindCall, ID: 5, Method: []byte("x"), Meta: Meta{Partition: NoPartition}},
		"",
	},
	{
		"reply", "00000006 94 01 01 00 80 79",
		func(b []byte) []byte { return append(AppendReply(b, 1, 0, nil), 'y') },
		Header{Kind: KindReply, ID: 1, Meta: Meta{Partition: NoPartition}},
		"y",
	},
	{
		"failed reply", "0000000b 94 01 cd 0100 05 81 0a a2 6e6f",
		func(b []byte) []byte {
			return AppendReply(b, 256, 5, &Meta{Partition: NoPartition, Message: []byte("no")})
		},
		Header{Kind: KindReply, ID: 256, Code: 5, Meta: Meta{Partition: NoPartition, Message: []byte("no")}},
		"",
	},
	{
		"notify", "00000008 93 02 a3 6c6f67 80 7a",
		func(b []byte) []byte {
			return append(AppendNotify(b, "log", &Meta{Partition: NoPartition}), 'z')
		},
		Header{Kind: KindNotify, Method: []byte("log"), Meta: Meta{Partition: NoPartition}},
		"z",
	},
	{
		"open", "00000007 94 03 02 a1 73 80 62", nil,
		Header{Kind: KindOpen, ID: 2, Method: []byte("s"), Meta: Meta{Partition: NoPartition}},
		"b",
	},
	{"data", "00000006 92 04 02 646174", nil, Header{Kind: KindData, ID: 2}, "dat"},
	{"half-close", "00000003 92 05 02", nil, Header{Kind: KindHalfClose, ID: 2}, ""},
	{
		"cancel", "00000004 93 06 09 01",
		func(b []byte) []byte { return AppendCancel(b, 9, 1) },
		Header{Kind: KindCancel, ID: 9, Code: 1},
		"",
	},
	{"window", "00000006 93 07 02 cd 0400", nil, Header{Kind: KindWindow, ID: 2, Code: 1024}, ""},
	{
		"ping", "00000003 92 08 2a",
		func(b []byte) []byte { return AppendPing(b, 42) },
		Header{Kind: KindPing, Code: 42},
		"",
	},
	{
		"pong", "0000000b 92 09 cf ffffffffffffffff",
		func(b []byte) []byte { return AppendPong(b, math.MaxUint64) },
		Header{Kind: KindPong, Code: math.MaxUint64},
		"",
	},
	{
		"goaway", "00000007 93 0a 07 06 627965",
		func(b []byte) []byte { return append(AppendGoAway(b, 7, 6), "bye"...) },
		Header{Kind: KindGoAway, ID: 7, Code: 6},
		"bye",
	},
	{"hello", "00000004 93 0b 01 80", nil, Header{Kind: KindHello, Code: 1}, "\x80"},
}

func TestExamplesParse(t *testing.T) {
	seen := map[Kind]bool{}
	for _, e := range examples {
		t.Run(e.name, func(t *testing.T) {
			frame := unhex(t, e.hex)
			same(t, "length", Length(frame), len(frame)-Prefix)
			var h Header
			body, err := Parse(frame[Prefix:], &h)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "header", describe(&h), describe(&e.want))
			same(t, "body", string(body), e.body)
			seen[h.Kind] = true
			kind, err := PeekKind(frame[Prefix:])
			same(t, "peeked", kind, e.want.Kind)
			same(t, "peek error", err, nil)
		})
	}
	for k := range kindCount {
		if !seen[k] {
			t.Errorf("no example of a frame of kind %s", k)
		}
	}
}

func TestExamplesBuild(t *testing.T) {
	for _, e := range examples {
		if e.build == nil {
			continue
		}
		got, at := Begin([]byte("before"))
		got = End(e.build(got), at)
		want := strings.ReplaceAll(e.hex, " ", "")
		same(t, e.name, hex.EncodeToString(got[len("before"):]), want)
	}
}

// describe writes down what means something in a header of its kind.
func describe(h *Header) string {
	s := fmt.Sprintf("%s id=%d code=%d method=%q", h.Kind, h.ID, h.Code, h.Method)
	switch h.Kind {
	case KindCall, KindReply, KindNotify, KindOpen:
		s += " " + describeMeta(&h.Meta)
	}
	return s
}

func describeMeta(m *Meta) string {
	s := fmt.Sprintf("timeout=%v partition=%d fingerprint=%x hops=%d attempt=%d owner=%q message=%q",
		m.Timeout, m.Partition, m.Fingerprint, m.Hops, m.Attempt, m.Owner, m.Message)
	for _, f := range []struct {
		name  string
		value uint32
	}{{"priority", uint32(m.Priority)}, {"stand-in", uint32(m.StandIn)}, {"pushback", m.Pushback}, {"load", m.Load}, {"caller", uint32(m.Caller)}, {"refused", uint32(one(m.Refused))}} {
		if f.value != 0 {
			s += fmt.Sprintf(" %s=%d", f.name, f.value)
		}
	}
	if len(m.Key) > 0 {
		s += fmt.Sprintf(" key=%q", m.Key)
	}
	if len(m.CallerName) > 0 {
		s += fmt.Sprintf(" caller-name=%q", m.CallerName)
	}
	for _, p := range m.User {
		s += fmt.Sprintf(" %q=%q", p.Key, p.Value)
	}
	return s
}

func TestEveryCutIsTruncated(t *testing.T) {
	for _, e := range examples {
		frame := unhex(t, e.hex)[Prefix:]
		header := frame[:len(frame)-len(e.body)]
		for n := range header {
			var h Header
			if _, err := Parse(header[:n], &h); err != ErrTruncated && err != ErrLength {
				t.Errorf("%s cut to %d bytes: %v, want truncated", e.name, n, err)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	deep := "94 00 01 a1 78 81 7f" + strings.Repeat(" 91", headerDepth+1) + " 00"
	for _, c := range []struct {
		name, hex string
		want      error
	}{
		{"empty", "", ErrTruncated},
		{"not an array", "81 00 01", ErrMalformed},
		{"empty array", "90", ErrTruncated},
		{"empty array and a kind behind it", "90 08 01", ErrMalformed},
		{"too few elements", "93 00 01 a1 78 80", ErrMalformed},
		{"hello without its map", "92 0b 01", ErrMalformed},
		{"kind that is text", "94 a1 30 01 a1 78 80", ErrMalformed},
		{"kind of no meaning", "92 0c 01", ErrUnknownKind},
		{"kind beyond a byte", "92 cd 0100 01", ErrUnknownKind},
		{"negative kind", "92 ff 01", ErrMalformed},
		{"negative id", "94 00 ff a1 78 80", ErrMalformed},
		{"method that is a number", "94 00 01 05 80", ErrMalformed},
		{"meta that is an array", "94 00 01 a1 78 90", ErrMalformed},
		{"meta that is nil", "94 00 01 a1 78 c0", ErrMalformed},
		{"meta that lies of its size", "94 00 01 a1 78 dfffffffff", ErrTruncated},
		{"method that lies of its length", "94 00 01 dbffffffff", ErrTruncated},
		{"array that lies of its length", "ddffffffff 08 01", ErrTruncated},
		{"extra element that lies", "93 08 01 ddffffffff", ErrLength},
		{"extra element too deep", "93 08 01" + strings.Repeat(" 91", headerDepth+1) + " 00", ErrTooDeep},
		{"unknown key too deep", deep, ErrTooDeep},
		{"byte that msgpack never uses", "93 08 01 c1", ErrMalformed},
	} {
		var h Header
		body, err := Parse(unhex(t, c.hex), &h)
		if err != c.want || body != nil {
			t.Errorf("%s: body %x, error %v, want %v", c.name, body, err, c.want)
		}
	}
}

func TestParsePassesOverNewerElements(t *testing.T) {
	for _, c := range []struct{ name, hex, body string }{
		{"ping", "94 08 01 82 01 02 03 04 c0 62", "b"},
		{"call", "95 00 01 a1 78 80 92 01 02 62", "b"},
		{"wide array", "dc0004 08 01 a3 616263 c3 62", "b"},
	} {
		var h Header
		body, err := Parse(unhex(t, c.hex), &h)
		same(t, c.name+" error", err, nil)
		same(t, c.name+" body", string(body), c.body)
	}
}

func TestEndSplit(t *testing.T) {
	buf, at := Begin([]byte("xy"))
	buf = EndSplit(AppendPing(buf, 1), at, 100)
	same(t, "length", Length(buf[at:]), 3+100)
	same(t, "before", string(buf[:2]), "xy")
}

func TestPeek(t *testing.T) {
	for _, c := range []struct {
		hex  string
		kind Kind
		err  error
	}{
		{"94 00 01", KindCall, nil},
		{"94 cc00 01", KindCall, nil},
		{"dc0004 01 01", KindReply, nil},
		{"94 0c 01", 0, ErrUnknownKind},
		{"94 cd0100", 0, ErrUnknownKind},
		{"94", 0, ErrTruncated},
		{"", 0, ErrTruncated},
		{"80 00", 0, ErrMalformed},
	} {
		kind, err := PeekKind(unhex(t, c.hex))
		same(t, c.hex+" error", err, c.err)
		if err == nil {
			same(t, c.hex, kind, c.kind)
		}
	}
	id, err := PeekID(unhex(t, "94 01 cd1234 00 80"))
	if id != 0x1234 || err != nil {
		t.Errorf("peeked id %x, %v", id, err)
	}
	if _, err := PeekID(unhex(t, "94 01")); err != ErrTruncated {
		t.Errorf("id of a cut frame: %v", err)
	}
}

func TestKindNames(t *testing.T) {
	seen := map[string]bool{}
	for k := range kindCount {
		name := k.String()
		if name == "" || name == "unknown" || seen[name] {
			t.Errorf("kind %d is called %q", k, name)
		}
		seen[name] = true
	}
	same(t, "beyond", Kind(200).String(), "unknown")
}
