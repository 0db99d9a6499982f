package transport

import (
	"bytes"
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// raw is the far end of a connection whose bytes the test writes by hand.
type raw struct {
	testing.TB
	nc     net.Conn
	frames frameReader
}

func newRaw(t testing.TB, nc net.Conn) *raw {
	_ = nc.SetDeadline(time.Now().Add(patience))
	return &raw{t, nc, frameReader{r: nc, limit: wire.MaxFrame}}
}

// raw opens a connection to a host and says nothing yet.
func (l *lab) raw(h *host) *raw {
	l.Helper()
	nc, err := l.net.Dial(context.Background(), h.addr)
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { _ = nc.Close() })
	return newRaw(l, nc)
}

// greeted opens a connection to a host and greets as a client.
func (l *lab) greeted(h *host) *raw {
	l.Helper()
	return l.greetedWith(h, &wire.Hello{Version: wire.Version, Window: DefaultWindow, ConnWindow: DefaultConnWindow})
}

// greetedWith is greeted with that hello.
func (l *lab) greetedWith(h *host, hello *wire.Hello) *raw {
	l.Helper()
	r := l.raw(h)
	r.write(helloFrame([]byte(wire.Preface), hello))
	if _, head, _ := r.next(); head.Kind != wire.KindHello {
		l.Fatalf("greeted with %v", head.Kind)
	}
	return r
}

// rawHost listens and gives the connection that comes, after the client's
// hello was answered with mine.
func (l *lab) rawHost(mine wire.Hello) (addr string, accepted <-chan *raw) {
	l.Helper()
	ln, err := l.net.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { _ = ln.Close() })
	ch := make(chan *raw, 1)
	go func() {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		if n, ok := l.net.(*tlsNet); ok {
			if nc, _, err = n.of(mine.Name).accept(nc); err != nil {
				l.Errorf("TLS: %v", err)
				return
			}
		}
		l.Cleanup(func() { _ = nc.Close() })
		r := newRaw(l, nc)
		if _, err := readPreface(nc); err != nil {
			l.Errorf("the client's hello: %v", err)
		}
		r.write(helloFrame(nil, &mine))
		ch <- r
	}()
	return ln.Addr().String(), ch
}

// rawPair gives a client's connection and the raw far end of it.
func (l *lab) rawPair(cfg Config) (*Conn, *raw) {
	l.Helper()
	addr, accepted := l.rawHost(wire.Hello{
		Version: wire.Version, Name: "raw", Cluster: "lab", Window: DefaultWindow, ConnWindow: DefaultConnWindow,
	})
	c, err := l.endpoint(cfg).Dial(context.Background(), addr, "raw")
	if err != nil {
		l.Fatal(err)
	}
	return c, receive(l, "connection", accepted)
}

func (r *raw) write(b []byte) {
	r.Helper()
	if _, err := r.nc.Write(b); err != nil {
		r.Errorf("raw write: %v", err)
	}
}

// frame puts a length before what build appends.
func frame(build func([]byte) []byte) []byte {
	buf, at := wire.Begin(nil)
	return wire.End(build(buf), at)
}

// send writes one frame.
func (r *raw) send(build func([]byte) []byte) {
	r.Helper()
	r.write(frame(build))
}

// sendCall writes a call without meta.
func (r *raw) sendCall(id uint64, method string) {
	r.Helper()
	r.send(func(b []byte) []byte { return wire.AppendCall(b, id, method, nil) })
}

// next reads one frame.
func (r *raw) next() (frame []byte, h wire.Header, body string) {
	r.Helper()
	frame, err := r.frames.next()
	if err != nil {
		r.Fatalf("raw read: %v", err)
	}
	frame = bytes.Clone(frame)
	b, err := wire.Parse(frame, &h)
	if err != nil {
		r.Fatalf("raw read of % x: %v", frame, err)
	}
	return frame, h, string(b)
}

// refusal reads frames up to a goaway, gives its error, and sees the stream end.
func (r *raw) refusal() error {
	r.Helper()
	for {
		_, h, body := r.next()
		if h.Kind != wire.KindGoAway {
			continue
		}
		r.ended()
		_ = r.nc.Close()
		return reason(h.Code).err(body)
	}
}

// ended fails the test unless the other side has ended the stream.
func (r *raw) ended() {
	r.Helper()
	for {
		_, err := r.frames.next()
		if err == nil {
			continue
		}
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			r.Errorf("the stream goes on: %v", err)
		}
		return
	}
}
