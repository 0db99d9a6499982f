package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshnode/meshnode/examples/transfer/bank"
	"github.com/meshnode/meshnode/rpc"
)

func account(i int) string { return fmt.Sprintf("account-%d", i) }

// open opens the accounts and waits until they are.
func (t *teller) open(ctx context.Context) error {
	for i := range t.o.accounts {
		id, err := bank.OpenAccount(ctx, t.box, account(i), t.o.opening)
		if err != nil {
			return err
		}
		if err := t.receipts.Add(bank.Receipt{Kind: bank.Opened, ID: id, From: account(i), Amount: t.o.opening}); err != nil {
			return err
		}
	}
	for i := range t.o.accounts {
		if _, err := bank.Open.Await(ctx, t.box, "open/"+account(i)); err != nil {
			return err
		}
	}
	return nil
}

// payers is how many transfers are taken at a time. Each account belongs to one of
// those who make them, so that there is an order.
const payers = 16

// load makes transfers until ctx ends.
func (t *teller) load(ctx context.Context) {
	if t.o.rate <= 0 {
		return
	}
	var all sync.WaitGroup
	var count atomic.Uint64
	for w := range min(payers, t.o.accounts) {
		all.Go(func() {
			random := rand.New(rand.NewPCG(t.o.seed, uint64(w)))
			for t.pause(ctx, random) {
				m := t.choose(random, w)
				m.ID = fmt.Sprintf("%s-%d-%06d", t.n.Name(), t.began.UnixMilli(), count.Add(1))
				if err := t.transfer(ctx, m); err != nil && ctx.Err() == nil {
					fmt.Fprintln(os.Stderr, "teller: a transfer was not taken:", err)
					continue
				}
				all.Go(func() { t.await(ctx, &m) })
			}
		})
	}
	all.Wait()
}

// pause waits until a payer's next transfer is due; they come at random, not in step.
// It is false when ctx has ended.
func (t *teller) pause(ctx context.Context, random *rand.Rand) bool {
	timer := time.NewTimer(time.Duration(random.ExpFloat64() * payers / t.o.rate * float64(time.Second)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// choose makes a transfer from one of the accounts of a payer to any other.
func (t *teller) choose(random *rand.Rand, payer int) bank.MoveRequest {
	from := payer + payers*random.IntN((t.o.accounts-1-payer)/payers+1)
	to := (from + 1 + random.IntN(t.o.accounts-1)) % t.o.accounts
	return bank.MoveRequest{From: account(from), To: account(to), Amount: 1 + random.Int64N(t.o.opening/2)}
}

// transfer has a transfer made, and notes that it was promised.
func (t *teller) transfer(ctx context.Context, m bank.MoveRequest) error {
	receipt := bank.Receipt{Kind: bank.Debited, ID: m.ID, From: m.From, To: m.To, Amount: m.Amount}
	if t.o.plant == earlyReceipt {
		if err := t.receipts.Add(receipt); err != nil {
			return err
		}
		select {
		case <-time.After(lateWrite):
		case <-ctx.Done():
		}
	}
	if err := bank.Transfer(ctx, t.box, m); err != nil || t.o.plant == earlyReceipt {
		return err
	}
	return t.receipts.Add(receipt)
}

// await waits for what becomes of a transfer, and notes what it is told if that is
// a refusal.
func (t *teller) await(ctx context.Context, m *bank.MoveRequest) {
	_, err := bank.Debit.Await(ctx, t.box, m.ID)
	if !errors.Is(err, rpc.FailedPrecondition) {
		return
	}
	if err := t.receipts.Add(bank.Receipt{Kind: bank.Refused, ID: m.ID, From: m.From}); err != nil {
		fmt.Fprintln(os.Stderr, "teller: receipts:", err)
	}
}
