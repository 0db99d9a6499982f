// Package transport carries calls between processes: one port for everything
// a node speaks, and framed, multiplexed connections on it.
//
// A Port owns a UDP and a TCP socket of the same number and tells incoming
// streams apart by their first byte. An Endpoint is one process as its peers
// see it: it greets (hello), accepts and dials connections, hands incoming
// calls to a Handler on reused goroutines, and drains. A Peer keeps one lazily
// dialled connection to one other process. With a TLS, all of this is inside
// TLS 1.3, and a peer's certificate must bear the name that it claims.
//
//	ep, err := transport.NewEndpoint(transport.Config{Network: transport.System(), Name: "a", Cluster: "c", Handler: h})
//	peer := ep.Peer("b", "10.0.0.2:7101")
//	conn, err := peer.Conn(ctx)
//	reply, err := conn.Call(ctx, &transport.Request{Method: "greeter.Hello", Body: body})
//	defer reply.Release()
//
// # Concurrency
//
// All methods of Port, Endpoint, Peer and Conn are safe for concurrent use.
// A connection has two goroutines, a reader and a flusher; what many callers
// queue while one write is under way leaves in the next write together.
//
// # Failures
//
// A call that fails is either unsent (IsUnsent: the peer cannot have executed
// it: the dial failed, the frame was never wholly handed to the operating
// system, or the peer said so by goaway) or ambiguous (the connection broke
// after the write). The end of ctx comes back as ctx's own error, and the peer
// is told to cancel. Bytes that break the protocol end the connection that they
// came on, with a named error and a counter (Endpoint.Stats); other connections
// don't notice.
package transport
