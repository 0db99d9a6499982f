package node

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshnode/meshnode/router/health"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// link is what this node has experienced with one other process. It outlives
// views: as long as the process is a member, it keeps its link.
type link struct {
	// avoid is until when calls with a key go past the process, since the node's
	// start; gone is until when that is because another owner has confirmed that
	// it is gone, and not only that this node cannot reach it.
	avoid, gone atomic.Int64

	attempts byCode       // how attempts at calls ended
	health   *health.Peer // what calls to it say of it

	mu      sync.Mutex
	asking  chan struct{} // closed when the question under way is answered; nil: there is none
	alive   bool          // the last answer
	askedAt time.Duration // when it came, since the node's start; 0: never
}

const (
	// aliveFor is how long a sign of life counts: long enough that a burst of
	// calls asks once.
	aliveFor = 20 * time.Millisecond
	// goneFor is how long a silence counts. A process that comes back is passed
	// over for as long.
	goneFor = 250 * time.Millisecond
	// avoidGone is how long calls go past an owner that another one confirmed
	// gone; each call that is served so begins it anew.
	avoidGone = time.Second
	// avoidCutOff is the same for an owner that lives and that this node alone
	// cannot reach.
	avoidCutOff = 250 * time.Millisecond
)

// since is the time since the node's start, never 0.
func (n *Node) since() time.Duration { return time.Since(n.started) + 1 }

// confirmGone has calls go past a process that another owner found gone as well.
func (l *link) confirmGone(now time.Duration) {
	l.avoid.Store(int64(now + avoidGone))
	l.gone.Store(int64(now + avoidGone))
}

// cutOff has calls go past a process that lives and that this node alone cannot
// reach.
func (l *link) cutOff(now time.Duration) { l.avoid.Store(int64(now + avoidCutOff)) }

// isBack ends both.
func (l *link) isBack() {
	l.avoid.Store(0)
	l.gone.Store(0)
}

// confirmed tells whether another owner has found the process gone just now.
func (l *link) confirmed(now time.Duration) bool { return l.gone.Load() > int64(now) }

// passed tells whether calls go past the process now.
func (l *link) passed(now time.Duration) bool { return l.avoid.Load() > int64(now) }

// fresh tells whether the last answer still counts. The caller holds mu.
func (l *link) freshLocked(now time.Duration) bool {
	if l.askedAt == 0 {
		return false
	}
	if l.alive {
		return now-l.askedAt < aliveFor
	}
	return now-l.askedAt < goneFor
}

// signOfLife tells whether the process of p answers this node, within
// Limits.Contact. Many who want to know at once ask once. The error tells that
// ctx, or the node, ended before it was known.
func (n *Node) signOfLife(ctx context.Context, p *peer) (alive bool, err error) {
	l := p.link
	for {
		l.mu.Lock()
		if l.freshLocked(n.since()) {
			defer l.mu.Unlock()
			return l.alive, nil
		}
		if l.asking == nil && !n.askLocked(p) {
			l.mu.Unlock()
			return false, context.Canceled
		}
		wait := l.asking
		l.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// askLocked has the process of p asked for a sign of life, by a goroutine of its
// own: who wants to know may have less time left than that takes, and others
// wait for the same answer. It is false once the node stops. The caller holds
// the link's mu.
func (n *Node) askLocked(p *peer) bool {
	g := n.enter()
	if g == nil {
		return false
	}
	asking := make(chan struct{})
	p.link.asking = asking
	go func() {
		defer g.leave()
		alive := n.askForLife(p)
		l := p.link
		l.mu.Lock()
		defer l.mu.Unlock()
		l.alive, l.askedAt, l.asking = alive, n.since(), nil
		close(asking)
	}()
	return true
}

// askForLife asks the process itself. A connection that has just broken is no
// answer: the second try dials.
func (n *Node) askForLife(p *peer) bool {
	ctx, cancel := context.WithTimeout(n.ctx, n.cfg.Limits.Contact)
	defer cancel()
	due, _ := ctx.Deadline()
	for range 2 {
		conn, err := p.Ask(ctx)
		if err != nil {
			return refusedByTheLiving(err)
		}
		if conn.Peer().Boot != p.boot {
			return false // another process has taken its place
		}
		heard := conn.Heard()
		reply, err := conn.Call(ctx, &transport.Request{
			Method: Ping.Name(), Deadline: due, Body: emptyRequest(),
			Meta: transport.Meta{Partition: transport.NoPartition, Priority: uint8(rpc.Critical)},
		})
		if err == nil {
			reply.Release()
			return true
		}
		if ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) {
			conn.Distrust(heard) // it may be the connection alone: who asks next dials
			return false
		}
		if refusedByTheLiving(err) {
			return true
		}
	}
	return false
}

// refusedByTheLiving tells whether err is what a process says that lives but has
// no room, or is about to leave.
func refusedByTheLiving(err error) bool {
	var call *transport.CallError // anything else is the end of our own patience
	return errors.As(err, &call) && lossOf(err) == notLost && !errors.Is(err, transport.ErrClosed)
}

// emptyRequest is the encoding of a request without fields.
func emptyRequest() []byte { return []byte{0x80} }
