package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
)

// Peer is a client and its server, connected over loopback.
type Peer interface {
	// Caller gives what one goroutine calls over and over: it sends body and
	// returns the reply, which is valid until the next call of the same
	// function. Neither side changes body. What can be made once for all calls
	// of a caller is made here.
	Caller(body []byte) func() (reply []byte, err error)
	// Close ends both sides. No call is under way then.
	Close()
}

// peerType is one row of the table of peers.
type peerType struct {
	name  string
	start func(ctx context.Context) (Peer, error)
}

// Names that the harness itself has to know.
const (
	limitName = "limit"
	grpcName  = "grpc-go"
)

// peerTypes are all peers, in the order in which they are told.
func peerTypes() []peerType {
	return []peerType{
		{limitName, startLimit},
		{"mesh-raw", startMeshRaw},
		{"mesh-raw-worker", startMeshWorker},
		{"mesh-raw-tls", startMeshRawTLS},
		{"mesh-typed", startMeshTyped},
		{grpcName, startGRPC},
		{"rpcx", startRPCX},
		{"arpc", startARPC},
		{"drpc", startDRPC},
		{"net-rpc", startNetRPC},
		{"nats", startNATS},
		{"gorpc", startGORPC},
	}
}

// pick gives the rows of those names, in the order of the table; none means
// all.
func pick[T any](table []T, names []string, nameOf func(T) string) ([]T, error) {
	if len(names) == 0 {
		return table, nil
	}
	var known []string
	for _, row := range table {
		known = append(known, nameOf(row))
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("no peer %q; there are %s", name, strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(table, func(row T) bool { return !slices.Contains(names, nameOf(row)) }), nil
}

// Message is what the peers send whose calls are typed: one field with the
// bytes, as protobuf's BytesValue is for those that use protobuf.
type Message struct {
	Body []byte `msgpack:"body"`
}

// listen gives a free port on loopback.
func listen(ctx context.Context) (net.Listener, error) {
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", "127.0.0.1:0")
}

// dial connects to a listener of this process.
func dial(ctx context.Context, ln net.Listener) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", ln.Addr().String())
}

// pair gives both ends of a new connection, and no listener that is left.
func pair(ctx context.Context) (client, server net.Conn, err error) {
	ln, err := listen(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = ln.Close() }()
	if client, err = dial(ctx, ln); err != nil {
		return nil, nil, err
	}
	if server, err = ln.Accept(); err != nil {
		_ = client.Close()
		return nil, nil, err
	}
	return client, server, nil
}
