package node

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/transport"
)

// ErrIdentity tells that a member of the gossip did not prove to be who it
// says. It owns no keys for as long.
var ErrIdentity = errors.New("node: a member did not prove its identity")

// proof is what this node knows about the identity of a member. Who has the
// gossip key can be seen under any name; who has the certificate of the name
// and answers at the gossiped address is proven.
type proof uint8

const (
	unproven proof = iota // asked for; no answer yet
	doubted               // it could not, so far; it is asked again
	proven                // for good: another life of the name is another peer
)

// String is the proof as members lists it.
func (p proof) String() string { return [...]string{"pending", "refused", "proven"}[p] }

const (
	maxProofs     = 8 // asked for at once for the first time, and again
	minProofRetry = 50 * time.Millisecond
	maxProofRetry = 5 * time.Second
	// doubts is how many failures in a row that may pass by themselves refuse
	// a proof. Until then a node that joins waits for it.
	doubts = 3
)

// prover has members prove who they are, with TLS only.
//
// Invariant: at most one goroutine applies what was found; who finds more
// meanwhile leaves it to that one, so that many proofs make few tables.
type prover struct {
	first, again chan struct{} // slots: who fails again and again holds up nobody who is new

	wait time.Duration // for a sender to become known; see awaitMember

	mu       sync.Mutex
	found    []finding
	applying bool
}

// finding is what came of asking one peer.
type finding struct {
	peer  *transport.Peer
	proof proof
}

func (p *prover) init() {
	p.first, p.again = make(chan struct{}, maxProofs), make(chan struct{}, maxProofs)
	p.wait = memberWait
}

// gossipNetwork is what gossip dials by.
func (n *Node) gossipNetwork() transport.Network {
	if n.cfg.TLS == nil {
		return n.cfg.Network
	}
	return n.cfg.TLS.GossipNetwork(n.cfg.Network)
}

// wantProof has a new peer prove who it is. Without TLS it need not.
func (n *Node) wantProof(p *peer) {
	if n.cfg.TLS == nil {
		p.proof = proven
		return
	}
	who, boot := p.Peer, p.boot
	n.tasks.Go(func() { n.prove(who, boot) })
}

// prove asks until the member has proved who it is, or is gone.
func (n *Node) prove(p *transport.Peer, boot uint64) {
	random := rand.New(rand.NewPCG(n.cfg.RandSeed, boot))
	slots := n.prover.first
	for failures := 0; ; {
		err := n.ask(slots, p, boot)
		slots = n.prover.again
		switch {
		case err == nil:
			n.stats.add(IdentitiesProven)
			n.found(finding{p, proven})
			return
		case errors.Is(err, transport.ErrClosed) || n.ctx.Err() != nil:
			return
		case !errors.Is(err, transport.ErrBackoff):
			failures++
			n.stats.add(IdentitiesRefused)
			if failures&(failures-1) == 0 { // the first, and then ever less often
				n.log.Warn().Err(fmt.Errorf("%w: %w", ErrIdentity, err)).Str("member", p.Name()).Str("addr", p.Addr()).
					Int("tries", failures).Msg("member is not routed to")
			}
			if failures == doubts || failures < doubts && isRefusal(err) {
				n.found(finding{p, doubted})
			}
		}
		wait := min(minProofRetry<<min(failures, 16), maxProofRetry)
		timer := time.NewTimer(wait/2 + time.Duration(random.Int64N(int64(wait/2)+1)))
		select {
		case <-timer.C:
		case <-n.ctx.Done():
			timer.Stop()
			return
		}
	}
}

// ask makes sure of a connection to the peer, which TLS gives only to the node
// of its name, and that it is the very process that gossip tells of.
func (n *Node) ask(slots chan struct{}, p *transport.Peer, boot uint64) error {
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-n.ctx.Done():
		return n.ctx.Err()
	}
	conn, err := p.Conn(n.ctx)
	if err != nil {
		return cause(err)
	}
	if got := conn.Peer().Boot; got != boot {
		return fmt.Errorf("%w: boot id %x answers, not %x", transport.ErrWrongPeer, got, boot)
	}
	return nil
}

// isRefusal tells whether err says that somebody else is there, rather than
// that nobody could be reached.
func isRefusal(err error) bool {
	for _, known := range []error{
		transport.ErrCertificate, transport.ErrWrongPeer, transport.ErrNoTLS, transport.ErrTLSRequired,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// found makes a view with what was found, or leaves that to whoever is at it.
func (n *Node) found(f finding) {
	p := &n.prover
	p.mu.Lock()
	defer p.mu.Unlock()
	p.found = append(p.found, f)
	if p.applying {
		return
	}
	p.applying = true
	for len(p.found) > 0 {
		batch := p.found
		p.found = nil
		p.mu.Unlock()
		n.applyProofs(batch)
		p.mu.Lock()
	}
	p.applying = false
}

func (n *Node) applyProofs(batch []finding) {
	n.viewMu.Lock()
	defer n.viewMu.Unlock()
	old := n.view.Load()
	peers := maps.Clone(old.peers)
	changed := false
	for _, f := range batch {
		if p := peers[f.peer.Name()]; p != nil && p.Peer == f.peer && p.proof != f.proof {
			next := *p
			next.proof = f.proof
			peers[f.peer.Name()] = &next
			changed = true
		}
	}
	if changed {
		n.replaceLocked(old, old.members, peers)
	}
}

// pending names a member that serves and may still prove who it is; empty:
// there is none.
func (v *view) pending() string {
	for _, m := range v.members.Members {
		if p := v.peers[m.Name]; p != nil && p.proof == unproven && m.State == membership.StateServing {
			return m.Name
		}
	}
	return ""
}

// provenNames are the live members that have proved who they are, this node
// included, sorted. The slice is the caller's.
func (v *view) provenNames() []string {
	names := make([]string, 0, len(v.members.Members))
	for _, m := range v.members.Members {
		if p := v.peers[m.Name]; p == nil || p.proof == proven {
			names = append(names, m.Name)
		}
	}
	return names
}
