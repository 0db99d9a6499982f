package node

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/transport"
)

const (
	proofCheck      = 5 * time.Second  // how often certificates are looked at, at least
	maxProofMargin  = time.Minute      // before a certificate ends a newer one is asked for; a tenth of its life if that is less
	joinProofsLimit = 15 * time.Second // how long a node that joins waits for proofs
)

// certified reports whether this node's own certificate is good, as far as it has
// noticed.
func (n *Node) certified() bool { return n.prover.own.Load() == nil }

// isProven reports whether a member of v, this node included, is who it says. Without
// TLS everybody is.
func (n *Node) isProven(v *view, name string) bool {
	if name == n.cfg.Name {
		return n.certified()
	}
	return v.peers[name].proof == proven
}

// halfProven reports whether a table of v would be one of those members who have
// proved themselves first: it makes none while this node joins.
func (n *Node) halfProven(v *view) bool {
	return n.cfg.TLS != nil && !v.joined && !n.prover.late.Load() && v.pending() != ""
}

// waitProofs waits until the members that serve have proved who they are or been
// refused, but not for ever. The error is ctx's.
func (n *Node) waitProofs(ctx context.Context, cluster *membership.Cluster) error {
	if n.cfg.TLS == nil {
		return nil
	}
	if err := cluster.Sync(ctx); err != nil { // else it may not know yet of those who serve
		return err
	}
	heard := cluster.Snapshot().Version
	bounded, cancel := context.WithTimeout(ctx, joinProofsLimit)
	defer cancel()
	err := n.waitView(bounded, func(v *view) bool { return v.members.Version >= heard && v.pending() == "" })
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	n.prover.late.Store(true)
	v := n.rebuild()
	n.log.Warn().Str("member", v.pending()).Int64("waited_ms", joinProofsLimit.Milliseconds()).
		Msg("serving without a member that has neither proved its identity nor been refused: the table may differ from those of others")
	return nil
}

// rebuild makes a view of the same members anew, and returns it.
func (n *Node) rebuild() *view {
	n.viewMu.Lock()
	defer n.viewMu.Unlock()
	old := n.view.Load()
	n.replaceLocked(old, old.members, old.peers)
	return n.view.Load()
}

// watchCertificates sees to it that no member stays proven by a certificate that is
// good no more, and that this node knows when its own is. It runs with TLS only.
func (n *Node) watchCertificates() {
	creds, asked := n.cfg.TLS.Own(), make(map[*transport.Peer]time.Time)
	for {
		next := earlier(time.Now().Add(proofCheck), n.checkOwn())
		newTrust := n.cfg.TLS.Own() != creds
		creds = n.cfg.TLS.Own()
		latest := make(map[*transport.Peer]time.Time, len(asked))
		for _, p := range n.view.Load().peers {
			if at, ok := asked[p.Peer]; ok {
				latest[p.Peer] = at
			}
			due, needed := n.renewal(p, newTrust)
			if again := latest[p.Peer].Add(maxProofRetry); needed && !newTrust && again.After(time.Now()) {
				due, needed = earlier(due, again), false
			}
			if needed {
				latest[p.Peer] = time.Now()
				n.tasks.Go(func() { n.renew(p) })
			}
			next = earlier(next, due)
		}
		asked = latest
		timer := time.NewTimer(time.Until(next))
		select {
		case <-timer.C:
		case <-n.ctx.Done():
			timer.Stop()
			return
		}
	}
}

// renewal reports whether a member is to prove its identity anew, and when to look
// again at the latest; zero: that does not matter. A member whose certificate has
// ended lapses here and now.
func (n *Node) renewal(p *peer, newTrust bool) (due time.Time, needed bool) {
	if p.proof == lapsed {
		return due, true
	}
	if p.proof != proven || len(p.chain) == 0 {
		return due, false
	}
	end, now := notAfter(p.chain), time.Now()
	margin := min(maxProofMargin, end.Sub(p.chain[0].NotBefore)/10)
	switch {
	case now.After(end):
		n.lapse(p, n.cfg.TLS.Verify(p.chain))
		return due, true
	case newTrust && n.cfg.TLS.Verify(p.chain) != nil, !now.Before(end.Add(-margin)):
		return end.Add(time.Millisecond), true
	}
	return end.Add(-margin), false
}

// notAfter returns when the first of the certificates of a chain ends.
func notAfter(chain []*x509.Certificate) time.Time {
	end := chain[0].NotAfter
	for _, c := range chain[1:] {
		end = earlier(end, c.NotAfter)
	}
	return end
}

// earlier returns the earlier of two times; zero is none.
func earlier(a, b time.Time) time.Time {
	if b.IsZero() || !a.IsZero() && a.Before(b) {
		return a
	}
	return b
}

// renew asks a member for the certificate that it uses now, over a connection of its
// own: those that are open stay as they are.
func (n *Node) renew(p *peer) {
	select {
	case n.prover.again <- struct{}{}:
		defer func() { <-n.prover.again }()
	case <-n.ctx.Done():
		return
	}
	conn, err := n.endpoint.Dial(n.ctx, p.Addr(), p.Name())
	var chain []*x509.Certificate
	if err == nil {
		chain, err = shown(conn, p.boot)
		conn.Close()
	}
	if err == nil {
		if p.proof == lapsed {
			n.stats.add(IdentitiesProven)
			n.log.Info().Str("member", p.Name()).Msg("a member has proved its identity again")
		}
		n.found(finding{peer: p.Peer, proof: proven, chain: chain})
		return
	}
	if bad := n.cfg.TLS.Verify(p.chain); bad != nil && p.proof == proven {
		n.lapse(p, errors.Join(bad, err))
	}
}

// lapse notes that a member is not proven any more by the certificates that it had.
func (n *Node) lapse(p *peer, why error) {
	n.found(finding{peer: p.Peer, proof: lapsed, chain: p.chain, err: fmt.Errorf("%w any more: %w", ErrIdentity, why)})
}

// lapses reports whether a member is proven by the certificates of a finding that says
// that they are good no more, and logs and counts that.
func (n *Node) lapses(p *peer, f finding) bool {
	if p.proof != proven || len(p.chain) == 0 || p.chain[0] != f.chain[0] {
		return false // others have found that, or it has newer ones
	}
	n.stats.add(IdentitiesLapsed)
	n.log.Warn().Err(f.err).Str("member", p.Name()).Str("addr", p.Addr()).
		Msg("member is not routed to: its certificate is good no more")
	return true
}

// checkOwn notes whether this node's own certificate is good. It returns when to look
// again at the latest; zero: that does not matter.
func (n *Node) checkOwn() time.Time {
	err, was := n.cfg.TLS.Valid(), n.prover.own.Load()
	switch {
	case err != nil && was == nil:
		n.prover.own.Store(&err)
		n.log.Error().Err(err).Msg("this node's certificate is good no more: it is not ready, and owns nothing, until there is a new one")
		n.rebuild()
	case err == nil && was != nil:
		n.prover.own.Store(nil)
		n.log.Info().Msg("this node's certificate is good again")
		n.rebuild()
	}
	if err != nil {
		return time.Time{}
	}
	return n.cfg.TLS.Own().Certificate.Leaf.NotAfter.Add(time.Millisecond)
}
