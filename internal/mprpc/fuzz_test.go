package mprpc

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/meshnode/meshnode/internal/wire"
	"github.com/meshnode/meshnode/rpc"
)

// script is a stream that says what the test wrote down, in pieces, and keeps
// what it is told.
type script struct {
	net.Conn
	piece int

	mu     sync.Mutex
	in     []byte
	out    bytes.Buffer
	closed bool
}

func (s *script) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.in) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.in[:min(s.piece, len(s.in))])
	s.in = s.in[n:]
	return n, nil
}

func (s *script) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, net.ErrClosed
	}
	return s.out.Write(b)
}

func (s *script) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{} }

// FuzzConn: whatever a client sends, its stream ends when it has said all, what
// it is told is whole responses and no more than it made requests, and nothing
// is left behind.
func FuzzConn(f *testing.F) {
	for _, seed := range []string{
		"\x94\x00\x01\xa1x\x90",
		"\x94\x00\x01\xa4wait\x90\x94\x00\x02\xa1x\x91\x01",
		"\x93\x02\xa1x\x90\x94\x00\xcd\x01\x00\xc4\x01x\x92\xc4\x02hi\x81\xa3key\xa1k",
		"\x94\x00\x01\xa7lab.Raw\x92\xa2hi\x82\xa3raw\xc3\xaatimeout_ms\x05",
		"\xdd\x00\x00\x00\x04\x00\x01\xa1x\x92\xc0\x81\xa4peer\xa1p",
		"\x94\x00\x01\xa4fail\x90\x94\x01\x01\xc0\xc0",
		"\x94\x00\x01\xa1x\x91\xc6\xff\xff\xff\xff",
	} {
		f.Add([]byte(seed), uint8(3))
		f.Add([]byte(seed), uint8(255))
	}
	f.Fuzz(func(t *testing.T, in []byte, piece uint8) {
		l := newLab(t, Limits{MaxMessage: 8 << 10, MaxCalls: 8})
		l.do["wait"] = func(ctx context.Context, _ *rpc.Call) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() }
		l.do["fail"] = func(context.Context, *rpc.Call) ([]byte, error) {
			return nil, &rpc.Error{Code: rpc.NotFound, Message: "\xff", Detail: []byte{1}}
		}
		s := &script{in: in, piece: int(piece) + 1}
		l.ServeConn(s, rpc.Identity{})
		dec := msgpack.NewDecoder(&s.out)
		answers := 0
		for ; s.out.Len() > 0; answers++ {
			one, err := dec.DecodeRaw()
			if err != nil {
				t.Fatalf("answer %d: %v", answers, err)
			}
			var parts [4][]byte
			n, ok := wire.Elements(one, parts[:])
			if kind, _ := wire.Uint(parts[0]); !ok || n != 4 || kind != 1 {
				t.Fatalf("answer %d is %x", answers, one)
			}
			if err := wire.Scan(one, wire.MaxDepth); err != nil {
				t.Fatalf("answer %d: %v", answers, err)
			}
		}
		if most := len(in) / 4; answers > most { // a request has five bytes
			t.Fatalf("%d answers to %d bytes", answers, len(in))
		}
	})
}
