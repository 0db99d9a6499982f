// Command transfer moves money between accounts that are spread over the mesh, with
// durable calls: a transfer that was taken is made once, whatever crashes.
//
//	go run ./examples/transfer -data /tmp/bank -nodes 3
//	go run ./examples/transfer/check /tmp/bank
//
// or each node in a process of its own, to be killed and started again at will:
//
//	go run ./examples/transfer -data /tmp/bank -name a -bind 127.0.0.1:7301
//	go run ./examples/transfer -data /tmp/bank -name b -bind 127.0.0.1:7302 -join 127.0.0.1:7301
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/meshnode/meshnode/examples/transfer/bank"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/outbox"
	"github.com/meshnode/meshnode/rpc"
)

var names = []string{"alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"}

const opening = 100 // in each account

// options are the flags.
type options struct {
	data             string
	nodes, transfers int
	cfg              node.Config // of each node; named only if it is one of a process of its own
	join             string
}

func main() {
	var o options
	flag.StringVar(&o.data, "data", "", "directory for the nodes' directories")
	flag.IntVar(&o.nodes, "nodes", 3, "nodes in this process")
	flag.IntVar(&o.transfers, "transfers", 20, "how many transfers each node makes")
	flag.StringVar(&o.cfg.Name, "name", "", "be one node, of this name, until interrupted")
	flag.StringVar(&o.cfg.Bind, "bind", node.DefaultBind, "its ip:port")
	flag.StringVar(&o.join, "join", "", "ip:port of another")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if o.data == "" {
		log.Fatal("usage: transfer -data DIR [-nodes N | -name NAME [-bind IP:PORT] [-join IP:PORT]] [-transfers N]")
	}
	if err := o.run(ctx); err != nil {
		log.Fatal(err)
	}
}

func (o *options) run(ctx context.Context) (err error) {
	var tellers []*teller
	defer func() { // one after the other, so that each can hand over its accounts
		for _, t := range tellers {
			if serr := t.stop(); err == nil {
				err = serr
			}
		}
	}()
	configs := []node.Config{o.cfg}
	if o.cfg.Name == "" {
		configs = slices.Repeat(configs, o.nodes)
	} else if o.join != "" {
		configs[0].Seeds = []string{o.join}
	}
	for i, cfg := range configs {
		if o.cfg.Name == "" {
			cfg.Name = fmt.Sprintf("node-%d", i+1)
		}
		if i > 0 {
			cfg.Seeds = []string{tellers[0].n.Addr().String()}
		}
		t, err := start(ctx, cfg, o.data)
		if err != nil {
			return err
		}
		tellers = append(tellers, t)
	}
	if err := openAll(ctx, tellers[0]); err != nil {
		return err
	}
	var all sync.WaitGroup
	for _, t := range tellers {
		all.Go(func() { t.transfers(ctx, o.transfers) })
	}
	all.Wait()
	if o.cfg.Name != "" {
		<-ctx.Done()
		return nil
	}
	return total(ctx, tellers)
}

// teller is a node that keeps accounts, and a client that makes transfers.
type teller struct {
	n        *node.Node
	box      *outbox.Box
	receipts *bank.Receipts
}

// start starts a node on its directory, which has what it kept and was to do.
func start(ctx context.Context, cfg node.Config, data string) (*teller, error) {
	n, err := node.New(cfg)
	if err != nil {
		return nil, err
	}
	t := &teller{n: n}
	if t.box, err = outbox.Open(filepath.Join(data, cfg.Name), outbox.Config{}); err != nil {
		return nil, err
	}
	if t.receipts, err = bank.OpenReceipts(filepath.Join(data, cfg.Name+".receipts")); err != nil {
		return nil, err
	}
	bank.Serve(t.box, n)
	if err := t.box.Start(n); err != nil {
		return nil, err
	}
	return t, n.Start(ctx)
}

func (t *teller) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := t.n.Stop(ctx); err != nil {
		return err
	}
	if err := t.box.Close(); err != nil {
		return err
	}
	return t.receipts.Close()
}

// openAll opens the accounts; those that were opened before stay as they are.
func openAll(ctx context.Context, t *teller) error {
	for _, name := range names {
		id, err := bank.OpenAccount(ctx, t.box, name, opening)
		if err != nil {
			return err
		}
		if err := t.receipts.Add(bank.Receipt{Kind: bank.Opened, ID: id, From: name, Amount: opening}); err != nil {
			return err
		}
		reply, err := bank.Open.Await(ctx, t.box, id)
		if err != nil {
			return err
		}
		fmt.Printf("%s is open with %d\n", name, reply.Balance)
	}
	return nil
}

// transfers makes transfers around the circle of names, and prints what became of
// them.
func (t *teller) transfers(ctx context.Context, count int) {
	began := time.Now().UnixMilli()
	for i := range count {
		from := i % len(names)
		m := bank.MoveRequest{
			ID:   fmt.Sprintf("%s-%d-%d", t.n.Name(), began, i),
			From: names[from], To: names[(from+1+i/len(names))%len(names)], Amount: int64(10 + i*i%50),
		}
		if m.From == m.To {
			continue
		}
		if err := t.transfer(ctx, m); err != nil {
			fmt.Printf("%s: %v: %v\n", m.ID, &m, err)
		}
	}
}

func (t *teller) transfer(ctx context.Context, m bank.MoveRequest) error {
	if err := bank.Transfer(ctx, t.box, m); err != nil {
		return err
	}
	// It will be made now, or refused, though this process were killed here.
	if err := t.receipts.Add(bank.Receipt{Kind: bank.Debited, ID: m.ID, From: m.From, To: m.To, Amount: m.Amount}); err != nil {
		return err
	}
	reply, err := bank.Debit.Await(ctx, t.box, m.ID)
	switch {
	case errors.Is(err, rpc.FailedPrecondition):
		return errors.Join(err, t.receipts.Add(bank.Receipt{Kind: bank.Refused, ID: m.ID, From: m.From}))
	case err != nil:
		return err
	}
	fmt.Printf("%s: %v: %s has %d left\n", m.ID, &m, m.From, reply.Balance)
	return nil
}

// total waits until no money is on its way, and prints the sum.
func total(ctx context.Context, tellers []*teller) error {
	want := int64(opening * len(names))
	for ctx.Err() == nil {
		var sum int64
		for _, name := range names {
			reply, err := bank.Balance.Call(ctx, tellers[0].n, &bank.BalanceRequest{Account: name}, rpc.Key(name))
			if err != nil {
				return err
			}
			sum += reply.Balance
		}
		if sum == want {
			fmt.Printf("%d in all, as there was at the beginning\n", sum)
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}
