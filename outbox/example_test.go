package outbox_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log"
	"os"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/outbox"
	"github.com/meshnode/meshnode/rpc"
)

type (
	DepositRequest struct{ Amount uint64 }
	DepositReply   struct{ Balance uint64 }
)

var Deposit = rpc.NewMethod[DepositRequest, DepositReply]("bank.Deposit")

// deposit adds to the balance of an account. That, and that the call was executed, go
// to the disk together.
func deposit(_ context.Context, tx *outbox.Tx, req *DepositRequest) (*DepositReply, error) {
	accounts := tx.Bucket("accounts")
	balance := req.Amount
	if old := accounts.Get([]byte("alice")); old != nil {
		balance += binary.BigEndian.Uint64(old)
	}
	return &DepositReply{Balance: balance}, accounts.Put([]byte("alice"), binary.BigEndian.AppendUint64(nil, balance))
}

// A deposit that is made twice under one id, as a program does that does not know
// whether it had made it before it crashed.
func Example() {
	dir, err := os.MkdirTemp("", "outbox")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	n, err := node.New(node.Config{Name: "a", Cluster: "example-outbox"})
	if err != nil {
		log.Fatal(err)
	}
	box, err := outbox.Open(dir, outbox.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer box.Close()
	outbox.Handle(box, n, Deposit, deposit)
	if err := box.Start(n); err != nil {
		log.Fatal(err)
	}
	if err := n.Start(ctx); err != nil {
		log.Fatal(err)
	}
	defer n.Close()
	for range 2 {
		id, err := Deposit.Enqueue(ctx, box, &DepositRequest{Amount: 5}, rpc.Key("alice"), outbox.ID("order-17"))
		if err != nil {
			log.Fatal(err)
		}
		reply, err := Deposit.Await(ctx, box, id)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(id, reply.Balance)
	}
	// Output:
	// order-17 5
	// order-17 5
}
