package scenario

import (
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/meshnode/meshnode/router"
	"github.com/meshnode/meshnode/sim"
)

// sampler looks at all nodes in fixed steps of virtual time.
type sampler struct {
	run    *run
	step   time.Duration
	end    chan struct{}
	done   sync.WaitGroup
	gossip map[int]uint64 // bytes sent by each node until the last sample

	series     Series
	mu         sync.Mutex
	calmFor    time.Time // under mu: since when nothing was wrong, when all agreed last
	converged  []float64 // seconds
	detected   []float64
	first      []float64
	goroutines int
	heap       uint64
}

// sampleSteps are the steps, by the number of nodes.
func sampleStep(nodes int) time.Duration {
	switch {
	case nodes <= 50:
		return 50 * time.Millisecond
	case nodes <= 200:
		return 100 * time.Millisecond
	}
	return 250 * time.Millisecond
}

func newSampler(r *run) *sampler {
	return &sampler{run: r, step: sampleStep(r.cluster.Len()), end: make(chan struct{}), gossip: map[int]uint64{}}
}

func (s *sampler) start() {
	s.done.Go(func() {
		ticker := time.NewTicker(s.step)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				s.sample()
			case <-s.end:
				return
			}
		}
	})
}

func (s *sampler) stop() {
	close(s.end)
	s.done.Wait()
}

// look is what one sample sees.
type look struct {
	live, ready int
	seen        []int
	tables      map[router.Fingerprint]int
	lives       map[uint64]int // by digest of the members: tables know nothing of restarts
	last        *router.Table
	gossip      float64 // bytes a second
	missing     string  // a live node that another does not list
	notReady    string
}

func (s *sampler) sample() {
	now := time.Now()
	l := s.look(now)
	s.detections(now)
	s.agreement(&l, now)
	s.append(&l)
	if n := runtime.NumGoroutine(); n > s.goroutines {
		s.goroutines = n
	}
}

// look looks at every node.
func (s *sampler) look(now time.Time) look {
	l := look{tables: map[router.Fingerprint]int{}, lives: map[uint64]int{}}
	owners := s.run.owners()
	var bytes uint64
	for i := range s.run.cluster.Len() {
		m := s.run.cluster.Member(i)
		n := s.run.cluster.Node(i)
		t := m.Traffic()
		sent := t.PacketBytes + t.GossipBytes
		bytes += sent - s.gossip[i]
		s.gossip[i] = sent
		if n == nil {
			continue
		}
		l.live++
		members := n.Members().Members
		l.seen = append(l.seen, len(members))
		if m.Paused() || s.run.truth.stopped(i, 0, now) {
			continue
		}
		if ready, _ := n.Ready(); !ready {
			l.notReady = m.Name
			continue
		}
		l.ready++
		l.last = n.Table()
		l.tables[l.last.Fingerprint()]++
		l.lives[n.Members().Digest]++
		if l.last.Len() != owners && l.missing == "" {
			l.missing = s.run.missing(m.Name, l.last)
		}
	}
	l.gossip = float64(bytes) / s.step.Seconds() / float64(max(l.live, 1))
	return l
}

// owners is how many nodes run that own partitions.
func (r *run) owners() int {
	count := 0
	for i := range r.cluster.Len() {
		if !r.isClient(i) && r.cluster.Member(i).Alive() {
			count++
		}
	}
	return count
}

// missing names a live node that a table lacks, or a dead one that it has.
func (r *run) missing(who string, table *router.Table) string {
	for i := range r.cluster.Len() {
		m := r.cluster.Member(i)
		switch has := table.Has(m.Name); {
		case r.isClient(i):
		case m.Alive() && !has:
			return who + " lacks " + m.Name
		case !m.Alive() && has:
			return who + " still has " + m.Name
		}
	}
	return ""
}

// agreement checks that all agree a while after the last fault.
func (s *sampler) agreement(l *look, now time.Time) {
	agreed := len(l.tables) == 1 && len(l.lives) == 1 && l.missing == "" && l.notReady == ""
	if agreed && l.last.Len() > 0 {
		s.run.tables.agree(l.last)
	}
	since, calm := s.run.truth.calm()
	if !calm {
		return
	}
	if agreed {
		if s.agreeSince(since) {
			s.converged = append(s.converged, now.Sub(since).Seconds())
		}
		s.run.check.looked(InvAgreement)
		s.run.check.looked(InvAlive)
		return
	}
	if now.Sub(since) <= s.run.bound() {
		return
	}
	switch {
	case l.missing != "" && s.run.isAliveMissing(l.missing):
		s.run.check.broke(InvAlive, "%v after the last fault %s", now.Sub(since).Round(time.Millisecond), l.missing)
	default:
		s.run.check.broke(InvAgreement, "%v after the last fault %s; %d tables of %d sets of lives among %d live nodes (not ready: %q)",
			now.Sub(since).Round(time.Millisecond), l.missing, len(l.tables), len(l.lives), l.live, l.notReady)
	}
}

// detections looks who has dropped the nodes that are down.
func (s *sampler) detections(now time.Time) {
	for _, d := range s.run.truth.undetected() {
		name := s.run.cluster.Member(d.index).Name
		listed, out := 0, 0
		for i := range s.run.cluster.Len() {
			n := s.run.cluster.Node(i)
			if n == nil || s.run.cluster.Member(i).Paused() || s.run.truth.stopped(i, 0, now) {
				continue
			}
			if _, ok := n.Members().Find(name); ok {
				listed++
			} else {
				out++
			}
		}
		took := now.Sub(d.since).Seconds()
		if out > 0 && s.run.truth.dropped(d.index, listed == 0, now) {
			s.first = append(s.first, took)
		}
		if listed == 0 && out > 0 {
			s.detected = append(s.detected, took)
			s.run.checkDetection(name, took)
		}
	}
}

// append adds a sample to the series.
func (s *sampler) append(l *look) {
	t := s.run.work.take()
	slices.Sort(t.millis)
	x := &s.series
	x.T = append(x.T, s.run.now().Seconds())
	x.Live = append(x.Live, l.live)
	least, most, sum := 0, 0, 0
	if len(l.seen) > 0 {
		least, most = slices.Min(l.seen), slices.Max(l.seen)
	}
	for _, n := range l.seen {
		sum += n
	}
	x.SeenMin, x.SeenMax = append(x.SeenMin, least), append(x.SeenMax, most)
	x.SeenMean = append(x.SeenMean, float64(sum)/float64(max(len(l.seen), 1)))
	x.Tables = append(x.Tables, len(l.tables))
	x.Calls, x.Failed = append(x.Calls, t.ended), append(x.Failed, t.failed)
	x.P50Ms, x.P99Ms = append(x.P50Ms, quantile(t.millis, 0.5)), append(x.P99Ms, quantile(t.millis, 0.99))
	x.MaxMs = append(x.MaxMs, quantile(t.millis, 1))
	x.Moved = append(x.Moved, s.run.tables.takeMoved(l.live))
	x.GossipPerSec = append(x.GossipPerSec, l.gossip)
}

// quantile gives the value below which a part q of sorted values lies; 0 for none.
func quantile(sorted []float32, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	i := int(q*float64(len(sorted)) + 0.999999)
	return float64(sorted[min(max(i-1, 0), len(sorted)-1)])
}

// resources notes what the run takes; it is called once, at its end.
func (s *sampler) resources() {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.heap = m.HeapInuse
}

// traffic sums what the nodes have sent.
func (r *run) traffic() (t sim.Traffic) {
	for i := range r.cluster.Len() {
		one := r.cluster.Member(i).Traffic()
		t.Packets += one.Packets
		t.PacketBytes += one.PacketBytes
		t.GossipBytes += one.GossipBytes
		t.MeshBytes += one.MeshBytes
	}
	return t
}
