package node_test

import (
	"context"
	"fmt"
	"log"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

type Order struct{ Price int }

type Total struct{ Sum int }

var Totals = rpc.NewStream[Order, Total]("shop.Totals")

// A stream to the node that owns a key: each order is answered by the sum so
// far.
func Example_stream() {
	ctx := context.Background()
	n, err := node.New(node.Config{Name: "a", Cluster: "example-stream", Profile: membership.Local})
	if err != nil {
		log.Fatal(err)
	}
	Totals.Handle(n, func(_ context.Context, s *rpc.ServerStream[Order, Total]) error {
		sum := 0
		for order, err := range s.All() {
			if err != nil {
				return err
			}
			sum += order.Price
			if err := s.Send(&Total{Sum: sum}); err != nil {
				return err
			}
		}
		return nil
	})
	if err := n.Start(ctx); err != nil {
		log.Fatal(err)
	}
	defer n.Stop(ctx)

	s, err := Totals.Open(ctx, n, rpc.Key("cart-17"))
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	for _, price := range []int{5, 10, 20} {
		if err := s.Send(&Order{Price: price}); err != nil {
			log.Fatal(err)
		}
	}
	_ = s.CloseSend()
	for total, err := range s.All() {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(total.Sum)
	}
	// Output:
	// 5
	// 15
	// 35
}
