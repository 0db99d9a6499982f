package scenario

import (
	"sync"
	"time"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/router"
	"github.com/meshnode/meshnode/rpc"
)

// tables follows the tables of all nodes.
//
// Invariant: of each node it knows the table that it routes by, and the one before
// with the time of the change.
type tables struct {
	run *run

	mu     sync.Mutex
	nodes  map[int]*nodeTables
	agreed *router.Table // the latest one that all live nodes had

	falsePositives int
	changes        int
	moved          uint64
	required       uint64
	seen           int // partitions that moved in the nodes' tables since the last sample, in sum
	interval       int // the same between tables that all agreed on
}

type nodeTables struct {
	now, before *router.Table
	at          time.Time
}

func newTables(r *run) *tables { return &tables{run: r, nodes: map[int]*nodeTables{}} }

// published is told each change of a node's table, before the node uses it.
func (t *tables) published(i int, old, next *router.Table) {
	t.mu.Lock()
	t.nodes[i] = &nodeTables{now: next, before: old, at: time.Now()}
	t.mu.Unlock()
	t.run.trace.note("table", t.run.cluster.Member(i).Name, next.Fingerprint().String())
	if next.Len() <= old.Len() {
		t.dropped(i, old, next)
	}
	if t.run.cluster.Len() > mostAccounts || old.Len() == 0 {
		return
	}
	if moves, err := next.Diff(old); err == nil {
		t.mu.Lock()
		t.seen += len(moves)
		t.mu.Unlock()
	}
}

// mostAccounts is up to how many nodes what moves is counted by each node's table;
// with more, by the tables that all agree on.
const mostAccounts = 24

// takeMoved gives how many partitions have moved since the last time: in the table of
// a node, on average, or between the tables that all agreed on.
func (t *tables) takeMoved(live int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	seen, agreed := t.seen, t.interval
	t.seen, t.interval = 0, 0
	if t.run.cluster.Len() > mostAccounts {
		return agreed
	}
	return seen / max(live, 1)
}

// dropped looks at members that a node does not count among the owners any more.
func (t *tables) dropped(i int, old, next *router.Table) {
	now := time.Now()
	for _, m := range old.Members() {
		if next.Has(m.Name) {
			continue
		}
		j, ok := t.run.index(m.Name)
		if !ok || t.run.justified(i, j, now) {
			continue
		}
		t.mu.Lock()
		t.falsePositives++
		t.mu.Unlock()
		t.run.trace.note("false-positive", t.run.cluster.Member(i).Name, m.Name)
	}
}

// owned tells whether a node's table gives it a partition, or gave it until a
// moment ago: a handler may run just after the table changed.
func (t *tables) owned(i int, partition uint32, now *router.Table, name string) bool {
	if now.Owner(partition) == name {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	nt := t.nodes[i]
	return nt != nil && nt.before != nil && time.Since(nt.at) <= tableSlack && nt.before.Owner(partition) == name
}

// tableSlack is how long ago a table may have changed under a call that was
// admitted.
const tableSlack = 10 * time.Millisecond

// checkOwner checks that a node may execute a call.
func (r *run) checkOwner(i int, n *node.Node, info *rpc.Info, key string) {
	if !info.Keyed {
		r.check.broke(InvOwnership, "%s got a call for key %q that says nothing of a key", n.Name(), key)
		return
	}
	table := n.Table()
	if !info.Failover {
		owned := r.tables.owned(i, info.Partition, table, n.Name())
		if owned {
			r.check.looked(InvOwnership)
		} else {
			r.check.broke(InvOwnership, "%s executed a call for key %q of partition %d, which its table gives to %s (called by %s)",
				n.Name(), key, info.Partition, table.Owner(info.Partition), info.Peer)
		}
		return
	}
	r.check.looked(InvOwnership)
	r.checkFailover(i, n, table, info, key)
}

// failoverSlack is how long after its trouble a node may still be passed by: who
// has found it silent does not ask again at once.
const failoverSlack = 3 * time.Second

// checkFailover checks that a stand-in's owners really are in trouble, or were a
// moment ago, or that the stand-in or its caller was.
func (r *run) checkFailover(i int, n *node.Node, table *router.Table, info *rpc.Info, key string) {
	now := time.Now()
	if r.truth.troubled(i, failoverSlack, now) {
		r.check.looked(InvFailover)
		return
	}
	caller, _ := r.index(info.Peer)
	healthy := r.wellBefore(i, caller, n.Name(), table, info.Partition, now)
	if before := r.tables.before(i, now); healthy != "" && before != nil {
		healthy = r.wellBefore(i, caller, n.Name(), before, info.Partition, now)
	}
	r.check.check(InvFailover, healthy == "", "%s served key %q in the place of %s, which is well (called by %s)",
		n.Name(), key, healthy, info.Peer)
}

// wellBefore names an owner that a stand-in should not have passed by; empty if there
// is none. A table of before the stand-in owned more gives none either.
func (r *run) wellBefore(i, caller int, name string, table *router.Table, partition uint32, now time.Time) string {
	for _, owner := range table.Owners(partition, standIns, nil) {
		if owner == name {
			return ""
		}
		if j, ok := r.index(owner); ok && r.well(i, j, now) && r.knows(i, j) && r.knows(caller, j) {
			return owner
		}
	}
	return ""
}

// knows tells whether node i knows the process of node j and where it is: who was
// started again, or moved, is still its former process for those who have not heard.
func (r *run) knows(i, j int) bool {
	n, other := r.cluster.Node(i), r.cluster.Node(j)
	if n == nil || other == nil {
		return false
	}
	seen, ok := n.Members().Find(other.Name())
	own, joined := other.Members().Find(other.Name())
	return ok && joined && seen.Addr == own.Addr && seen.Boot == own.Boot
}

// before gives the table that a node had until a moment ago: a call may have been
// admitted by it, and have waited for a sign of life since.
func (t *tables) before(i int, now time.Time) *router.Table {
	t.mu.Lock()
	defer t.mu.Unlock()
	nt := t.nodes[i]
	if nt == nil || now.Sub(nt.at) > failoverSlack {
		return nil
	}
	return nt.before
}

// well tells whether node i has no reason to pass node j by: j has joined a while ago,
// was not in trouble since, and the two reach each other.
func (r *run) well(i, j int, now time.Time) bool {
	ready, since := r.cluster.Member(j).Ready()
	return ready && now.Sub(since) > failoverSlack && !r.truth.troubled(j, failoverSlack, now) && r.reachable(i, j)
}

// standIns is how many owners of a partition may serve it, the first included.
const standIns = 3

// index gives the index of a node by its name.
func (r *run) index(name string) (int, bool) {
	for i := range r.cluster.Len() {
		if r.cluster.Member(i).Name == name {
			return i, true
		}
	}
	return 0, false
}

// reachable tells whether two nodes reach each other, and run.
func (r *run) reachable(i, j int) bool {
	a, b := r.cluster.Member(i), r.cluster.Member(j)
	return a.Alive() && b.Alive() && !a.Paused() && !b.Paused() && a.Reaches(b) && b.Reaches(a)
}

// justified tells whether node i has a reason not to count j among the owners:
// j or i is or was in trouble, or j has not joined yet.
func (r *run) justified(i, j int, now time.Time) bool {
	within := r.scenario.Profile.DetectionTime(r.cluster.Len())
	ready, since := r.cluster.Member(j).Ready()
	return !ready || now.Sub(since) < within || r.truth.hit(i, within, now) || r.truth.hit(j, within, now) || !r.reachable(i, j)
}

// agree takes the table that all live nodes have at a sample, and checks what has
// moved since the last one.
func (t *tables) agree(now *router.Table) {
	t.mu.Lock()
	old := t.agreed
	t.agreed = now
	t.mu.Unlock()
	if old == nil || old.Fingerprint() == now.Fingerprint() {
		return
	}
	moves, err := now.Diff(old)
	if err != nil {
		t.run.check.broke(InvMoves, "tables cannot be compared: %v", err)
		return
	}
	required := 0
	for _, m := range moves {
		if !now.Has(m.From) || !old.Has(m.To) {
			required++
		}
	}
	t.mu.Lock()
	t.changes++
	t.moved += uint64(len(moves))
	t.required += uint64(required)
	t.interval += len(moves)
	t.mu.Unlock()
	partitions := int(now.Params().Partitions)
	most := required + required*6/10 + partitions*3/100
	t.run.check.check(InvMoves, len(moves) <= most, "%d partitions moved where %d had to (%d owners before, %d after)",
		len(moves), required, old.Len(), now.Len())
}

// rebuild checks that the table that all agree on is the one of its members.
func (t *tables) rebuild() {
	t.mu.Lock()
	table := t.agreed
	t.mu.Unlock()
	if table == nil {
		return
	}
	fresh, err := router.New(table.Members(), table.Params())
	if err != nil {
		t.run.check.broke(InvMoves, "the members give no table: %v", err)
		return
	}
	moves, err := table.Diff(fresh)
	t.run.check.check(InvMoves, err == nil && len(moves) == 0 && fresh.Fingerprint() == table.Fingerprint(),
		"the table differs from one made of its members in %d partitions (%v)", len(moves), err)
}
