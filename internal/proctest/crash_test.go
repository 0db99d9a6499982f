//go:build process

package proctest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// killAtRandom kills tellers while they take, make and execute transfers, and while
// they recover, until there were so many kills; each is started again. Each is a
// sender and a receiver, so that both sides are killed with each of them.
func (c *crash) killAtRandom(kills int) {
	c.t.Helper()
	for c.kills < kills {
		c.wait(1500 * time.Millisecond)
		i := c.random.IntN(crashNodes)
		switch c.random.IntN(10) {
		case 0, 1: // two at a time
			j := (i + 1) % crashNodes
			c.kill(i)
			c.kill(j)
			c.start(j)
			c.start(i)
		case 2: // all of them
			for k := range crashNodes {
				c.kill(k)
			}
			for k := range crashNodes {
				c.start(k)
			}
		case 3, 4: // while it recovers, too
			c.kill(i)
			c.start(i)
			c.wait(120 * time.Millisecond)
			c.kill(i)
			c.start(i)
		case 5: // and is away for a while
			c.kill(i)
			c.wait(3 * time.Second)
			c.start(i)
		case 6, 7: // one leaves, and those who take over what it holds are killed
			c.leave(i, (i+1)%crashNodes)
		default:
			c.kill(i)
			c.start(i)
		}
		if c.random.IntN(3) > 0 {
			c.ready(60 * time.Second)
		}
	}
}

// figures says what the test has met.
func (c *crash) figures(v *verdict) {
	var duplicates, executed, enqueued, notHeld, fetched, found uint64
	var opened, joined, served []float64
	for i, p := range c.all {
		s := p.now()
		duplicates, executed, enqueued = duplicates+s.Counts.Duplicates, executed+s.Counts.Executed, enqueued+s.Counts.Enqueued
		notHeld, fetched, found = notHeld+s.Counts.NotHeld, fetched+s.Counts.Fetched, found+uint64(s.Found)
		if i < crashNodes {
			continue // the first start is no recovery
		}
		for what, list := range map[string]*[]float64{"recovered": &opened, "ready": &joined, "serving": &served} {
			if s, ok := p.when(what); ok {
				*list = append(*list, s.MS)
			}
		}
	}
	c.t.Logf("%d kills, %d of them before the killed had executed a call again; each a sender and a receiver; %d left gracefully meanwhile", c.kills, c.early, c.left)
	c.t.Logf("%d transfers acknowledged: %d applied, %d refused, %d expired; %d applied that were not acknowledged; %d accounts hold %d",
		v.Transfers, v.Applied, v.Refused, v.Expired, v.Unasked, v.Accounts, v.Sum)
	c.t.Logf("as far as the killed could tell: %d calls enqueued, %d executed, %d duplicates suppressed, %d sent to who did not hold the partition, %d partitions moved, %d calls found pending at starts",
		enqueued, executed, duplicates, notHeld, fetched, found)
	c.t.Logf("after a start, ms: the log recovered %s; joined %s; first call executed %s", spread(opened), spread(joined), spread(served))
}

// spread gives the middle and the most of figures.
func spread(list []float64) string {
	if len(list) == 0 {
		return "never"
	}
	slices.Sort(list)
	return fmt.Sprintf("p50 %.0f, at most %.0f", list[len(list)/2], list[len(list)-1])
}

// Nodes that take, make and execute durable transfers are killed at random. Every
// transfer that was acknowledged is applied once, or is a dead letter; none is
// applied twice; those of one client and payer are applied in their order.
func TestCrash(t *testing.T) {
	c := newCrash(t, "")
	c.killAtRandom(int(chaosSetting("CRASH_KILLS", 10)))
	c.finish()
	v := c.check()
	c.figures(&v)
	if !v.OK {
		t.Errorf("%v\n%s", v.Findings, strings.Join(v.Examples, "\n"))
	}
	if v.Applied == 0 || v.Refused == 0 || v.Accounts == 0 {
		t.Errorf("nothing was tested: %+v", v)
	}
}

// The checker finds effects that are doubled, and money that is missing, when
// receivers do not remember what they have executed.
func TestCrashWithoutDedup(t *testing.T) {
	v := crashPlanted(t, "no-dedup")
	if v.OK || v.Findings["doubled"] == 0 {
		t.Errorf("nothing is doubled: %+v", v)
	}
}

// The checker finds calls that are lost when they are acknowledged before they are
// on the disk.
func TestCrashEarlyReceipt(t *testing.T) {
	v := crashPlanted(t, "early-receipt")
	if v.OK || v.Findings["lost"] == 0 {
		t.Errorf("nothing is lost: %+v", v)
	}
}

// crashPlanted kills nodes that have a fault.
func crashPlanted(t *testing.T, plant string) verdict {
	c := newCrash(t, plant)
	c.killAtRandom(5)
	c.finish()
	v := c.check()
	c.figures(&v)
	t.Logf("found: %v, such as\n  %s", v.Findings, strings.Join(v.Examples, "\n  "))
	return v
}
