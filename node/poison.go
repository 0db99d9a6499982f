package node

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// maxDowned is how many processes may go down while they serve a call before it is no longer
// carried on. One may be chance. Of three in a row the call is the likely cause, and each further
// owner that it is carried to would be the next.
const maxDowned = 2

// victims are the processes whose connections broke while they had one call. Both attempts of a
// hedged call have the same.
//
// Invariant: no process is in it twice.
type victims struct {
	mu        sync.Mutex
	processes []process
}

// add notes one more, unless it is known.
func (v *victims) add(p process) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !slices.Contains(v.processes, p) {
		v.processes = append(v.processes, p)
	}
}

func (v *victims) all() []process {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.processes)
}

// broke notes that the connection to a process ended while it had the call. One that leaves says so
// before it ends its connections, and one that is silent or cut off does not end them: neither gets
// here.
func (o *outgoing) broke(p process, err error) {
	if errors.Is(err, transport.ErrKeepalive) || isTimeout(err) {
		return
	}
	if o.victims == nil {
		o.victims = new(victims)
	}
	o.victims.add(p)
}

// poisonous is the error of a call under which so many processes went down that it is not carried
// on; nil: it may be.
func (o *outgoing) poisonous(ctx context.Context) *rpc.Error {
	if o.victims == nil || o.call.CarryOn {
		return nil
	}
	broken := o.victims.all()
	if len(broken) < maxDowned {
		return nil
	}
	var down []string
	for _, p := range broken {
		if o.n.wentDown(ctx, p) {
			down = append(down, p.name)
		}
	}
	if len(down) < maxDowned {
		return nil
	}
	names := strings.Join(down, ", ")
	o.n.stats.add(PoisonCalls)
	o.n.log.Warn().Str("method", o.call.Spec.Name()).Str("key", o.call.Dest.Key).Strs("nodes", down).
		Msg("nodes went down while they served a call; it is not carried on")
	return rpc.Errorf(rpc.Unavailable, "%d nodes went down while serving %s: %s; the call is not carried on, lest it takes others down with it",
		len(down), o.call.Spec.Name(), names).After(rpc.NeverRetry)
}

// wentDown reports whether a process is known to have ended: the cluster has lost it, another
// process has its name, or its machine refuses connections in its place. A process that gives no
// answer is not known to have.
func (n *Node) wentDown(ctx context.Context, p process) bool {
	now := n.view.Load().peers[p.name]
	if now == nil || now.boot > p.boot { // boots grow with the time of the start
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, max(n.cfg.Limits.Contact, aliveFor))
	defer cancel()
	conn, err := now.Ask(ctx)
	switch {
	case err == nil:
		return conn.Peer().Boot != p.boot // gossip may be yet to know
	case ctx.Err() != nil, isTimeout(err), refusedByTheLiving(err):
		return false
	}
	return !errors.Is(err, syscall.EHOSTUNREACH) && !errors.Is(err, syscall.ENETUNREACH)
}

// isTimeout reports whether err says that nothing came in time.
func isTimeout(err error) bool {
	var timed net.Error
	return errors.Is(err, transport.ErrHandshakeTimeout) || errors.As(err, &timed) && timed.Timeout()
}
