// Package rpc is how calls look to the program that makes and serves them:
// methods, destinations, status codes, metadata and interceptors. It knows no
// sockets; a Caller (package node) carries the calls.
//
// A method is a value, declared once and used on both sides:
//
//	var Hello = rpc.NewMethod[HelloRequest, HelloReply]("greeter.Hello", rpc.Idempotent())
//
//	Hello.Handle(n, func(ctx context.Context, req *HelloRequest) (*HelloReply, error) { ... })
//	reply, err := Hello.Call(ctx, n, &HelloRequest{Name: "alice"}, rpc.Key("alice"))
//
// Values travel as msgpack, by the rules of docs/types.md: what does not fit its
// place is refused, never changed. A struct's fields go by their msgpack tag, else
// their json tag, else their name. A Req or Reply of []byte passes through as
// it is. A call to a handler in the same process is encoded and decoded too, so
// caller and handler never share memory: each may change what it has, and a caller
// whose call ended early may use its request again.
//
// # Failures
//
// Every error of a call is an *Error with a Code; errors.Is(err, rpc.NotFound)
// works on both sides of the wire, as do context.Canceled and
// context.DeadlineExceeded. A handler returns what it wants the caller to see
// by Errorf; any other error arrives as Internal with its text. What wraps an
// *Error keeps its code and adds its own text. A handler's panic arrives as
// Internal without its text, as does a handler that ends its goroutine
// (runtime.Goexit) or whose error panics when it is asked what it is.
//
// NotExecuted reports whether an error says that the call was provably not
// executed, so that it may be made again whatever the method.
//
// # Concurrency
//
// Methods are immutable and safe for concurrent use. Handlers run side by side.
package rpc
