package sim_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/sim"
)

// ownedBy gives keys whose first owners are these nodes, in this order.
func ownedBy(c *sim.Cluster, count int, owners ...int) (keys []string) {
	var want []string
	for _, i := range owners {
		want = append(want, c.Member(i).Name)
	}
	table := c.Node(owners[0]).Table()
	for i := 0; len(keys) < count; i++ {
		key := fmt.Sprintf("key-%d", i)
		if got := table.Owners(table.Partition(key), len(owners), nil); fmt.Sprint(got) == fmt.Sprint(want) {
			keys = append(keys, key)
		}
	}
	return keys
}

// However short its time, a call ends by its deadline, whatever it waits for: a
// dial, an owner's answer, or a sign of life, which may take longer than the call
// has left. Those who wait for the same sign of life have deadlines of their own.
func TestCallsEndByTheirDeadline(t *testing.T) {
	const slack = 2 * time.Millisecond
	for _, connected := range []bool{false, true} {
		t.Run(fmt.Sprintf("connected=%v", connected), func(t *testing.T) {
			sim.Test(t, sim.Config{Nodes: 4, Seed: 7, Profile: membership.WAN, Setup: serveWhere}, func(t *testing.T, c *sim.Cluster) {
				keys := append(ownedBy(c, 20, 1, 0), ownedBy(c, 20, 1, 2)...) // the caller is next, or another
				if connected {
					for _, key := range keys {
						ask(t, c, 0, key)
					}
				}
				c.PowerOff(1)
				var calls sync.WaitGroup
				for i, key := range keys {
					for _, timeout := range []time.Duration{20, 300, 510, 700, 990, 1100, 1600} {
						timeout = timeout*time.Millisecond + time.Duration(i)*time.Millisecond
						calls.Go(func() {
							begun := time.Now()
							ctx, opts := t.Context(), []rpc.CallOption{rpc.Key(key), rpc.Timeout(timeout)}
							if i%2 == 0 { // by the context, or by the call's own timeout
								var cancel context.CancelFunc
								ctx, cancel = context.WithTimeout(ctx, timeout)
								defer cancel()
								opts = opts[:1]
							}
							_, err := where.Call(ctx, c.Node(0), &whereRequest{Key: key}, opts...)
							if took := time.Since(begun); took > timeout+slack {
								t.Errorf("a call for %q took %v of %v and ended with %v", key, took, timeout, err)
							}
						})
					}
				}
				calls.Wait()
			})
		})
	}
}
