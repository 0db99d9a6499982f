package main

import (
	"context"
	"fmt"

	"github.com/valyala/gorpc"
)

// gorpcPeer is valyala/gorpc with bytes (which it wraps in gob), its defaults,
// and compression, which is on by default, off.
type gorpcPeer struct {
	server *gorpc.Server
	client *gorpc.Client
}

func startGORPC(context.Context) (Peer, error) {
	s := gorpc.NewTCPServer("127.0.0.1:0", func(_ string, request any) any { return request })
	s.LogError = gorpc.NilErrorLogger
	if err := s.Start(); err != nil {
		return nil, err
	}
	c := gorpc.NewTCPClient(s.Listener.ListenAddr().String())
	c.DisableCompression = true
	c.LogError = gorpc.NilErrorLogger
	c.Start()
	return &gorpcPeer{server: s, client: c}, nil
}

// Caller implements Peer.
func (p *gorpcPeer) Caller(body []byte) func() ([]byte, error) {
	return func() ([]byte, error) {
		reply, err := p.client.Call(body)
		if err != nil {
			return nil, err
		}
		out, ok := reply.([]byte)
		if !ok {
			return nil, fmt.Errorf("gorpc answered with a %T", reply)
		}
		return out, nil
	}
}

// Close implements Peer.
func (p *gorpcPeer) Close() {
	p.client.Stop()
	p.server.Stop()
}
