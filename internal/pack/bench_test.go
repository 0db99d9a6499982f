package pack

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/meshnode/meshnode/internal/wire"
)

type message struct {
	Body []byte `msgpack:"body"`
}

// sink is where the library writes.
type sink struct{ buf []byte }

func (s *sink) Write(b []byte) (int, error) { s.buf = append(s.buf, b...); return len(b), nil }
func (s *sink) WriteByte(b byte) error      { s.buf = append(s.buf, b); return nil }

func benchmark[T any](b *testing.B, what string, v T) {
	c := codecOf[T](b)
	body := encoded(b, c, nil, &v)
	b.Run(what+"/encode/pack", func(b *testing.B) {
		b.ReportAllocs()
		var buf []byte
		for b.Loop() {
			buf, _ = c.Append(buf[:0], &v, room())
		}
	})
	b.Run(what+"/encode/library", func(b *testing.B) {
		b.ReportAllocs()
		s := &sink{}
		e := msgpack.NewEncoder(s)
		e.UseCompactInts(true)
		e.SetCustomStructTag("json")
		for b.Loop() {
			s.buf = s.buf[:0]
			if err := e.Encode(&v); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run(what+"/decode/pack", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Decode(body); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run(what+"/decode/library", func(b *testing.B) {
		b.ReportAllocs()
		r := new(bytes.Reader)
		d := msgpack.NewDecoder(r)
		d.SetCustomStructTag("json")
		for b.Loop() {
			r.Reset(body)
			if err := wire.Scan(body, maxDepth); err != nil {
				b.Fatal(err)
			}
			if err := d.Decode(new(T)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkCodec(b *testing.B) {
	for _, size := range []int{64, 1024} {
		benchmark(b, fmt.Sprintf("message of %d", size), message{make([]byte, size)})
	}
	benchmark(b, "flat", flat{ID: 1 << 40, Name: "a name of some length", Score: 0.5, Data: make([]byte, 24)})
	benchmark(b, "nested", nest{
		Ptr: &flat{Name: "x"}, List: make([]flat, 4), Names: []string{"alice", "bob", "carol"}, Lists: [][]int{{1, 2, 3}, {1 << 20}},
	})
	benchmark(b, "map", map[string]string{"a": "alice", "b": "bob", "c": "carol", "d": "dave"})
	benchmark(b, "map of structs", map[string]inner{"a": {X: 1}, "b": {X: 2}, "c": {}})
}
