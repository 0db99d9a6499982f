package node

import (
	"slices"
	"sync"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/router"
)

// Bounds of what is remembered of members that have ended.
const (
	maxDepartures      = 64
	maxDepartureTables = 8 // of the latest
)

// departure is the end of a member's process.
type departure struct {
	process
	fate  Fate          // FateLeft or FateCrashed
	at    time.Time     // when this node learned of it
	table *router.Table // of this node at that time; nil: not kept
}

// departures remember how members ended, the latest last.
type departures struct {
	mu   sync.Mutex
	list []departure
}

// note remembers the members of old that are gone, or were replaced by another
// process of their name. Tables are kept if keep says so.
func (d *departures) note(old *view, next *membership.Snapshot, keep bool) {
	eachChange(old.members.Members, next.Members, func(was, now *membership.Member) {
		if was == nil || now != nil && now.Boot == was.Boot {
			return
		}
		gone := departure{process: process{was.Name, was.Boot}, fate: FateCrashed, at: time.Now()}
		if was.State == membership.StateDraining {
			gone.fate = FateLeft
		}
		if keep {
			gone.table = old.table
		}
		d.add(gone)
	})
}

func (d *departures) add(gone departure) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = append(slices.Clone(d.list[max(len(d.list)-maxDepartures+1, 0):]), gone)
	if i := len(d.list) - 1 - maxDepartureTables; i >= 0 {
		d.list[i].table = nil
	}
}

// fate returns what became of the member called name: FateMoved if it lives.
func (d *departures) fate(v *view, name string) Fate {
	if m, live := v.members.Find(name); live {
		if m.State == membership.StateDraining {
			return FateLeft
		}
		return FateMoved
	}
	fate, _ := d.fateOf(name)
	return fate
}

// fateOf returns how the latest process of a name ended that did, and whether this
// node remembers.
func (d *departures) fateOf(name string) (fate Fate, known bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, gone := range slices.Backward(d.list) {
		if gone.name == name {
			return gone.fate, true
		}
	}
	return FateCrashed, false
}

// end returns how a process ended, and whether this node remembers; of one that
// lives, FateMoved.
func (d *departures) end(v *view, p process) (fate Fate, known bool) {
	if v.lives(p) {
		return FateMoved, true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, gone := range slices.Backward(d.list) {
		if gone.process == p {
			return gone.fate, true
		}
	}
	return FateCrashed, false
}

// owner returns who owned a partition last of those that have ended, and when that
// was, in Unix milliseconds.
func (d *departures) owner(v *view, p uint32) (a claimAnswer, term uint64, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, gone := range slices.Backward(d.list) {
		if gone.table != nil && gone.table.Owner(p) == gone.name && !v.lives(gone.process) {
			return claimAnswer{state: ClaimEnded, node: gone.process, fate: gone.fate}, uint64(gone.at.UnixMilli()), true
		}
	}
	return claimAnswer{}, 0, false
}
