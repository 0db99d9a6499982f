package node

import (
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/meshnode/meshnode/internal/metrics"
	"github.com/meshnode/meshnode/rpc"
)

const (
	// maxMethods is how many methods have counters of their own. Names come
	// from gateways and clients, too: those beyond share one set.
	maxMethods = 1000
	// otherMethods is what that set is called.
	otherMethods = "(other)"
	// codeCount is how many codes are told apart: those that are known, by their
	// numbers, and all others.
	codeCount = int(rpc.NotOwner) + 2
	destKinds = int(rpc.ToOwners) + 1
)

// byCode counts calls by how they ended.
type byCode [codeCount]metrics.Counter

func (c *byCode) add(code rpc.Code) { c[min(uint64(code), uint64(codeCount-1))].Add(1) }

// each gives what was counted, by the names of the codes.
func (c *byCode) each(yield func(code string, n uint64)) {
	for i := range c {
		if n := c[i].Load(); n > 0 {
			name := "other"
			if i < codeCount-1 {
				name = rpc.Code(i).String()
			}
			yield(name, n)
		}
	}
}

// methodStats is what a node counts of one method, as a caller and as a server.
type methodStats struct {
	name   string
	failed [destKinds]byCode          // calls made that failed
	others [destKinds]metrics.Counter // calls made to other destinations than keys
	took   metrics.Histogram          // calls made, from beginning to end
	p95    *metrics.Recent            // of took

	served  byCode
	running metrics.Histogram // handlers that are not inline
}

func newMethodStats(name string) *methodStats {
	m := &methodStats{name: name}
	m.p95 = metrics.NewRecent(&m.took, 0.95)
	return m
}

// methods are the counters of all methods. Reading is lock-free: the map is
// replaced, never changed.
//
// Invariant: it has at most maxMethods entries and otherMethods.
type methods struct {
	latest [64]atomic.Pointer[knownMethod] // by address of the Spec: looking names up takes longer

	mu  sync.Mutex
	all atomic.Pointer[map[string]*methodStats]
}

// knownMethod is the counters that calls of one Spec were last counted by.
type knownMethod struct {
	spec  *rpc.Spec
	stats *methodStats
}

func (m *methods) init() {
	m.all.Store(&map[string]*methodStats{otherMethods: newMethodStats(otherMethods)})
}

// ofSpec is of for the name of a spec.
func (m *methods) ofSpec(s *rpc.Spec) *methodStats {
	slot := &m.latest[uintptr(unsafe.Pointer(s))>>5%uintptr(len(m.latest))]
	if known := slot.Load(); known != nil && known.spec == s {
		return known.stats
	}
	stats := m.of(s.Name())
	slot.Store(&knownMethod{s, stats})
	return stats
}

// of gives the counters of a method.
func (m *methods) of(name string) *methodStats {
	if s := (*m.all.Load())[name]; s != nil {
		return s
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	all := *m.all.Load()
	if s := all[name]; s != nil {
		return s
	}
	if len(all) > maxMethods {
		return all[otherMethods]
	}
	next := maps.Clone(all)
	next[name] = newMethodStats(name)
	m.all.Store(&next)
	return next[name]
}

// sorted gives the counters by name.
func (m *methods) sorted() []*methodStats {
	all := *m.all.Load()
	sorted := make([]*methodStats, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		sorted = append(sorted, all[name])
	}
	return sorted
}

// made counts a call that this node made. Counting costs time, since processors
// take the memory from each other: what can be derived is not counted.
func (m *methodStats) made(kind rpc.DestKind, err error, took time.Duration) {
	m.took.Observe(took)
	if kind != rpc.ToKey {
		m.others[kind].Add(1)
	}
	if err != nil {
		m.failed[kind].add(rpc.CodeOf(err))
	}
}

// eachMade gives how many calls were made, by destination and code.
func (m *methodStats) eachMade(yield func(kind rpc.DestKind, code string, n uint64)) {
	var s metrics.Snapshot
	m.took.Snapshot(&s)
	keyed := s.Count()
	for kind := range m.others {
		keyed -= min(m.others[kind].Load(), keyed)
	}
	for kind := range m.failed {
		good := m.others[kind].Load()
		if rpc.DestKind(kind) == rpc.ToKey {
			good = keyed
		}
		m.failed[kind].each(func(code string, n uint64) {
			good -= min(n, good) // they are counted one after the other
			yield(rpc.DestKind(kind), code, n)
		})
		if good > 0 {
			yield(rpc.DestKind(kind), rpc.OK.String(), good)
		}
	}
}

// WriteMetrics writes everything that the node counts and times in the text
// format of Prometheus, version 0.0.4: what an HTTP handler for /metrics needs.
func (n *Node) WriteMetrics(out io.Writer) error {
	w := metrics.NewWriter(out)
	all := n.methods.sorted()
	w.Family("meshnode_calls_total", "Calls that this node made, by method, code and kind of destination; each once, however many attempts it took. A rise of codes other than OK means failures.", metrics.KindCounter)
	for _, m := range all {
		m.eachMade(func(kind rpc.DestKind, code string, count uint64) {
			w.Counter(count, "method", m.name, "code", code, "destination", kind.String())
		})
	}
	w.Family("meshnode_call_seconds", "Seconds that calls took which this node made, from beginning to end with all attempts, by method. A rise means slow peers, retries or a slow network.", metrics.KindHistogram)
	writeHistograms(w, all, func(m *methodStats) *metrics.Histogram { return &m.took })
	w.Family("meshnode_served_total", "Calls that handlers of this node served, by method and code. A rise of codes other than OK means handlers that fail.", metrics.KindCounter)
	for _, m := range all {
		m.served.each(func(code string, count uint64) { w.Counter(count, "method", m.name, "code", code) })
	}
	w.Family("meshnode_handler_seconds", "Seconds that handlers of this node ran, by method, but for inline ones. A rise means slow handlers.", metrics.KindHistogram)
	writeHistograms(w, all, func(m *methodStats) *metrics.Histogram { return &m.running })
	n.writePeers(w)
	n.writeGauges(w)
	n.writeAdmission(w)
	counters, help := n.Stats(), CounterHelp()
	for _, name := range slices.Sorted(maps.Keys(counters)) {
		w.Family("meshnode_"+name+"_total", help[name], metrics.KindCounter)
		w.Counter(counters[name])
	}
	return w.Flush()
}

func writeHistograms(w *metrics.Writer, all []*methodStats, of func(*methodStats) *metrics.Histogram) {
	for _, m := range all {
		var s metrics.Snapshot
		if of(m).Snapshot(&s); s.Count() > 0 {
			w.Histogram(&s, "method", m.name)
		}
	}
}

// writePeers writes the attempts by peer.
func (n *Node) writePeers(w *metrics.Writer) {
	v := n.view.Load()
	w.Family("meshnode_attempts_total", "Attempts at calls of this node, by peer and code. A rise of Unavailable means a peer that is down or out of reach.", metrics.KindCounter)
	for _, name := range slices.Sorted(maps.Keys(v.peers)) {
		v.peers[name].link.attempts.each(func(code string, count uint64) { w.Counter(count, "peer", name, "code", code) })
	}
}

// writeGauges writes what goes up and down.
func (n *Node) writeGauges(w *metrics.Writer) {
	v := n.view.Load()
	ready, _ := n.readyBy(v)
	for _, g := range []struct {
		name, help string
		value      float64
	}{
		{"meshnode_members", "Members that this node takes for alive, itself included. A fall means members that left, crashed or are cut off.", float64(len(v.members.Members))},
		{"meshnode_owners", "Members that own partitions by the table of this node. A value that differs between nodes for long means that they do not agree.", float64(v.table.Len())},
		{"meshnode_owned_partitions", "Partitions that this node owns by its table. A change goes with members that join or leave.", float64(len(v.table.Owned(n.cfg.Name)))},
		{"meshnode_ready", "1 if the node routes and serves calls with a key, 0 if it is still joining, leaving or cannot serve.", oneIf(ready)},
		{"meshnode_retry_budget", "Retries and hedges that the budget allows now. A fall to 0 means that many calls fail.", n.budget.Left(n.since())},
		{"meshnode_serving", "Calls of peers and clients that this node is serving now. A steady rise means handlers that hang or overload.", float64(n.endpoint.Serving())},
	} {
		w.Family(g.name, g.help, metrics.KindGauge)
		w.Gauge(g.value)
	}
	if n.cfg.TLS != nil {
		left := time.Until(n.cfg.TLS.Own().Certificate.Leaf.NotAfter)
		w.Family("meshnode_certificate_left_seconds", "Until this node's certificate expires; negative: it has.", metrics.KindGauge)
		w.Gauge(left.Seconds())
	}
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
