package rpc_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/meshnode/meshnode/rpc"
)

// loopback is the smallest Caller and Registrar: it hands every call over to
// its own handler. In a program, a *node.Node is both.
type loopback map[string]*rpc.Handler

func (l loopback) Register(h *rpc.Handler) error {
	l[h.Spec.Name()] = h
	return nil
}

func (l loopback) Invoke(ctx context.Context, call *rpc.Call) (err error) {
	ctx, _ = rpc.WithInfo(ctx, rpc.Info{Method: call.Spec.Name(), Metadata: call.Metadata})
	call.AnsweredBy("loopback")
	call.Reply, err = l[call.Spec.Name()].Serve(ctx, call.Req)
	return err
}

func (l loopback) Targets(context.Context, rpc.Dest) ([]string, error) {
	return []string{"loopback"}, nil
}

type (
	BalanceRequest struct{ Account string }
	BalanceReply   struct{ Cents int64 }
)

// Balance is declared once and used by callers and handlers alike.
var Balance = rpc.NewMethod[BalanceRequest, BalanceReply]("bank.Balance", rpc.Idempotent())

// A method is served by a typed handler and called with a typed request. The
// error's code says what went wrong, on either side of the wire.
func Example() {
	n := loopback{}
	Balance.Handle(n, func(ctx context.Context, req *BalanceRequest) (*BalanceReply, error) {
		if req.Account != "alice" {
			return nil, rpc.Errorf(rpc.NotFound, "no account %q", req.Account)
		}
		info, _ := rpc.InfoFrom(ctx)
		fmt.Println("asked by", info.Metadata["teller"])
		return &BalanceReply{Cents: 1250}, nil
	})

	ctx := context.Background()
	var who string
	reply, err := Balance.Call(ctx, n, &BalanceRequest{Account: "alice"},
		rpc.Key("alice"), rpc.WithMetadata("teller", "bob"), rpc.Answered(&who))
	fmt.Println(reply.Cents, err, who)

	_, err = Balance.Call(ctx, n, &BalanceRequest{Account: "carol"}, rpc.Key("carol"))
	fmt.Println(errors.Is(err, rpc.NotFound), err)
	// Output:
	// asked by bob
	// 1250 <nil> loopback
	// true NotFound: no account "carol"
}
