package bank

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/outbox"
	"github.com/meshnode/meshnode/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start starts a node alone that keeps accounts.
func start(t *testing.T) (context.Context, *node.Node, *outbox.Box) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	n, err := node.New(node.Config{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	box, err := outbox.Open(t.TempDir(), outbox.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		n.Close()
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	})
	Serve(box, n)
	if err := box.Start(n); err != nil {
		t.Fatal(err)
	}
	if err := n.Start(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx, n, box
}

// Money moves, is refused where there is none, and an account is opened once.
func TestTransfer(t *testing.T) {
	ctx, n, box := start(t)
	for _, name := range []string{"alice", "bob", "alice"} {
		id, err := OpenAccount(ctx, box, name, 100)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := Open.Await(ctx, box, id); err != nil || r.Balance != 100 {
			t.Fatalf("%s: %+v, %v", name, r, err)
		}
	}
	if r, err := Open.Call(ctx, n, &OpenRequest{Account: "alice", Amount: 7}, rpc.Key("alice")); err != nil || r.Balance != 100 {
		t.Errorf("opened once more by another call: %+v, %v", r, err)
	}
	for _, test := range []struct {
		move MoveRequest
		want rpc.Code
	}{
		{MoveRequest{"1", "alice", "bob", 70}, rpc.OK},
		{MoveRequest{"2", "alice", "bob", 70}, rpc.FailedPrecondition},
		{MoveRequest{"3", "alice", "alice", 1}, rpc.InvalidArgument},
		{MoveRequest{"4", "alice", "bob", -1}, rpc.InvalidArgument},
		{MoveRequest{"5", "nobody", "bob", 1}, rpc.NotFound},
		{MoveRequest{"6", "alice", "carol", 5}, rpc.OK}, // who opens her account later
	} {
		if err := Transfer(ctx, box, test.move); err != nil {
			t.Fatal(err)
		}
		if _, err := Debit.Await(ctx, box, test.move.ID); rpc.CodeOf(err) != test.want {
			t.Errorf("%v: %v, want %v", &test.move, err, test.want)
		}
	}
	if _, err := OpenAccount(ctx, box, "carol", 10); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int64{"alice": 25, "bob": 170, "carol": 15} {
		var got *BalanceReply
		for err := error(nil); got == nil || got.Balance != want; { // the money may be on its way
			if got, err = Balance.Call(ctx, n, &BalanceRequest{Account: name}, rpc.Key(name)); err != nil && !errors.Is(err, rpc.NotFound) {
				t.Fatal(err)
			}
		}
	}
}

// A line that was not finished counts as not written, and does not spoil the next.
func TestReceipts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.receipts")
	want := []Receipt{{Debited, "1", "alice", "bob", 5}, {Refused, "1", "alice", "", 0}}
	for i, r := range want {
		file, err := OpenReceipts(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(file.Add(r), file.Close()); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			break
		}
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(`{"kind":"debit","id":"2","fr`); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got, torn, err := ReadReceipts(path); err != nil || torn != 1 || !slices.Equal(got, want) {
		t.Errorf("%+v, %d torn, %v", got, torn, err)
	}
}

func TestJournalKey(t *testing.T) {
	if name, number, err := ParseJournalKey(JournalKey("alice", 300)); name != "alice" || number != 300 || err != nil {
		t.Errorf("%q, %d, %v", name, number, err)
	}
	for _, bad := range []string{"", "alice", "alice\x00", "alice\x00123456789"} {
		if _, _, err := ParseJournalKey([]byte(bad)); err == nil {
			t.Errorf("%q was taken for a key", bad)
		}
	}
}
