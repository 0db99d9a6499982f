package transport

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	minRedial = 20 * time.Millisecond
	maxRedial = 3 * time.Second
)

// Peer keeps one connection to one other process: dialled when first needed,
// dialled again after it ended, one dial at a time, with jittered backoff
// between dials that fail.
//
// Invariant: no lock is held while dialling; whoever needs the connection
// meanwhile waits for the same dial.
type Peer struct {
	ep   *Endpoint
	name string
	addr string

	conn atomic.Pointer[Conn] // the latest connection; may have ended

	mu       sync.Mutex
	dialling chan struct{} // closed when the dial under way ends; nil: none is
	failures int           // dials failed in a row
	lastErr  error         // of the last dial
	retryAt  time.Time     // no dial before
	closed   bool
	rand     *rand.Rand
	ctx      context.Context // of dials; ended by Close
	cancel   context.CancelFunc
}

// Peer gives a handle for the process called name (empty: whoever answers) at
// addr ("ip:port"). Close it when it is no longer needed.
func (ep *Endpoint) Peer(name, addr string) *Peer {
	p := &Peer{ep: ep, name: name, addr: addr}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	ep.mu.Lock()
	defer ep.mu.Unlock()
	ep.dialN++
	p.rand = rand.New(rand.NewPCG(ep.cfg.RandSeed, ep.dialN))
	if ep.peers == nil {
		p.closed = true
	} else {
		ep.peers[p] = struct{}{}
	}
	return p
}

// Addr is the peer's address, "ip:port".
func (p *Peer) Addr() string { return p.addr }

// Name is the name that the peer must bear; may be empty.
func (p *Peer) Name() string { return p.name }

// Current gives the connection if there is one that takes new calls, else nil.
// It never dials or waits.
func (p *Peer) Current() *Conn {
	if c := p.conn.Load(); c != nil && c.usable() {
		return c
	}
	return nil
}

// Conn gives a connection that takes new calls, and dials if there is none. One
// that ends right after its dial is given all the same: its calls are unsent.
// All its errors are unsent (IsUnsent): ErrBackoff with the last dial's error
// while the next dial has to wait, ErrClosed after Close, else the dial's own.
func (p *Peer) Conn(ctx context.Context) (*Conn, error) {
	if c := p.Current(); c != nil {
		return c, nil
	}
	wait, err := p.begin()
	if err != nil {
		return nil, unsent(err)
	}
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, unsent(ctx.Err())
		}
		p.mu.Lock()
		err = p.lastErr
		p.mu.Unlock()
		if err != nil {
			return nil, unsent(err)
		}
	}
	return p.conn.Load(), nil
}

// Ask gives a connection that takes new calls, like Conn, but it always dials if
// there is none: what came of earlier dials counts for nothing, and one that is
// under way, for how long nobody knows, is not relied on. Who wants to know whether
// the process answers now must not be told how it was. It is for those who ask
// seldom.
func (p *Peer) Ask(ctx context.Context) (*Conn, error) {
	if c := p.Current(); c != nil {
		return c, nil
	}
	p.mu.Lock()
	p.retryAt = time.Time{}
	underWay := p.dialling != nil
	p.mu.Unlock()
	if !underWay { // a dial of its own goes on when ctx has ended, for who asks next
		return p.Conn(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	c, err := p.ep.Dial(ctx, p.addr, p.name)
	switch late := p.Current(); {
	case err == nil:
	case p.ctx.Err() != nil:
		return nil, unsent(ErrClosed)
	case late != nil: // by the other dial
		return late, nil
	default:
		return nil, unsent(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if c = p.takeLocked(c); c == nil {
		return nil, unsent(ErrClosed)
	}
	return c, nil
}

// takeLocked makes c, just dialled, the connection. It gives the one that is used:
// another may have come up meanwhile; nil: the peer is closed.
func (p *Peer) takeLocked(c *Conn) *Conn {
	old := p.Current()
	switch {
	case p.closed:
		go c.Close()
		return nil
	case old != nil:
		go c.Close()
		return old
	}
	p.failures, p.lastErr, p.retryAt = 0, nil, time.Time{}
	if last := p.conn.Swap(c); last != nil {
		last.replace()
	}
	return c
}

// begin starts a dial or joins the one under way; nil means that a usable
// connection came up meanwhile.
func (p *Peer) begin() (wait <-chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	if p.Current() != nil {
		return nil, nil
	}
	if p.dialling != nil {
		return p.dialling, nil
	}
	if wait := time.Until(p.retryAt); wait > 0 {
		return nil, fmt.Errorf("%w to %s: %w", ErrBackoff, p.addr, p.lastErr)
	}
	p.dialling = make(chan struct{})
	go p.dial(p.dialling)
	return p.dialling, nil
}

// dial runs one dial. Its life is bounded by the endpoint's DialTimeout, not
// by the caller that happened to need it first.
func (p *Peer) dial(done chan struct{}) {
	c, err := p.ep.Dial(p.ctx, p.addr, p.name)
	p.mu.Lock()
	defer p.mu.Unlock()
	defer close(done)
	p.dialling, p.lastErr = nil, err
	switch {
	case err == nil:
		if p.takeLocked(c) == nil {
			p.lastErr = ErrClosed
		}
	case p.closed:
		p.lastErr = ErrClosed
	case p.Current() != nil: // Ask was luckier
		p.lastErr = nil
	default:
		backoff := min(minRedial<<min(p.failures, 10), maxRedial)
		p.retryAt = time.Now().Add(backoff/2 + time.Duration(p.rand.Int64N(int64(backoff/2)+1)))
		p.failures++
	}
}

// Close ends the connection and any dial. Calls under way fail.
func (p *Peer) Close() { p.end(func(c *Conn) { c.Close() }) }

// Retire lets the calls under way finish, then ends the connection; new ones
// are refused. When ctx ends first, the rest is cut.
func (p *Peer) Retire(ctx context.Context) { p.end(func(c *Conn) { c.drain(ctx) }) }

func (p *Peer) end(how func(*Conn)) {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	p.ep.mu.Lock()
	delete(p.ep.peers, p)
	p.ep.mu.Unlock()
	if c := p.conn.Load(); c != nil {
		how(c)
	}
}
