package health

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Config says when a node is ejected. Zero fields stand for the defaults.
type Config struct {
	Failures int           // in a row; default 5
	Interval time.Duration // between comparisons; default 5 s
	Volume   uint64        // calls in an interval that allow a comparison; default 50
	Sigmas   float64       // of the success rates, below their mean; default 1.9
	Slower   float64       // times the median of the latencies; default 5
	Base     time.Duration // the first ejection; default 5 s
	Most     time.Duration // the longest; default 5 min
	Share    float64       // of all nodes that may be out; default a third
}

func (c *Config) setDefaults() {
	or(&c.Failures, 5)
	or(&c.Interval, 5*time.Second)
	or(&c.Volume, 50)
	or(&c.Sigmas, 1.9)
	or(&c.Slower, 5)
	or(&c.Base, 5*time.Second)
	or(&c.Most, 5*time.Minute)
	or(&c.Share, 1.0/3)
}

func or[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

const (
	// enoughPeers is how many nodes it takes to say what is usual.
	enoughPeers = 3
	// poorRate is the success rate at and above which nobody is ejected for it,
	// however good the others are.
	poorRate = 0.95
	// noise is how many standard errors of its own a success rate must be below
	// the mean.
	noise = 3.5
	// slowLatency is the same for latencies.
	slowLatency = 10 * time.Millisecond
)

// Detector compares nodes. Make it with New.
//
// Invariant: at any time at most Share of the peers are ejected.
type Detector struct {
	cfg       Config
	next      atomic.Int64 // when to compare
	ejections atomic.Uint64

	mu    sync.Mutex
	peers []*Peer
}

// Peer is what a Detector knows of one node.
type Peer struct {
	failures     atomic.Int64 // in a row
	good, bad    atomic.Uint64
	took         atomic.Int64 // by the good ones, in nanoseconds
	ejectedUntil atomic.Int64

	// Under the detector's mu.
	times   int // ejected of late
	seen    [2]uint64
	seenFor int64
}

// New gives a detector without peers.
func New(cfg Config) *Detector {
	cfg.setDefaults()
	return &Detector{cfg: cfg}
}

// Peer adds a node.
func (d *Detector) Peer() *Peer {
	p := new(Peer)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.peers = append(d.peers, p)
	return p
}

// Remove forgets a node.
func (d *Detector) Remove(p *Peer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.peers = slices.DeleteFunc(d.peers, func(o *Peer) bool { return o == p })
}

// Ejections is how often a node was ejected so far.
func (d *Detector) Ejections() uint64 { return d.ejections.Load() }

// Ejected tells whether a node is to be left out now.
func (p *Peer) Ejected(now time.Duration) bool { return p.ejectedUntil.Load() > int64(now) }

// Failing tells whether the last call to the node failed: a good one should then
// be recorded.
func (p *Peer) Failing() bool { return p.failures.Load() != 0 }

// Record notes how a call to a node went. latency counts only if it went well.
func (d *Detector) Record(p *Peer, now time.Duration, ok bool, latency time.Duration) {
	d.RecordSample(p, now, ok, latency, 1)
}

// RecordSample is Record for a good call that stands for so many: who makes very
// many calls records some of them. Failures always stand for themselves.
func (d *Detector) RecordSample(p *Peer, now time.Duration, ok bool, latency time.Duration, standsFor uint64) {
	if ok {
		p.good.Add(standsFor)
		p.took.Add(int64(latency) * int64(standsFor))
		if p.failures.Load() != 0 {
			p.failures.Store(0)
		}
	} else {
		p.bad.Add(1)
		if p.failures.Add(1) >= int64(d.cfg.Failures) && !p.Ejected(now) {
			d.mu.Lock()
			d.ejectLocked(p, now)
			d.mu.Unlock()
		}
	}
	if int64(now) >= d.next.Load() && d.mu.TryLock() {
		d.compareLocked(now)
		d.mu.Unlock()
	}
}

// ejectLocked ejects a node, unless too many are out already.
func (d *Detector) ejectLocked(p *Peer, now time.Duration) {
	out := 0
	for _, o := range d.peers {
		if o.Ejected(now) {
			out++
		}
	}
	if p.Ejected(now) || out+1 > int(d.cfg.Share*float64(len(d.peers))+1e-9) {
		return
	}
	p.times++
	wait := min(d.cfg.Base*time.Duration(p.times), d.cfg.Most)
	p.ejectedUntil.Store(int64(now + wait))
	p.failures.Store(int64(d.cfg.Failures) - 1) // on probation, once it is back
	d.ejections.Add(1)
}

// sample is one node's interval.
type sample struct {
	p       *Peer
	calls   float64
	rate    float64
	latency float64 // mean, in nanoseconds
}

// compareLocked ejects who is far worse than the others in the interval that
// ends now, and lets those who behave be forgiven.
func (d *Detector) compareLocked(now time.Duration) {
	if int64(now) < d.next.Load() {
		return
	}
	d.next.Store(int64(now + d.cfg.Interval))
	samples := d.samplesLocked(now)
	if len(samples) < enoughPeers {
		return
	}
	var sum, squares float64
	latencies := make([]float64, 0, len(samples))
	for _, s := range samples {
		sum += s.rate
		squares += s.rate * s.rate
		latencies = append(latencies, s.latency)
	}
	mean := sum / float64(len(samples))
	deviation := math.Sqrt(max(squares/float64(len(samples))-mean*mean, 0))
	// With few nodes one outlier moves the mean and the deviation so far that it
	// cannot be below; then two thirds of the mean are far enough.
	poor := min(max(mean-d.cfg.Sigmas*deviation, mean*2/3), poorRate)
	slices.Sort(latencies)
	slow := max(d.cfg.Slower*latencies[(len(latencies)-1)/2], float64(slowLatency))
	slices.SortFunc(samples, func(a, b sample) int { // the worst first, lest the better take their room
		switch {
		case a.rate != b.rate:
			return int(math.Copysign(1, a.rate-b.rate))
		default:
			return int(math.Copysign(1, b.latency-a.latency))
		}
	})
	for _, s := range samples {
		// What chance alone makes of so many calls is no fault.
		chance := noise * math.Sqrt(mean*(1-mean)/s.calls)
		if s.rate < min(poor, mean-chance) || s.latency > slow {
			d.ejectLocked(s.p, now)
		}
	}
}

// samplesLocked gives the nodes that had enough calls since it was last called,
// and are not out.
func (d *Detector) samplesLocked(now time.Duration) []sample {
	var samples []sample
	for _, p := range d.peers {
		good, bad, took := p.good.Load(), p.bad.Load(), p.took.Load()
		g, b, t := good-p.seen[0], bad-p.seen[1], took-p.seenFor
		p.seen, p.seenFor = [2]uint64{good, bad}, took
		if p.Ejected(now) {
			continue
		}
		if b == 0 && g > 0 && p.times > 0 {
			p.times--
		}
		if g+b >= d.cfg.Volume {
			samples = append(samples, sample{p, float64(g + b), float64(g) / float64(g+b), float64(t) / float64(max(g, 1))})
		}
	}
	return samples
}
