// Command hello is the smallest program on the mesh: it greets, and each name
// is greeted by the process that owns it.
//
//	go run ./examples/hello a 127.0.0.1:7201
//	go run ./examples/hello b 127.0.0.1:7202 127.0.0.1:7201
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

// HelloRequest names who is to be greeted.
type HelloRequest struct {
	Name string `json:"name"`
}

// HelloReply is the greeting.
type HelloReply struct {
	Text string `json:"text"`
}

// Hello is declared once and used by callers and handlers.
var Hello = rpc.NewMethod[HelloRequest, HelloReply]("greeter.Hello", rpc.Idempotent())

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: hello NAME IP:PORT [SEED…]")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	n, err := node.New(node.Config{Name: os.Args[1], Bind: os.Args[2], Seeds: os.Args[3:]})
	if err != nil {
		log.Fatal(err)
	}
	Hello.Handle(n, func(_ context.Context, req *HelloRequest) (*HelloReply, error) {
		return &HelloReply{Text: "hello " + req.Name + " from " + n.Name()}, nil
	})
	if err := n.Start(ctx); err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"alice", "bob", "erin", "frank"} {
		reply, err := Hello.Call(ctx, n, &HelloRequest{Name: name}, rpc.Key(name))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(reply.Text)
	}
	<-ctx.Done()
	if err := n.Stop(context.WithoutCancel(ctx)); err != nil {
		log.Fatal(err)
	}
}
