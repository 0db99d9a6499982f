package wire

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// scanPieces feeds b to a Scanner, cut at every multiple of piece, and gives
// what it found and how many bytes it had seen by then.
func scanPieces(b []byte, piece, limit, depth int) (n, seen int, err error) {
	var s Scanner
	s.Reset(limit, depth)
	for seen < len(b) && n == 0 && err == nil {
		seen = min(seen+piece, len(b))
		n, err = s.Next(b[:seen])
	}
	return n, seen, err
}

func TestScannerFindsTheEnd(t *testing.T) {
	for _, v := range values {
		b := unhex(t, v.hex)
		for piece := 1; piece <= len(b)+1; piece++ {
			what := fmt.Sprintf("%s in pieces of %d", v.name, piece)
			n, _, err := scanPieces(append(b, 0xc1, 0xc1), piece, 1<<10, 1)
			same(t, what, n, len(b))
			same(t, what, err, nil)
			if n, _, err = scanPieces(b[:len(b)-1], piece, 1<<10, 1); n != 0 || err != nil {
				t.Errorf("%s without the last byte: %d, %v", what, n, err)
			}
		}
	}
}

// A value of just the limit passes; one byte more does not, however it comes.
func TestScannerLimit(t *testing.T) {
	for _, v := range values {
		b := unhex(t, v.hex)
		for piece := 1; piece <= len(b); piece++ {
			what := fmt.Sprintf("%s in pieces of %d", v.name, piece)
			n, _, err := scanPieces(b, piece, len(b), 1)
			same(t, what+", limit met", n, len(b))
			same(t, what+", limit met", err, nil)
			_, _, err = scanPieces(b, piece, len(b)-1, 1)
			same(t, what+", limit missed", err, ErrTooLarge)
		}
	}
}

// What is declared counts before it arrives.
func TestScannerRefusesAtOnce(t *testing.T) {
	cases := []struct {
		name, hex string
		depth     int
		want      error
	}{
		{"bin of 4 GiB", "c6 ffffffff", 1, nil}, // which error depends on the machine's int
		{"str over the limit", "da 0400", 1, ErrTooLarge},
		{"array over the limit", "dc 0400", 1, ErrTooLarge},
		{"array of 4 Gi", "dd ffffffff", 1, nil},
		{"map over the limit", "de 0200", 1, ErrTooLarge},
		{"map of 4 Gi", "df ffffffff", 1, nil},
		{"arrays that add up", "dc 0200 dc 01ff", 8, ErrTooLarge},
		{"never used byte", "93 01 c1", 8, ErrMalformed},
		{"too deep", "91 91 91", 2, ErrTooDeep},
		{"deeper than can be asked for", strings.Repeat("91", 1000), 1 << 20, ErrTooDeep},
	}
	for _, c := range cases {
		for piece := 1; piece < 4; piece++ {
			b := append(unhex(t, c.hex), make([]byte, 2000)...)
			n, seen, err := scanPieces(b, piece, 1<<10, c.depth)
			if n != 0 || err == nil || c.want != nil && err != c.want {
				t.Errorf("%s: %d, %v, want %v", c.name, n, err, c.want)
			}
			if most := len(b) - 2000 + piece; seen > most {
				t.Errorf("%s: refused after %d bytes, want %d", c.name, seen, most)
			}
		}
	}
	var zero Scanner
	_, err := zero.Next([]byte{0x90})
	same(t, "the zero Scanner", err, nil)
}

func TestScannerAllocates(t *testing.T) {
	msg := unhex(t, "94 00 01 a4 65636861 91 82 01 02 a1 61 c0")
	var s Scanner
	if n := testing.AllocsPerRun(100, func() {
		s.Reset(1<<10, 8)
		if n, err := s.Next(msg); n != len(msg) || err != nil {
			t.Fatal(n, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzScanner: in whatever pieces a value arrives, the Scanner finds what Scan
// accepts, and nothing else.
func FuzzScanner(f *testing.F) {
	for _, v := range values {
		f.Add(unhex(f, v.hex), uint8(1), uint8(2))
	}
	f.Add([]byte("\xdd\xff\xff\xff\xff"), uint8(2), uint8(2))
	f.Add(bytes.Repeat([]byte{0x91}, 200), uint8(3), uint8(100))
	f.Fuzz(func(t *testing.T, b []byte, piece, depth uint8) {
		n, _, err := scanPieces(b, int(piece)+1, len(b), int(depth))
		whole, _, errWhole := scanPieces(b, len(b)+1, len(b), int(depth))
		if n != whole || err != errWhole && (err == nil) != (errWhole == nil) {
			t.Fatalf("in pieces %d, %v; whole %d, %v", n, err, whole, errWhole)
		}
		if n > 0 {
			if err := Scan(b[:n], int(depth)); err != nil {
				t.Fatalf("a value of %d bytes that Scan refuses: %v", n, err)
			}
		}
		if len(b) > 0 && Scan(b, int(depth)) == nil && n != len(b) {
			t.Fatalf("Scan takes all %d bytes, the Scanner %d, %v", len(b), n, err)
		}
	})
}
