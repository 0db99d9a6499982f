package transport

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// Retire lets what is under way finish, refuses what is new, and is bounded.
func TestPeerRetire(t *testing.T) {
	for name, network := range networks(t) {
		t.Run(name, func(t *testing.T) {
			release, started := make(chan struct{}), make(chan struct{})
			_, _, h, p := peerLab(t, network(), methods{"m": func(in *Incoming) {
				close(started)
				hold(release)
				_ = in.Reply(CodeOK, nil, nil)
			}})
			c, err := p.Conn(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			answered := goCall(context.Background(), c, &Request{Method: "m"})
			receive(t, "call", started)
			retired := make(chan struct{})
			go func() { p.Retire(context.Background()); close(retired) }()
			eventually(t, "retirement", func() bool { return p.Current() == nil })
			_, err = c.Call(context.Background(), &Request{Method: "m"})
			is(t, "call on the old connection", err, ErrShutdown, true)
			_, err = p.Conn(context.Background())
			is(t, "new connection", err, ErrClosed, true)
			same(t, "retired", len(retired), 0)
			close(release)
			same(t, "call under way", receive(t, "answer", answered), answer{})
			receive(t, "end of Retire", retired)
			eventually(t, "no connection", func() bool { return h.Conns()+p.ep.Conns() == 0 })
		})
	}
}

func TestPeerRetireIsBounded(t *testing.T) {
	e := newEnds()
	close(e.release)
	_, _, _, p := peerLab(t, System(), e)
	c, err := p.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	answered := goCall(context.Background(), c, &Request{Method: "m"})
	receive(t, "call", e.started)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	p.Retire(ctx)
	is(t, "call", receive(t, "answer", answered).err, ErrClosed, false)
	receive(t, "end of its handler", e.ended)
	l := &lab{t, newMemNet(10)}
	l.endpoint(Config{}).Peer("never dialled", "127.0.0.1:1").Retire(context.Background())
}

// A server that greets and hangs up does not make callers dial in a loop.
func TestPeerOfAServerThatHangsUp(t *testing.T) {
	n := &counted{Network: newMemNet(1000)}
	l := &lab{t, n}
	hello := helloFrame(nil, &wire.Hello{Version: wire.Version, Name: "b"})
	h := l.host(Config{Name: "b"}, func(s *StreamHandlers) {
		s.Mesh = func(nc net.Conn) {
			_, _ = readPreface(nc)
			_, _ = nc.Write(hello)
			_ = nc.Close()
		}
	})
	p := l.endpoint(Config{Name: "a"}).Peer("b", h.addr)
	for try := range int32(3) {
		c, err := p.Conn(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		receive(t, "end", c.Closed())
		_, err = c.Call(context.Background(), &Request{Method: "m"})
		is(t, "call", err, ErrClosed, true)
		same(t, "dials", n.dials.Load(), try+1)
	}
}
