package wire

import (
	"bytes"
	"testing"
)

// reencode builds the frame that h and body describe, or gives nil for kinds
// that have no Append function yet.
func reencode(h *Header, body []byte) []byte {
	var b []byte
	switch h.Kind {
	case KindCall:
		b = AppendCall(nil, h.ID, string(h.Method), &h.Meta)
	case KindReply:
		b = AppendReply(nil, h.ID, h.Code, &h.Meta)
	case KindNotify:
		b = AppendNotify(nil, string(h.Method), &h.Meta)
	case KindCancel:
		b = AppendCancel(nil, h.ID, h.Code)
	case KindPing:
		b = AppendPing(nil, h.Code)
	case KindPong:
		b = AppendPong(nil, h.Code)
	case KindGoAway:
		b = AppendGoAway(nil, h.ID, h.Code)
	default:
		return nil
	}
	return append(b, body...)
}

func FuzzParse(f *testing.F) {
	for _, e := range examples {
		f.Add(unhex(f, e.hex)[Prefix:])
	}
	f.Add(AppendHello(nil, &Hello{Version: 1, Cluster: "c", Name: "a"}))
	f.Add([]byte("\xdd\xff\xff\xff\xff\x08\x01"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		before := bytes.Clone(frame)
		var h Header
		body, err := Parse(frame, &h)
		if !bytes.Equal(before, frame) {
			t.Fatal("Parse wrote into the frame")
		}
		if err != nil {
			if body != nil {
				t.Fatalf("a body beside the error %v", err)
			}
			return
		}
		if !bytes.HasSuffix(frame, body) {
			t.Fatal("the body is not the frame's end")
		}
		checkPeeks(t, frame, &h)
		again := reencode(&h, body)
		if again == nil {
			return
		}
		var h2 Header
		body2, err := Parse(again, &h2)
		if len(again)-len(body) > MaxHeader && err == ErrHeaderTooLarge {
			return // a header at the limit may lose its shorter integers
		}
		if err != nil || describe(&h2) != describe(&h) || !bytes.Equal(body, body2) {
			t.Fatalf("parsed\n %s %x\nthen\n %s %x, %v", describe(&h), body, describe(&h2), body2, err)
		}
	})
}

// checkPeeks fails the test unless the short cuts agree with Parse.
func checkPeeks(t *testing.T, frame []byte, h *Header) {
	if kind, err := PeekKind(frame); kind != h.Kind || err != nil {
		t.Fatalf("peeked kind %v, %v, parsed %v", kind, err, h.Kind)
	}
	switch h.Kind {
	case KindCall, KindReply, KindOpen, KindCancel:
		if id, err := PeekID(frame); id != h.ID || err != nil {
			t.Fatalf("peeked id %d, %v, parsed %d", id, err, h.ID)
		}
	}
}

func FuzzHello(f *testing.F) {
	f.Add(AppendHello(nil, &Hello{Version: 1, Cluster: "c", Name: "a", To: "b", Boot: 1, KeyID: 2}))
	f.Add(AppendHello(nil, &Hello{Version: 7}))
	f.Add([]byte("\x93\x0b\x01\x81\xa1x\xdd\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		h, err := ParseHello(frame)
		if err != nil {
			return
		}
		for _, name := range []string{h.Cluster, h.Name, h.To} {
			if name != "" && !ValidName(name) {
				t.Fatalf("name %q was let through", name)
			}
		}
		again, err := ParseHello(AppendHello(nil, &h))
		if err != nil || again != h {
			t.Fatalf("%+v became %+v, %v", h, again, err)
		}
	})
}

func FuzzMeta(f *testing.F) {
	for _, m := range []Meta{
		{},
		{Partition: NoPartition},
		{Timeout: 1, Partition: 5, Fingerprint: 1 << 63, Hops: 1, Attempt: 2, Owner: []byte("o"), Message: []byte("m")},
		{User: []Pair{{[]byte("k"), []byte("v")}, {nil, nil}}},
		{Partition: 7, Key: []byte("alice"), Caller: Carried | CallerVerified, CallerName: []byte("admin")},
	} {
		f.Add(appendMeta(nil, &m))
	}
	f.Add([]byte("\x81\x0b\xdd\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		cur := cursor{buf: b}
		var m Meta
		cur.meta(&m)
		if cur.err != nil {
			return
		}
		if m.Timeout < 0 || m.Partition < NoPartition || m.Partition >= 1<<32 || len(m.User) > MaxPairs {
			t.Fatalf("out of range: %s", describeMeta(&m))
		}
		var again Meta
		cur = cursor{buf: appendMeta(nil, &m)}
		cur.meta(&again)
		if cur.err != nil || cur.pos != len(cur.buf) || describeMeta(&again) != describeMeta(&m) {
			t.Fatalf("%s became %s, %v", describeMeta(&m), describeMeta(&again), cur.err)
		}
	})
}

// naive is Scan written the plain way: it recurses.
func naive(b []byte, depth int) (rest []byte, ok bool) {
	size, children, err := scanHead(b)
	if err != nil || size > len(b) || children > len(b)-size || (children > 0 && depth == 0) {
		return nil, false
	}
	rest, ok = b[size:], true
	for range children {
		if rest, ok = naive(rest, depth-1); !ok {
			return nil, false
		}
	}
	return rest, true
}

func FuzzScan(f *testing.F) {
	for _, v := range values {
		f.Add(unhex(f, v.hex), 2)
	}
	f.Add(append(bytes.Repeat([]byte{0x91}, 200), 0), MaxDepth)
	f.Add([]byte("\xdd\xff\xff\xff\xff"), 8)
	f.Fuzz(func(t *testing.T, b []byte, depth int) {
		depth = max(0, min(depth, MaxDepth))
		err := Scan(b, depth)
		rest, ok := naive(b, depth)
		if (err == nil) != (ok && len(rest) == 0) || (err == ErrTrailing) != (ok && len(rest) > 0) {
			t.Fatalf("depth %d: Scan says %v, the naive one leaves %x, %v", depth, err, rest, ok)
		}
		if err != nil {
			return
		}
		if got := allocated(func() { decode(b, payloads(b)) }); got > decodeCost(len(b)) {
			t.Fatalf("the decoder allocated %d bytes for %d that had passed", got, len(b))
		}
	})
}
