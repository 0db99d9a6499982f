// Command teller is a node of the crash test: it keeps accounts, and makes transfers
// between all of them, until it is killed.
//
//	teller -name node-1 -bind 127.0.0.1:7101 [-join ADDR,ADDR] -data DIR -accounts 30 -rate 150
//
// Its directory is DIR/NAME, and what it was promised is in DIR/NAME.receipts. It
// says on its standard output how it stands, a line of JSON at a time (Event). On its
// standard input "open" has the accounts opened, and "quiet" ends the transfers. It
// ends gracefully on SIGTERM.
//
// The environment variable MESHNODE_PLANT plants a fault, to show that the test would
// notice it: see plants.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/meshnode/meshnode/examples/transfer/bank"
	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/outbox"
	"github.com/meshnode/meshnode/router"
)

// options are the flags that are not a node's.
type options struct {
	data     string
	accounts int
	opening  int64
	rate     float64 // transfers a second
	seed     uint64
	plant    string
}

func main() {
	began := time.Now()
	cfg := node.Config{Cluster: "crash", Profile: membership.Local, Table: router.Params{Partitions: 512}}
	var o options
	var join string
	flag.StringVar(&cfg.Name, "name", "", "name of the node")
	flag.StringVar(&cfg.Bind, "bind", node.DefaultBind, "ip:port")
	flag.IntVar(&cfg.Expect, "expect", 0, "members to wait for")
	flag.StringVar(&join, "join", "", "ip:port of others, with commas between")
	flag.StringVar(&o.data, "data", "", "directory of all tellers")
	flag.IntVar(&o.accounts, "accounts", 30, "number of accounts")
	flag.Int64Var(&o.opening, "opening", 200, "what is in each at the beginning")
	flag.Float64Var(&o.rate, "rate", 150, "transfers a second")
	flag.Uint64Var(&o.seed, "seed", 1, "of the choice of transfers")
	flag.Parse()
	if join != "" {
		cfg.Seeds = strings.Split(join, ",")
	}
	o.plant = os.Getenv("MESHNODE_PLANT")
	cfg.Logger = zerolog.New(os.Stderr).With().Timestamp().Logger()
	if err := run(cfg, o, began); err != nil {
		fmt.Fprintln(os.Stderr, "teller:", err)
		os.Exit(1)
	}
}

// teller is the node, and the client in it.
type teller struct {
	o        options
	n        *node.Node
	box      *outbox.Box
	receipts *bank.Receipts
	began    time.Time

	mu  sync.Mutex
	out *json.Encoder
}

func run(cfg node.Config, o options, began time.Time) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	t := &teller{o: o, began: began, out: json.NewEncoder(os.Stdout)}
	if err := t.plantIn(&cfg); err != nil {
		return err
	}
	if t.n, err = node.New(cfg); err != nil {
		return err
	}
	if t.box, err = outbox.Open(filepath.Join(o.data, cfg.Name), outbox.Config{Logger: cfg.Logger, Checkpoint: 256 << 10}); err != nil {
		return err
	}
	if t.receipts, err = bank.OpenReceipts(filepath.Join(o.data, cfg.Name+".receipts")); err != nil {
		return err
	}
	t.say(Event{What: Recovered})
	bank.Serve(t.box, t.n)
	if err := t.box.Start(t.n); err != nil {
		return err
	}
	working, quiet := context.WithCancel(ctx)
	var all sync.WaitGroup
	all.Go(func() { t.load(working) }) // transfers are taken before they can be made
	all.Go(func() { t.tell(ctx) })
	go t.listen(ctx, quiet) // ends with the input
	if err := t.n.Start(ctx); err != nil {
		return err
	}
	t.say(Event{What: Ready})
	<-ctx.Done()
	all.Wait()
	return t.stop()
}

func (t *teller) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	err := t.n.Stop(ctx)
	t.say(Event{What: Stopped})
	return errors.Join(err, t.box.Close(), t.receipts.Close())
}

// listen does what the test says.
func (t *teller) listen(ctx context.Context, quiet func()) {
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		switch in.Text() {
		case "open":
			if err := t.open(ctx); err != nil {
				fmt.Fprintln(os.Stderr, "teller: opening accounts:", err)
			} else {
				t.say(Event{What: Opened})
			}
		case "quiet":
			quiet()
		}
	}
}
