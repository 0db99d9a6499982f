// Package mprpc serves plain MessagePack-RPC clients, whatever language they
// are written in, as a gateway into the mesh. It opens no sockets and knows no
// node: streams are handed to it, and calls go out by a function.
//
//	g := mprpc.New(mprpc.Config{Invoke: n.Invoke, Served: served, Self: n.Name()})
//	g.ServeConn(nc, who)  // until the stream ends
//	g.Drain(ctx); g.Close()
//
// A request [0,id,method,params] is answered by [1,id,error,result]; a
// notification [2,method,params] never is. params is [], [request] or [request,
// options]; docs/msgpack-rpc.md is the reference for those who write clients.
// The request's bytes are the body of the mesh call and the reply's bytes the
// result: nothing is decoded on the way.
//
// # Concurrency
//
// A Gateway is safe for concurrent use. A stream has a reader (the goroutine of
// ServeConn), a writer that sends what answers have gathered, and a goroutine
// for each call under way; answers leave in the order in which they are ready.
//
// # Failures
//
// What is wrong with one request is its answer. Bytes that are no
// MessagePack-RPC at all end the stream with one of the package's errors, a
// counter and a sampled line of log. Memory is bounded: by MaxMessage before
// anything is allocated, by MaxHeld for all that is held for all clients, and
// by not reading from a client that does not take its answers. When a client
// is gone, its requests are cancelled; notifications go on.
package mprpc
