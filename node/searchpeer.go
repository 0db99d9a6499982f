package node

import (
	"errors"
	"slices"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

const (
	claimTimeout = time.Second // of one question; then the peer is passed by
	claimBatch   = 1 << 14     // partitions of one question
)

// claimAnswers are those of one peer.
type claimAnswers struct {
	peer string
	err  error
	took bool
	by   map[uint32]termedAnswer
	// tracks says that the peer takes part.
	tracks bool
}

type termedAnswer struct {
	claimAnswer
	term uint64
}

// errStranger says that the one or the other has yet to learn who is at the other end.
var errStranger = errors.New("node: not known as a member yet")

// ask asks one peer.
func (s *search) ask(name string, about []*wanted, take bool) *claimAnswers {
	a := &claimAnswers{peer: name, took: take, by: make(map[uint32]termedAnswer, len(about))}
	if p := s.n.view.Load().peers[name]; p != nil && p.proof != proven && p.proof != lapsed {
		a.err = errStranger
		return a
	}
	for batch := range slices.Chunk(about, claimBatch) {
		req := &ClaimRequest{Node: s.n.cfg.Name, Boot: s.n.boot, Take: take, Final: s.final, Partitions: make([]uint32, len(batch))}
		for i, w := range batch {
			req.Partitions[i] = w.partition
		}
		reply, err := Claim.Call(s.n.ctx, s.n, req, rpc.Peer(name), rpc.Timeout(claimTimeout))
		switch rpc.CodeOf(err) {
		case rpc.OK:
		case rpc.PermissionDenied, rpc.Unauthenticated: // an interceptor that takes this node for no member yet
			a.err = errStranger
			return a
		default:
			a.err = err
			return a
		}
		a.tracks = reply.Tracks
		a.take(reply)
	}
	return a
}

func (a *claimAnswers) take(reply *ClaimReply) {
	for _, g := range reply.Found {
		if len(g.Terms) != len(g.Partitions) {
			continue
		}
		for i, p := range g.Partitions {
			a.by[p] = termedAnswer{claimAnswer{g.State, process{g.Node, g.Boot}, g.Fate, g.Taken}, g.Terms[i]}
		}
	}
}

// heard takes the answers of the one peer that was asked about ws.
func (s *search) heard(ws []*wanted, a *claimAnswers) (progress bool) {
	s.note(a)
	for _, w := range ws {
		answer, ok := a.by[w.partition]
		switch {
		case errors.Is(a.err, errStranger):
			continue
		case !ok:
			if a.err != nil && w.via.taken && w.via.node.name == a.peer {
				s.pass(w, w.via)
			}
			w.ask = ""
		case answer.state == ClaimBusy:
			continue
		case answer.state == ClaimHere:
			s.found(w, a.peer, answer)
		case answer.state == ClaimGone:
			if !s.follow(w, answer) {
				continue
			}
		default:
			w.seen.later(answer.node, answer.fate, answer.term)
			w.ask = ""
		}
		progress = true
	}
	return progress
}

// note remembers peers that cannot help.
func (s *search) note(a *claimAnswers) {
	switch {
	case errors.Is(a.err, errStranger):
	case a.err != nil:
		s.silent[a.peer] = true
		s.n.log.Debug().Err(a.err).Str("member", a.peer).Msg("a member does not say what it served: it is passed by")
	case !a.tracks:
		s.plain[a.peer] = true
	}
}

// found notes that this node is the end of the chain now.
func (s *search) found(w *wanted, granter string, a termedAnswer) {
	s.n.handover.accept(w.partition, record{
		term: nextTerm(a.term), from: a.node.name, fate: a.fate, granter: granter,
	})
}
