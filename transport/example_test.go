package transport_test

import (
	"context"
	"fmt"

	"github.com/meshnode/meshnode/transport"
)

// greeter answers calls of greeter.Hello.
type greeter struct{}

func (greeter) ServeCall(in *transport.Incoming) {
	_ = in.Reply(transport.CodeOK, nil, fmt.Appendf(nil, "hello %s, this is b", in.Body))
}

// Two processes in one: b listens, a calls it.
func Example() {
	ctx := context.Background()
	b, err := transport.NewEndpoint(transport.Config{Name: "b", Cluster: "example", Handler: greeter{}})
	if err != nil {
		panic(err)
	}
	port, err := transport.OpenPort(ctx, transport.System(), "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() { _ = port.Serve(transport.StreamHandlers{Mesh: b.ServeConn}) }()
	defer func() {
		b.Close()
		_ = port.Close()
	}()

	a, err := transport.NewEndpoint(transport.Config{Name: "a", Cluster: "example"})
	if err != nil {
		panic(err)
	}
	defer a.Close()
	conn, err := a.Peer("b", port.Addr().String()).Conn(ctx)
	if err != nil {
		panic(err)
	}
	reply, err := conn.Call(ctx, &transport.Request{Method: "greeter.Hello", Body: []byte("alice")})
	if err != nil {
		panic(err)
	}
	defer reply.Release()
	fmt.Println(string(reply.Body))
	// Output: hello alice, this is b
}
