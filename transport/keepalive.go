package transport

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// connActivity is what tend looks at, in ticks of the endpoint.
type connActivity struct {
	dialled    bool
	heard      atomic.Int64 // when bytes last came
	active     atomic.Int64 // when a call or a part of one last came or went, as far as tend does not see it
	readBuffer atomic.Int64 // size of the reader's buffer, in bytes
	idled      atomic.Bool  // we said goaway because of idleness
	heardAt    atomic.Int64 // when bytes last came, since the endpoint's start; grows whenever some come
	silent     atomic.Int64 // heardAt, and 1, when the peer was found silent; 0: it never was

	// tend's own:
	probed int64  // when it last sent a ping; 0: heard since
	issued uint64 // number of the last call made here
	parted int64  // when it said goaway because of idleness; 0: never
}

// ticksPerKeepalive is how many looks tend takes at each connection in one
// keepalive interval.
const ticksPerKeepalive = 4

// tend looks after all connections until stopped is closed: one goroutine for
// all, because a timer for each would cost more than the connections.
func (ep *Endpoint) tend(stopped <-chan struct{}) {
	defer ep.active.Done()
	ticker := time.NewTicker(ep.tickLength())
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-stopped:
			return
		}
		now := ep.tick.Add(1)
		for _, c := range ep.open() {
			c.tend(now)
		}
	}
}

// open gives the open connections.
func (ep *Endpoint) open() []*Conn {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	return ep.openLocked()
}

func (ep *Endpoint) openLocked() []*Conn {
	conns := make([]*Conn, 0, len(ep.conns))
	for c := range ep.conns {
		conns = append(conns, c)
	}
	return conns
}

// tend probes a silent connection, ends one that does not answer or has been
// idle for long, gives back buffers that are not needed, and drops calls whose
// bodies do not come.
func (c *Conn) tend(now int64) {
	cfg := &c.ep.cfg
	if !c.probe(now) {
		return
	}
	if now-c.life.heard.Load() >= 2 {
		c.out.rest()
		c.pend.rest()
		c.serving.rest()
		if c.life.readBuffer.Load() > minReadBuffer {
			_ = c.nc.SetReadDeadline(time.Now()) // the reader lets its buffer go
		}
	}
	for _, s := range c.serving.streams(c.pend.streams(nil)) {
		s.in.rest()
	}
	tick := c.ep.tickLength()
	for _, id := range c.serving.stalled(now - int64((cfg.StallTimeout+tick-1)/tick)) {
		c.dropStalled(id)
	}
	c.endIdle(now)
}

// tickLength is the time between two looks.
func (ep *Endpoint) tickLength() time.Duration { return ep.cfg.Keepalive / ticksPerKeepalive }

// probe sends a ping to a silent peer, and ends the connection if the last one
// was not answered. It tells whether the connection goes on.
func (c *Conn) probe(now int64) bool {
	heard := c.life.heard.Load()
	switch {
	case c.life.probed > 0 && heard >= c.life.probed:
		c.life.probed = 0
	case c.life.probed > 0 && time.Duration(now-c.life.probed)*c.ep.tickLength() >= c.ep.cfg.KeepaliveTimeout:
		c.ep.stats.add(KeepaliveTimeouts, 1)
		c.fail(ErrKeepalive)
		return false
	case c.life.probed == 0 && now-heard >= ticksPerKeepalive:
		c.life.probed = now
		c.control(func(buf []byte) []byte { return wire.AppendPing(buf, 0) })
	}
	return true
}

// endIdle says goaway on a connection that nobody has used for long, whose peer
// then closes it, like any that was said goaway: a call that crosses it is
// provably unsent, and one that came just before is served. A peer that does
// not close is not waited for.
func (c *Conn) endIdle(now int64) {
	cfg := &c.ep.cfg
	last, unused := c.pend.issued(), c.unused()
	if last != c.life.issued || !unused {
		c.life.issued = last
		c.life.active.Store(now)
	}
	since := func(tick int64) time.Duration { return time.Duration(now-tick) * c.ep.tickLength() }
	switch {
	case !unused:
	case c.life.parted > 0:
		if since(c.life.parted) >= cfg.KeepaliveTimeout {
			c.fail(ErrIdle)
		}
	case cfg.IdleTimeout > 0 && since(c.life.active.Load()) >= cfg.IdleTimeout && !c.goaway.Load():
		c.ep.stats.add(ConnsIdled, 1)
		c.life.parted = now
		c.life.idled.Store(true)
		c.sendGoAway(ErrIdle)
	}
}

// unused tells that no call is under way in either direction.
func (c *Conn) unused() bool { return c.pend.count() == 0 && c.serving.empty() }

// dropStalled answers a call whose body does not come.
func (c *Conn) dropStalled(id uint64) {
	in := c.serving.drop(id)
	if in == nil {
		return
	}
	c.abandon(in)
	c.ep.stats.add(StreamsStalled, 1)
	c.control(func(buf []byte) []byte {
		return wire.AppendReply(buf, id, CodeDeadlineExceeded, refusal("the rest of the request did not come"))
	})
}

// pings are the pings that wait for their pong, and the account of the peer's.
type pings struct {
	mu    sync.Mutex
	last  uint64
	waits map[uint64]chan struct{}

	// Of the reader: a bucket that fills with time.
	tokens  int
	counted time.Time
}

const (
	// pingBurst is how many pings a peer may send at once, pingEvery how long
	// it takes until it may send another.
	pingBurst = 200
	pingEvery = 20 * time.Millisecond
)

// pinged answers a ping, unless the peer has sent so many that it must mean
// harm.
func (c *Conn) pinged(n uint64) error {
	p := &c.pings
	if refill := int(c.reader.now.Sub(p.counted) / pingEvery); refill > 0 {
		p.tokens = min(p.tokens+refill, pingBurst)
		p.counted = c.reader.now
	}
	if p.tokens == 0 {
		c.ep.stats.add(PingFloods, 1)
		return ErrPingFlood
	}
	p.tokens--
	c.control(func(buf []byte) []byte { return wire.AppendPong(buf, n) })
	return nil
}

// Ping measures the round trip to the peer's reader. A peer takes some hundred
// at once and fifty a second.
func (c *Conn) Ping(ctx context.Context) (time.Duration, error) {
	n, pong := c.pings.add()
	defer c.pings.remove(n)
	start := time.Now()
	c.control(func(buf []byte) []byte { return wire.AppendPing(buf, n) })
	select {
	case <-pong:
		return time.Since(start), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-c.closed:
		return 0, unsent(ErrClosed)
	}
}

func (p *pings) add() (n uint64, pong <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waits == nil {
		p.waits = make(map[uint64]chan struct{})
	}
	p.last++
	ch := make(chan struct{}, 1)
	p.waits[p.last] = ch
	return p.last, ch
}

func (p *pings) remove(n uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waits, n)
}

// pong wakes the ping of number n, if it still waits. 0 is tend's own.
func (p *pings) pong(n uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ch := p.waits[n]; ch != nil {
		delete(p.waits, n)
		ch <- struct{}{}
	}
}
