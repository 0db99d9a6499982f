package node_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/router"
	"github.com/meshnode/meshnode/rpc"
)

type (
	visit       struct{ Visitor string }
	visits      struct{ Count int }
	takeRequest struct{ Partitions []uint32 }
	takeReply   struct{ Counts map[string]int }
)

var (
	countVisit = rpc.NewMethod[visit, visits]("visits.Count")
	takeVisits = rpc.NewMethod[takeRequest, takeReply]("visits.Take")
)

// visitors counts visits in memory, and takes the counts with the partitions.
type visitors struct {
	n *node.Node

	mu     sync.Mutex
	counts map[string]int
}

func newVisitors(n *node.Node) *visitors {
	v := &visitors{n: n, counts: make(map[string]int)}
	countVisit.Handle(n, func(_ context.Context, req *visit) (*visits, error) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.counts[req.Visitor]++
		return &visits{v.counts[req.Visitor]}, nil
	})
	takeVisits.Handle(n, v.give)
	n.OnOwnership(v.changed, node.HoldServing(10*time.Second))
	return v
}

// give hands over what belongs to partitions.
func (v *visitors) give(_ context.Context, req *takeRequest) (*takeReply, error) {
	wanted := make(map[uint32]bool)
	for _, p := range req.Partitions {
		wanted[p] = true
	}
	reply, table := &takeReply{Counts: make(map[string]int)}, v.n.Table()
	v.mu.Lock()
	defer v.mu.Unlock()
	for visitor, count := range v.counts {
		if wanted[table.Partition(visitor)] {
			reply.Counts[visitor] = count
			delete(v.counts, visitor)
		}
	}
	return reply, nil
}

// changed fetches what belongs to the partitions that this node has gained.
func (v *visitors) changed(c node.OwnershipChange) {
	from := make(map[string][]uint32)
	for _, g := range c.Gained {
		if g.From != "" && g.From != v.n.Name() && g.Fate != node.FateCrashed {
			from[g.From] = append(from[g.From], g.Partition)
		}
	}
	for name, partitions := range from {
		reply, err := takeVisits.Call(context.Background(), v.n, &takeRequest{partitions}, rpc.Peer(name))
		if err != nil {
			fmt.Println(err)
			continue
		}
		v.mu.Lock()
		for visitor, count := range reply.Counts {
			v.counts[visitor] += count
		}
		v.mu.Unlock()
	}
}

// State in memory moves with its partitions, also when two nodes join at once.
func ExampleNode_OnOwnership_state() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var seeds []string
	start := func(name string) *node.Node {
		n, err := node.New(node.Config{
			Name: name, Cluster: "example-state", Profile: membership.Local, Seeds: seeds, Table: router.Params{Partitions: 1 << 8},
		})
		if err != nil {
			panic(err)
		}
		newVisitors(n)
		if err := n.Start(ctx); err != nil {
			panic(err)
		}
		return n
	}
	a := start("a")
	defer a.Close()
	seeds = []string{a.Addr().String()}
	again := func() (known int) {
		for i := range 100 {
			visitor := fmt.Sprintf("visitor-%d", i)
			reply, err := countVisit.Call(ctx, a, &visit{visitor}, rpc.Key(visitor))
			if err != nil {
				panic(err)
			}
			if reply.Count > 1 {
				known++
			}
		}
		return known
	}
	fmt.Println("known at first:", again())
	var both sync.WaitGroup
	var b, c *node.Node
	both.Go(func() { b = start("b") })
	both.Go(func() { c = start("c") })
	both.Wait()
	defer b.Close()
	defer c.Close()
	fmt.Println("known after two have joined:", again())
	// Output:
	// known at first: 0
	// known after two have joined: 100
}
