// Package bank keeps accounts on the mesh. An account lives with the node that owns
// its name, and a transfer between two of them is two durable calls: one takes the
// money from the payer and, in the same transaction, enqueues the other, which gives
// it to the receiver. So money is never lost and never made, whatever crashes; for a
// moment it is on its way.
//
// Every account has a journal of what happened to it, kept with its balance. It is
// what package check judges by.
//
// All of it may be used from any number of goroutines.
package bank

import (
	"context"
	"fmt"
	"strings"

	"github.com/meshnode/meshnode/outbox"
	"github.com/meshnode/meshnode/rpc"
)

type (
	// OpenRequest opens an account with so much money in it.
	OpenRequest struct {
		Account string `json:"account"`
		Amount  int64  `json:"amount"`
	}
	// MoveRequest moves money from one account to another. ID names the transfer.
	MoveRequest struct {
		ID     string `json:"id"`
		From   string `json:"from"`
		To     string `json:"to"`
		Amount int64  `json:"amount"`
	}
	// BalanceRequest asks for an account.
	BalanceRequest struct {
		Account string `json:"account"`
	}
	// BalanceReply is what is in an account, after the call.
	BalanceReply struct {
		Balance int64 `json:"balance"`
	}
)

// The methods. Open, Debit and Balance have the account as their key, Credit has the
// receiver's. Debit and Credit are called as durable calls only.
var (
	Open    = rpc.NewMethod[OpenRequest, BalanceReply]("bank.Open")
	Debit   = rpc.NewMethod[MoveRequest, BalanceReply]("bank.Debit")
	Credit  = rpc.NewMethod[MoveRequest, BalanceReply]("bank.Credit")
	Balance = rpc.NewMethod[BalanceRequest, BalanceReply]("bank.Balance", rpc.Idempotent())
)

// OpenAccount has an account opened, once however often it is called, and returns
// the id of the call.
func OpenAccount(ctx context.Context, q rpc.Queue, account string, amount int64) (id string, err error) {
	return Open.Enqueue(ctx, q, &OpenRequest{Account: account, Amount: amount}, rpc.Key(account), rpc.ID("open/"+account))
}

// Transfer has money moved: once it returns, the transfer will be made, or refused
// for good. Debit.Await tells which.
func Transfer(ctx context.Context, q rpc.Queue, m MoveRequest) error {
	_, err := Debit.Enqueue(ctx, q, &m, rpc.Key(m.From), rpc.ID(m.ID))
	return err
}

// Serve has a node keep the accounts that it owns.
func Serve(box *outbox.Box, r rpc.Registrar) {
	outbox.Handle(box, r, Open, open)
	outbox.Handle(box, r, Debit, debit)
	outbox.Handle(box, r, Credit, credit)
	outbox.Handle(box, r, Balance, balance)
}

// open is idempotent by itself as well: a call can be enqueued again when nobody
// remembers the first one any more.
func open(_ context.Context, tx *outbox.Tx, req *OpenRequest) (*BalanceReply, error) {
	if req.Account == "" || strings.ContainsRune(req.Account, 0) || req.Amount < 0 {
		return nil, rpc.Errorf(rpc.InvalidArgument, "the account %q cannot be opened with %d", req.Account, req.Amount)
	}
	a, err := load(tx, req.Account)
	if err != nil {
		return nil, err
	}
	if !a.Opened {
		a.Opened = true
		err = a.book(tx, Entry{Kind: Opened, ID: "open/" + req.Account, Amount: req.Amount})
	}
	return &BalanceReply{Balance: a.Balance}, err
}

// debit takes the money and sends it on its way, both or neither. What is refused
// here is refused for good.
func debit(ctx context.Context, tx *outbox.Tx, req *MoveRequest) (*BalanceReply, error) {
	if req.ID == "" || req.Amount <= 0 || req.From == req.To || req.To == "" || strings.ContainsRune(req.To, 0) {
		return nil, rpc.Errorf(rpc.InvalidArgument, "%d cannot be moved from %q to %q", req.Amount, req.From, req.To)
	}
	a, err := load(tx, req.From)
	switch {
	case err != nil:
		return nil, err
	case !a.Opened:
		return nil, rpc.Errorf(rpc.NotFound, "no account %s", req.From)
	case a.Balance < req.Amount:
		return nil, rpc.Errorf(rpc.FailedPrecondition, "insufficient funds: %s has %d", req.From, a.Balance)
	}
	if err := a.book(tx, Entry{Kind: Debited, ID: req.ID, Peer: req.To, Amount: -req.Amount}); err != nil {
		return nil, err
	}
	if _, err := Credit.Enqueue(ctx, tx, req, rpc.Key(req.To), rpc.ID(CreditID(req.ID))); err != nil {
		return nil, err
	}
	return &BalanceReply{Balance: a.Balance}, nil
}

// CreditID is the id of the durable call that gives a transfer's money to its
// receiver.
func CreditID(transfer string) string { return transfer + "/credit" }

// credit never refuses: the money has been taken from somebody. It waits in an
// account that nobody has opened yet.
func credit(_ context.Context, tx *outbox.Tx, req *MoveRequest) (*BalanceReply, error) {
	a, err := load(tx, req.To)
	if err != nil {
		return nil, err
	}
	if err := a.book(tx, Entry{Kind: Credited, ID: req.ID, Peer: req.From, Amount: req.Amount}); err != nil {
		return nil, err
	}
	return &BalanceReply{Balance: a.Balance}, nil
}

func balance(_ context.Context, tx *outbox.Tx, req *BalanceRequest) (*BalanceReply, error) {
	a, err := load(tx, req.Account)
	if err != nil {
		return nil, err
	}
	if !a.Opened {
		return nil, rpc.Errorf(rpc.NotFound, "no account %s", req.Account)
	}
	return &BalanceReply{Balance: a.Balance}, nil
}

// String says what is moved.
func (m *MoveRequest) String() string { return fmt.Sprintf("%s → %s %d", m.From, m.To, m.Amount) }
