//go:build !race

package sim_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/outbox"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/sim"
)

var count = rpc.NewMethod[string, int]("example.Count")

// boxes are the boxes of simulated nodes. That of a process is closed when the process
// ends, whatever ended it; the next one waits for that, as a directory is locked.
type boxes struct {
	dir string
	cfg outbox.Config

	mu     sync.Mutex
	open   map[int]*outbox.Box
	closed map[int]chan struct{}
}

// setup is for sim.Config.Setup.
func (b *boxes) setup(i int, n *node.Node) {
	b.mu.Lock()
	before, closed := b.closed[i], make(chan struct{})
	b.closed[i] = closed
	b.mu.Unlock()
	if before != nil {
		<-before
	}
	box, err := outbox.Open(filepath.Join(b.dir, n.Name()), b.cfg)
	if err != nil {
		panic(err)
	}
	outbox.Handle(box, n, count, func(_ context.Context, tx *outbox.Tx, word *string) (*int, error) {
		seen := tx.Bucket("seen")
		times := len(seen.Get([]byte(*word))) + 1
		return &times, seen.Put([]byte(*word), make([]byte, times))
	})
	if err := box.Start(n); err != nil {
		panic(err)
	}
	b.mu.Lock()
	b.open[i] = box
	b.mu.Unlock()
	go func() {
		defer close(closed)
		<-n.Done() // also after a Crash
		if err := box.Close(); err != nil {
			panic(err)
		}
	}()
}

func (b *boxes) of(i int) *outbox.Box {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open[i]
}

// Durable calls in a simulation: a node crashes, and its next process finds what it had
// taken and executed.
func Example_outbox() {
	dir, err := os.MkdirTemp("", "boxes")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	cfg := sim.Config{Nodes: 1, Seed: 1, Profile: membership.Local}
	err = sim.Run(cfg, nil, func() {
		b := &boxes{dir: dir, open: map[int]*outbox.Box{}, closed: map[int]chan struct{}{}}
		cfg.Setup = b.setup
		c, err := sim.New(cfg)
		if err != nil {
			fmt.Println(err)
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := c.Start(ctx); err != nil {
			fmt.Println(err)
			return
		}
		say := func(id string) {
			hello := "hello"
			_, err := count.Enqueue(ctx, b.of(0), &hello, rpc.Key("k"), outbox.ID(id))
			if err != nil {
				fmt.Println(err)
				return
			}
			times, err := count.Await(ctx, b.of(0), id)
			if err != nil {
				fmt.Println(err)
				return
			}
			fmt.Println(id, *times)
		}
		say("first")
		if err := c.Restart(0); err != nil { // a crash, and a new process
			fmt.Println(err)
			return
		}
		if err := c.AwaitReady(ctx, 0); err != nil {
			fmt.Println(err)
			return
		}
		say("first")
		say("second")
		c.Close()
		for _, closed := range b.closed {
			<-closed
		}
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// first 1
	// first 1
	// second 2
}
