package main

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const (
	natsSubject = "bench.echo"
	natsTimeout = 20 * time.Second
)

// natsPeer is a request over NATS: the server is embedded, and the requester
// and the responder have a connection each, so that a call takes four hops
// instead of two; that is what a broker is.
type natsPeer struct {
	server               *server.Server
	requester, responder *nats.Conn
}

func startNATS(context.Context) (Peer, error) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	if err != nil {
		return nil, err
	}
	p := &natsPeer{server: s}
	s.Start()
	if !s.ReadyForConnections(natsTimeout) {
		err = errors.New("the NATS server does not get ready")
	}
	if err == nil {
		p.responder, err = nats.Connect(s.ClientURL())
	}
	if err == nil {
		_, err = p.responder.Subscribe(natsSubject, func(m *nats.Msg) { _ = m.Respond(m.Data) })
	}
	if err == nil {
		err = p.responder.Flush() // the server knows of the subscription
	}
	if err == nil {
		p.requester, err = nats.Connect(s.ClientURL())
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Caller implements Peer.
func (p *natsPeer) Caller(body []byte) func() ([]byte, error) {
	return func() ([]byte, error) {
		reply, err := p.requester.Request(natsSubject, body, natsTimeout)
		if err != nil {
			return nil, err
		}
		return reply.Data, nil
	}
}

// Close implements Peer.
func (p *natsPeer) Close() {
	for _, nc := range []*nats.Conn{p.requester, p.responder} {
		if nc != nil {
			nc.Close()
		}
	}
	p.server.Shutdown()
	p.server.WaitForShutdown()
}
