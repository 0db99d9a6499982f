package wire

import (
	"bytes"
	"encoding/hex"
	"math"
	"strings"
	"testing"
)

func TestAppendUintIsShortest(t *testing.T) {
	for _, c := range []struct {
		u    uint64
		want string
	}{
		{0, "00"},
		{127, "7f"},
		{128, "cc80"},
		{255, "ccff"},
		{256, "cd0100"},
		{65535, "cdffff"},
		{65536, "ce00010000"},
		{math.MaxUint32, "ceffffffff"},
		{math.MaxUint32 + 1, "cf0000000100000000"},
		{math.MaxUint64, "cfffffffffffffffff"},
	} {
		got := AppendUint([]byte("x"), c.u)
		same(t, "prefix kept", got[0], 'x')
		same(t, "encoding", hex.EncodeToString(got[1:]), c.want)
		cur := cursor{buf: got, pos: 1}
		same(t, "read back", cur.uint(), c.u)
		same(t, "error", cur.err, nil)
		same(t, "read to", cur.pos, len(got))
	}
}

func TestUintReadsEveryForm(t *testing.T) {
	for _, c := range []struct {
		in   string
		want uint64
		err  error
	}{
		{"cc05", 5, nil}, // longer than needed, but an integer all the same
		{"cd0005", 5, nil},
		{"cf0000000000000005", 5, nil},
		{"d07f", 127, nil},
		{"d17fff", 32767, nil},
		{"d27fffffff", math.MaxInt32, nil},
		{"d37fffffffffffffff", math.MaxInt64, nil},
		{"d0ff", 0, ErrMalformed}, // negative
		{"d1ffff", 0, ErrMalformed},
		{"d280000000", 0, ErrMalformed},
		{"d38000000000000000", 0, ErrMalformed},
		{"ff", 0, ErrMalformed},
		{"a0", 0, ErrMalformed},
		{"c0", 0, ErrMalformed},
		{"ca00000000", 0, ErrMalformed}, // a float
		{"", 0, ErrTruncated},
		{"cc", 0, ErrTruncated},
		{"cf00000000000000", 0, ErrTruncated},
	} {
		cur := cursor{buf: unhex(t, c.in)}
		got := cur.uint()
		same(t, c.in+" error", cur.err, c.err)
		if c.err == nil {
			same(t, c.in, got, c.want)
		}
	}
}

func TestStrings(t *testing.T) {
	for _, c := range []struct {
		n    int
		head string
	}{
		{0, "a0"},
		{1, "a1"},
		{31, "bf"},
		{32, "d920"},
		{255, "d9ff"},
		{256, "da0100"},
		{65535, "daffff"},
		{65536, "db00010000"},
	} {
		want := strings.Repeat("s", c.n)
		b := AppendStr(nil, want)
		same(t, "head", hex.EncodeToString(b[:len(b)-c.n]), c.head)
		if !bytes.Equal(b, appendBytes(nil, []byte(want))) {
			t.Errorf("appendBytes of %d bytes differs from AppendStr", c.n)
		}
		cur := cursor{buf: b}
		same(t, "is a string", cur.isStr(), true)
		same(t, "read back", string(cur.str()), want)
		same(t, "error", cur.err, nil)
		same(t, "read to", cur.pos, len(b))
	}
}

func TestStrTakesBinaryAndRefusesTheRest(t *testing.T) {
	for _, c := range []struct {
		in, want string
		err      error
	}{
		{"c402 6869", "hi", nil},
		{"c50002 6869", "hi", nil},
		{"c600000002 6869", "hi", nil},
		{"d902 6869", "hi", nil},
		{"db00000002 6869", "hi", nil},
		{"a3 6869", "", ErrTruncated},
		{"dbffffffff 6869", "", ErrTruncated},
		{"c6ffffffff", "", ErrTruncated},
		{"d9", "", ErrTruncated},
		{"", "", ErrTruncated},
		{"05", "", ErrMalformed},
		{"80", "", ErrMalformed},
		{"c0", "", ErrMalformed},
	} {
		cur := cursor{buf: unhex(t, c.in)}
		got := cur.str()
		same(t, c.in+" error", cur.err, c.err)
		same(t, c.in, string(got), c.want)
	}
}

func TestContainerHeads(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 65535, 65536} {
		b := AppendMapHeader(nil, n)
		cur := cursor{buf: b}
		same(t, "pairs", cur.mapping(), n)
		same(t, "read to", cur.pos, len(b))
		same(t, "error", cur.err, nil)
	}
	for _, c := range []struct {
		in   string
		want int
		err  error
	}{
		{"90", 0, nil},
		{"9f", 15, nil},
		{"dc0010", 16, nil},
		{"dd00010000", 65536, nil},
		{"ddffffffff", math.MaxInt32, nil}, // never negative, whatever an int's size
		{"dc00", 0, ErrTruncated},
		{"", 0, ErrTruncated},
		{"80", 0, ErrMalformed},
		{"01", 0, ErrMalformed},
	} {
		cur := cursor{buf: unhex(t, c.in)}
		got := cur.array()
		same(t, c.in+" error", cur.err, c.err)
		if c.err == nil {
			same(t, c.in, got, c.want)
		}
	}
	cur := cursor{buf: unhex(t, "dfffffffff")}
	same(t, "most pairs", cur.mapping(), math.MaxInt32)
	cur = cursor{buf: unhex(t, "91")}
	cur.mapping()
	same(t, "an array as a map", cur.err, ErrMalformed)
}

// A cursor that has failed keeps its first error and gives nothing more.
func TestCursorStaysFailed(t *testing.T) {
	cur := cursor{buf: unhex(t, "c0 05 a1 61 91 81")}
	cur.uint()
	same(t, "first", cur.err, ErrMalformed)
	at := cur.pos
	same(t, "uint", cur.uint(), 0)
	same(t, "array", cur.array(), 0)
	same(t, "mapping", cur.mapping(), 0)
	same(t, "str", len(cur.str()), 0)
	same(t, "isStr", cur.isStr(), false)
	cur.skip()
	cur.fail(ErrTooDeep)
	same(t, "error kept", cur.err, ErrMalformed)
	same(t, "position kept", cur.pos, at)
}
