//go:build process

package proctest

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// killOften kills one member after the other, and starts each again when the
// others have a table without it.
func (c *chaos) killOften(times int) {
	c.t.Helper()
	for i := range times {
		victim := c.members[0] // who comes back goes to the end of the list
		at := time.Now()
		victim.kill()
		c.mark(victim.name, at)
		c.drop(victim)
		c.settle(chaosNodes - 1)
		c.serve(victim.name, victim.addr)
		took := c.settle(chaosNodes)
		c.t.Logf("kill %d of %d: %s is back after %.1f s", i+1, times, victim.name, took.Seconds())
	}
}

// An owner is killed again and again; no idempotent call fails, and its keys are
// served by others at once.
func TestChaosKill(t *testing.T) {
	c := startChaos(t)
	kills := int(chaosSetting("CHAOS_KILLS", 20))
	c.killOften(kills)
	var recovered, waited []float64
	for _, r := range c.finish() {
		recovered, waited = append(recovered, r.Recovered...), append(waited, r.Waited...)
	}
	if len(recovered) != kills*len(c.loaders) {
		t.Fatalf("%d kills were seen by %d clients as %d", kills, len(c.loaders), len(recovered))
	}
	slices.Sort(recovered)
	slices.Sort(waited)
	half, last := len(recovered)/2, len(recovered)-1
	t.Logf("%d kills, seen by two clients: the first answer from another node after p50 %.1f ms, at most %.1f ms", kills, recovered[half], recovered[last])
	t.Logf("the slowest call to a key of the killed: p50 of the kills %.1f ms, at most %.1f ms", waited[half], waited[last])
	if recovered[0] < 0 {
		t.Error("keys of a killed member were not served again within a second")
	}
	if recovered[last] > 100 {
		t.Errorf("the slowest recovery took %.1f ms, want at most 100", recovered[last])
	}
}

// Calls that are not idempotent may fail when the owner is killed that they are
// with, as nobody knows what became of them; then they are not sent again, so none
// is executed twice, and none that was answered is missing.
func TestChaosKillOnce(t *testing.T) {
	c := startChaos(t, "-once", "0.5")
	c.killOften(int(chaosSetting("CHAOS_KILLS", 20)+3) / 4)
	once, failed := 0, 0
	for i, r := range c.end() {
		once, failed = once+r.Once, failed+r.FailedOnce
		for code := range r.Codes {
			if code != rpc.Unavailable.String() {
				t.Errorf("%s: calls failed with %s: %v", c.loaders[i].name, code, r.Errors)
			}
		}
	}
	if got := c.executed(); got < once-failed || got > once {
		t.Errorf("%d calls were executed, want at least the %d that were answered and at most all %d", got, once-failed, once)
	}
	t.Logf("%d of %d calls that are not idempotent failed: their outcome is unknown", failed, once)
}

// A member is stopped for ten seconds, and goes on; no idempotent call fails or
// takes more than a second.
func TestChaosFreeze(t *testing.T) {
	c := startChaos(t)
	victim := c.members[2]
	if err := victim.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	c.goOn(10 * time.Second)
	if err := victim.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	c.settle(chaosNodes)
	for i, r := range c.finish() {
		if r.Max > 1000 {
			t.Errorf("client %d: the slowest call took %.0f ms, want at most 1000", i+1, r.Max)
		}
	}
}

// Every member leaves gracefully and comes back; no call fails, whether or not
// it may be sent again, and none is executed twice.
func TestChaosRollingRestart(t *testing.T) {
	c := startChaos(t, "-once", "0.3")
	for _, m := range slices.Clone(c.members) {
		if err := m.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if status := m.exit(t); status != 0 {
			t.Errorf("%s ended with status %d", m.name, status)
		}
		c.drop(m)
		c.settle(chaosNodes - 1)
		c.serve(m.name, m.addr)
		c.settle(chaosNodes)
	}
	once := 0
	for _, r := range c.finish() {
		once += r.Once
	}
	c.executedOnce(once)
}

// A sixth member joins under load; no call fails, and only keys that move to it
// change their owner.
func TestChaosJoin(t *testing.T) {
	c := startChaos(t, "-once", "0.3")
	keys := keysOf(3000)
	cl := c.client(c.members[0])
	before := owners(t, cl, keys)
	c.goOn(time.Second)
	c.serve("node-6", freeAddrs(t, 1)[0])
	c.settle(chaosNodes + 1)
	c.goOn(time.Second)
	moved := 0
	for key, owner := range owners(t, cl, keys) {
		if owner == before[key] {
			continue
		}
		moved++
		if owner != "node-6" {
			t.Errorf("%s moved from %s to %s", key, before[key], owner)
		}
	}
	t.Logf("%d of %d keys moved, all to the new member", moved, len(keys))
	once := 0
	for _, r := range c.finish() {
		once += r.Once
	}
	c.executedOnce(once)
}
