package main

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/meshnode/meshnode/examples/transfer/bank"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/outbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// keep has a node keep two accounts in a directory and make a transfer, and gives
// its box, which is open.
func keep(t *testing.T, dir string) *outbox.Box {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	n, err := node.New(node.Config{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	box, err := outbox.Open(dir, outbox.Config{})
	if err != nil {
		t.Fatal(err)
	}
	bank.Serve(box, n)
	if err := errors.Join(box.Start(n), n.Start(ctx)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"alice", "bob"} {
		if _, err := bank.OpenAccount(ctx, box, name, 50); err != nil {
			t.Fatal(err)
		}
	}
	if err := bank.Transfer(ctx, box, bank.MoveRequest{ID: "1", From: "alice", To: "bob", Amount: 20}); err != nil {
		t.Fatal(err)
	}
	for _, err := bank.Credit.Await(ctx, box, bank.CreditID("1")); err != nil; _, err = bank.Credit.Await(ctx, box, bank.CreditID("1")) {
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	return box
}

// What a node has kept is read from its directory, not while the node uses it.
func TestRead(t *testing.T) {
	dir := t.TempDir()
	if _, err := readAll([]string{dir}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
	box := keep(t, filepath.Join(dir, "a"))
	receipts, err := bank.OpenReceipts(filepath.Join(dir, "a.receipts"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(receipts.Add(bank.Receipt{Kind: bank.Debited, ID: "1", From: "alice", To: "bob", Amount: 20}), receipts.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := readAll([]string{dir}); !errors.Is(err, outbox.ErrInUse) {
		t.Errorf("in use: %v", err)
	}
	if err := box.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it has changed nothing
		b, err := readAll([]string{dir})
		if err != nil {
			t.Fatal(err)
		}
		r := judge(b)
		if !r.OK || r.Nodes != 1 || r.Accounts != 2 || r.Sum != 100 || r.Applied != 1 {
			t.Errorf("%+v", r)
		}
		if got := b.accounts["bob"].Balance; got != 70 {
			t.Errorf("bob has %d", got)
		}
	}
	if b, err := readAll([]string{filepath.Join(dir, "a")}); err != nil || judge(b).Sum != 100 {
		t.Errorf("the node's own directory: %+v, %v", b, err)
	}
}
