package main

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/lesismal/arpc"
	"github.com/lesismal/arpc/log"
)

const arpcTimeout = 20 * time.Second

// arpcPeer is arpc with bytes, which it passes through as they are, its
// defaults (batched reads and writes, the handler on the reader) and its pools
// of buffers and messages, which are off by default.
type arpcPeer struct {
	ln     net.Listener
	server *arpc.Server
	client *arpc.Client
	served chan struct{}
}

func startARPC(ctx context.Context) (Peer, error) {
	quietARPC()
	ln, err := listen(ctx)
	if err != nil {
		return nil, err
	}
	p := &arpcPeer{ln: ln, server: arpc.NewServer(), served: make(chan struct{})}
	p.server.Handler.EnablePool(true)
	p.server.Handler.Handle("/echo", func(c *arpc.Context) { _ = c.Write(c.Body()) })
	go func() {
		defer close(p.served)
		_ = p.server.Serve(ln)
	}()
	p.client, err = arpc.NewClient(func() (net.Conn, error) { return dial(ctx, ln) })
	if err != nil {
		_ = ln.Close()
		return nil, err
	}
	p.client.Handler.EnablePool(true)
	return p, nil
}

// Caller implements Peer.
func (p *arpcPeer) Caller(body []byte) func() ([]byte, error) {
	return func() ([]byte, error) {
		var out []byte
		err := p.client.Call("/echo", &body, &out, arpcTimeout)
		return out, err
	}
}

// Close implements Peer. The server's Stop reads what its Serve writes, so the
// listener is closed instead, which ends Serve as well.
func (p *arpcPeer) Close() {
	p.client.Stop()
	_ = p.ln.Close()
	<-p.served
}

// quietARPC keeps arpc's messages off the output.
var quietARPC = sync.OnceFunc(func() { log.SetLevel(log.LevelNone) })
