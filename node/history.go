package node

import (
	"time"

	"github.com/meshnode/meshnode/router"
)

// maxHistory is how many changes of the table a node remembers.
const maxHistory = 16

// TableChange is one change of a node's table.
type TableChange struct {
	At       time.Time `json:"at"`
	Old      string    `json:"old"` // fingerprints, 16 hex digits
	New      string    `json:"new"`
	Owners   int       `json:"owners"`            // members of the new table
	Joined   []string  `json:"joined,omitempty"`  // members that are new in it
	Left     []string  `json:"left,omitempty"`    // members that are not in it any more
	Crashed  []string  `json:"crashed,omitempty"` // those of Left that ended without a word
	Changed  []string  `json:"changed,omitempty"` // members with another weight or zone
	Moved    int       `json:"moved"`             // partitions that changed their owner
	Required int       `json:"required"`          // those that had to: from who left, or to who joined
	Gained   int       `json:"gained"`            // by the node
	Lost     int       `json:"lost"`              // by the node
}

// noteLocked counts, logs and remembers a change of the table. The caller holds
// viewMu.
func (n *Node) noteLocked(next *view, old, table *router.Table) {
	if !n.cfg.Sim.Accounts() {
		n.stats.add(TableChanges)
		return
	}
	c := TableChange{
		At: time.Now(), Old: old.Fingerprint().String(), New: table.Fingerprint().String(), Owners: table.Len(),
	}
	c.Joined, c.Left, c.Changed = compare(old, table)
	for _, name := range c.Left {
		if n.departed.fate(next, name) == FateCrashed {
			c.Crashed = append(c.Crashed, name)
		}
	}
	moves, err := n.cfg.Sim.Diff(old, table)
	if err != nil {
		n.log.Error().Err(err).Msg("tables cannot be compared")
		return
	}
	c.Moved = len(moves)
	for _, m := range moves {
		switch n.cfg.Name {
		case m.To:
			c.Gained++
		case m.From:
			c.Lost++
		}
		if !table.Has(m.From) || !old.Has(m.To) {
			c.Required++
		}
	}
	n.stats.add(TableChanges)
	n.stats.counts[MovedPartitions].Add(uint64(c.Moved))
	n.stats.counts[GainedPartitions].Add(uint64(c.Gained))
	n.stats.counts[LostPartitions].Add(uint64(c.Lost))
	n.log.Info().Int("owners", c.Owners).Str("fingerprint", c.New).Strs("joined", c.Joined).Strs("left", c.Left).
		Strs("crashed", c.Crashed).Int("moved", c.Moved).Int("gained", c.Gained).Int("lost", c.Lost).Msg("ownership changed")
	n.history = append(n.history[max(len(n.history)-maxHistory+1, 0):], c)
}

// compare finds the members that differ.
func compare(old, table *router.Table) (joined, left, changed []string) {
	for _, m := range table.Members() {
		was, ok := old.Member(m.Name)
		switch {
		case !ok:
			joined = append(joined, m.Name)
		case was != m:
			changed = append(changed, m.Name)
		}
	}
	for _, m := range old.Members() {
		if !table.Has(m.Name) {
			left = append(left, m.Name)
		}
	}
	return joined, left, changed
}

// History gives the latest changes of the node's table, the last one last. The
// slice is the caller's.
func (n *Node) History() []TableChange {
	n.viewMu.Lock()
	defer n.viewMu.Unlock()
	return append([]TableChange(nil), n.history...)
}
