package wire

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

func TestHeaderLimit(t *testing.T) {
	frame := AppendCall(nil, 1, strings.Repeat("m", MaxHeader), nil)
	var h Header
	if _, err := Parse(frame, &h); err != ErrHeaderTooLarge {
		t.Errorf("header of %d bytes: %v, want %v", len(frame), err, ErrHeaderTooLarge)
	}
	frame = append(AppendCall(nil, 1, "m", nil), make([]byte, 2*MaxHeader)...)
	body, err := Parse(frame, &h)
	if err != nil || len(body) != 2*MaxHeader {
		t.Errorf("small header, large body: %d bytes, %v", len(body), err)
	}
}

func TestLengthIsNeverNegative(t *testing.T) {
	for in, want := range map[string]int{
		"00000000": 0, "00000100": 256, "7fffffff": math.MaxInt32,
		"80000000": math.MaxInt32, "ffffffff": math.MaxInt32,
	} {
		same(t, in, Length(unhex(t, in)), want)
	}
}

// Errors are compared with == by callers, so none may be wrapped.
func TestErrorsAreDistinct(t *testing.T) {
	all := []error{
		ErrTruncated, ErrMalformed, ErrTooDeep, ErrTrailing, ErrLength,
		ErrUnknownKind, ErrHeaderTooLarge, ErrHello,
	}
	for i, a := range all {
		for j, b := range all {
			same(t, fmt.Sprint(a, " is ", b), errors.Is(a, b), i == j)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	meta := Meta{
		Timeout: time.Second, Partition: 3, Fingerprint: 1 << 60, Owner: []byte("node-b"),
		Key: []byte("alice"), Caller: Carried, CallerName: []byte("admin"),
		User: []Pair{{[]byte("key"), []byte("value")}, {[]byte("k2"), bytes.Repeat([]byte("v"), 300)}},
	}
	buf := make([]byte, 0, 1024)
	frame := append(AppendCall(nil, 77, "greeter.Hello", &meta), "body"...)
	nested := unhex(t, "82 a1 61 93 01 02 03 a1 62 81 c0 c3")
	same(t, "nested", Scan(nested, MaxDepth), nil)
	var h Header
	_, _ = Parse(frame, &h) // gives User its memory
	for name, f := range map[string]func(){
		"Parse":    func() { _, _ = Parse(frame, &h) },
		"PeekKind": func() { _, _ = PeekKind(frame) },
		"PeekID":   func() { _, _ = PeekID(frame) },
		"Scan":     func() { _ = Scan(nested, MaxDepth) },
		"AppendCall": func() {
			b, at := Begin(buf[:0])
			End(AppendCall(b, 1, "greeter.Hello", &meta), at)
		},
		"AppendReply":  func() { AppendReply(buf[:0], 1, 0, &meta) },
		"AppendNotify": func() { AppendNotify(buf[:0], "m", nil) },
		"AppendCancel": func() { AppendCancel(buf[:0], 1, 1) },
		"AppendPing":   func() { AppendPong(AppendPing(buf[:0], 1), 1) },
		"AppendGoAway": func() { AppendGoAway(buf[:0], 1, 1) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}
