package node

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/transport"
)

// ErrIdentity says that a member of the gossip did not prove to be who it says, or
// does so no more. It owns no keys for as long.
var ErrIdentity = errors.New("node: a member did not prove its identity")

// proof is what this node knows about the identity of a member. Who has the
// gossip key can be seen under any name; who has the certificate of the name
// and answers at the gossiped address is proven.
type proof uint8

const (
	unproven proof = iota // asked for; no answer yet
	doubted               // it could not, so far; it is asked again
	proven                // as long as its certificate is good; another life of the name is another peer
	lapsed                // it was proven by a certificate that is good no more; it is asked again
)

// String returns the proof as members lists it.
func (p proof) String() string { return [...]string{"pending", "refused", "proven", "expired"}[p] }

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

	late atomic.Bool           // a node that joins waits for proofs no longer
	own  atomic.Pointer[error] // why this node's own certificate is no good; nil: it is good
	wait time.Duration         // for a sender to become known; see awaitMember

	mu       sync.Mutex
	found    []finding
	applying bool
}

// finding is what came of asking one peer.
type finding struct {
	peer  *transport.Peer
	proof proof
	chain []*x509.Certificate // that it is proven by, or is proven by no more
	err   error               // if it is not proven
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
		chain, err := n.ask(slots, p, boot)
		slots = n.prover.again
		switch {
		case err == nil:
			n.stats.add(IdentitiesProven)
			n.found(finding{peer: p, proof: proven, chain: chain})
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
				n.found(finding{peer: p, proof: doubted, err: err})
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

// ask makes sure of a connection to the peer, which TLS makes only to the node
// of its name, and that it is the very process that gossip tells of.
// It returns the certificates that it showed.
func (n *Node) ask(slots chan struct{}, p *transport.Peer, boot uint64) ([]*x509.Certificate, error) {
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-n.ctx.Done():
		return nil, n.ctx.Err()
	}
	conn, err := p.Conn(n.ctx)
	if err != nil {
		return nil, cause(err)
	}
	return shown(conn, boot)
}

// shown returns the certificates of a connection to the process of a boot id.
func shown(conn *transport.Conn, boot uint64) ([]*x509.Certificate, error) {
	if got := conn.Peer().Boot; got != boot {
		return nil, fmt.Errorf("%w: boot id %x answers, not %x", transport.ErrWrongPeer, got, boot)
	}
	return conn.Certificates(), nil
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
		if p := peers[f.peer.Name()]; p != nil && p.Peer == f.peer {
			if f.proof == lapsed && !n.lapses(p, f) {
				continue
			}
			next := *p
			next.proof, next.chain, next.doubt = f.proof, f.chain, ""
			if f.err != nil {
				next.doubt = f.err.Error()
			}
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
