//go:build process

package proctest

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestConvergence measures how soon all fingerprints are equal after a join at
// twenty processes.
func TestConvergence(t *testing.T) {
	const size, bound = 20, 2 * time.Second
	c := startCluster(t, size-1)
	p := c.add(fmt.Sprintf("node-%d", size), freeAddrs(t, 1)[0])
	// The clock starts when the new process is there to be talked to.
	eventually(t, 10*time.Second, func() bool { return strings.Contains(p.log.String(), "listening") },
		func() string { return "the new process does not listen" })
	took := c.agree(size, 10*time.Second)
	t.Logf("%d processes: all fingerprints equal %v after the last one joined (bound %v)", size, took.Round(time.Millisecond), bound)
	if took > bound {
		t.Errorf("all fingerprints equal only after %v, want %v", took, bound)
	}
}

// TestNameTaken starts a second live node under a name that is in use: it is
// refused, and the first is not disturbed.
func TestNameTaken(t *testing.T) {
	c := startCluster(t, 3)
	first, err := c.members[1].ping()
	if err != nil {
		t.Fatal(err)
	}
	second := start(t, "node-2", freeAddrs(t, 1)[0], "--join", c.members[0].addr)
	if status := second.exit(t); status != 1 {
		t.Errorf("the second node-2 ended with status %d, want 1", status)
	}
	if log := second.log.String(); !strings.Contains(log, "name") || !strings.Contains(log, c.members[1].addr) {
		t.Errorf("the second node-2 does not say whose name it took:\n%s", log)
	}
	c.agree(3, time.Second)
	now, err := c.members[1].ping()
	if err != nil || now.Fingerprint != first.Fingerprint {
		t.Errorf("the first node-2 was disturbed: %+v, %v", now, err)
	}
}

// TestNameMoves restarts a crashed node under its name on another address.
func TestNameMoves(t *testing.T) {
	c := startCluster(t, 3)
	victim := c.members[2]
	victim.kill()
	c.drop(victim)
	c.add(victim.name, freeAddrs(t, 1)[0])
	took := c.agree(3, 20*time.Second)
	t.Logf("crash, and restart under the same name at another address: agreed after %v", took.Round(time.Millisecond))
}

// TestRefused starts nodes with the wrong cluster name and the wrong key: both
// sides say which it is.
func TestRefused(t *testing.T) {
	const key, other = "MDEyMzQ1Njc4OWFiY2RlZg==", "ZmVkY2JhOTg3NjU0MzIxMA=="
	c := startCluster(t, 2, "--gossip-key", key)
	seed := c.members[0]
	for name, refused := range map[string]struct {
		args   []string
		says   string // the refused node
		logged string // the seed
	}{
		"cluster": {[]string{"--gossip-key", key, "--cluster", "elsewhere"}, "cluster", "cluster name mismatch"},
		"key":     {[]string{"--gossip-key", other}, "gossip key", `and \"node-1\" have different ones`},
		"no-key":  {nil, "gossip key", `\"no-key\" has none`},
	} {
		p := start(t, name, freeAddrs(t, 1)[0], append(refused.args, "--join", seed.addr)...)
		if status := p.exit(t); status != 1 {
			t.Errorf("%s: ended with status %d, want 1", name, status)
		}
		if !strings.Contains(p.log.String(), refused.says) {
			t.Errorf("%s: the refused node does not say %q:\n%s", name, refused.says, p.log)
		}
		eventually(t, 5*time.Second, func() bool { return strings.Contains(seed.log.String(), refused.logged) },
			func() string { return "the seed does not log " + refused.logged + ":\n" + seed.log.String() })
	}
	c.agree(2, time.Second)
}

// TestAlone starts a node whose seed is not there: it says that it is not
// ready, and becomes ready when the seed appears.
func TestAlone(t *testing.T) {
	addrs := freeAddrs(t, 2)
	lone := start(t, "lone", addrs[0], "--join", addrs[1])
	eventually(t, 10*time.Second, func() bool {
		r, err := lone.ping()
		return err == nil && !r.Ready && strings.Contains(r.Why, "seed")
	}, func() string { return "the lone node does not say that it is not ready" })
	seed := start(t, "seed", addrs[1])
	c := &cluster{t: t, members: []*process{seed, lone}}
	took := c.agree(2, 20*time.Second)
	t.Logf("seed appeared: the waiting node was ready after %v", took.Round(time.Millisecond))
}
