package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// watcher looks at a cluster from outside, through each of its processes.
type watcher struct {
	procs   []*process
	clients []*node.Client // by process; nil: not connected yet
	tls     *transport.TLS // nil: plain streams
}

func newWatcher(procs []*process, security *transport.TLS) *watcher {
	return &watcher{tls: security, procs: procs, clients: make([]*node.Client, len(procs))}
}

func (w *watcher) close() {
	for _, c := range w.clients {
		if c != nil {
			c.Close()
		}
	}
}

// lookTimeout bounds one question to one process.
const lookTimeout = time.Second

// sight is what was seen of the cluster at one moment.
type sight struct {
	procs   []procSight
	members []node.MemberInfo // as the first process that is ready knows them
}

// procSight is what was seen of one process.
type procSight struct {
	*process
	ended string // how; empty: it runs
	ping  *node.PingReply
	err   error // why there is no ping
}

// look asks every process how it is, and one who is a member.
func (w *watcher) look(ctx context.Context) *sight {
	s := &sight{procs: make([]procSight, len(w.procs))}
	var wg sync.WaitGroup
	for i, p := range w.procs {
		s.procs[i] = procSight{process: p, ended: p.ending()}
		if s.procs[i].ended == "" {
			wg.Go(func() { s.procs[i].ping, s.procs[i].err = w.ask(ctx, i) })
		}
	}
	wg.Wait()
	s.members = w.members(ctx, s)
	return s
}

func (w *watcher) ask(ctx context.Context, i int) (*node.PingReply, error) {
	if w.clients[i] == nil {
		ctx, cancel := context.WithTimeout(ctx, lookTimeout)
		defer cancel()
		c, err := node.Dial(ctx, w.procs[i].addr, node.ClientConfig{TLS: w.tls})
		if err != nil {
			return nil, err
		}
		w.clients[i] = c
	}
	return node.Ping.Call(ctx, w.clients[i], &node.PingRequest{}, rpc.Timeout(lookTimeout))
}

// members asks the first process that is ready, or else that answers.
func (w *watcher) members(ctx context.Context, s *sight) []node.MemberInfo {
	from := slices.IndexFunc(s.procs, func(p procSight) bool { return p.ping != nil && p.ping.Ready })
	if from < 0 {
		from = slices.IndexFunc(s.procs, func(p procSight) bool { return p.ping != nil })
	}
	if from < 0 {
		return nil
	}
	reply, err := node.Members.Call(ctx, w.clients[from], &node.MembersRequest{}, rpc.Timeout(lookTimeout))
	if err != nil {
		return nil // the next look will tell
	}
	return reply.Members
}

// agreed returns the fingerprint that all processes have, if all are ready, see each
// other, have the same and mean the same processes by it.
func (s *sight) agreed() (fingerprint string, ok bool) {
	for _, p := range s.procs {
		first := s.procs[0].ping
		switch {
		case p.ping == nil || !p.ping.Ready || p.ping.Members != len(s.procs) || p.ping.Owners != len(s.procs):
			return "", false
		case p.ping.Fingerprint != first.Fingerprint || p.ping.MembersDigest != first.MembersDigest:
			return "", false
		}
		fingerprint = p.ping.Fingerprint
	}
	return fingerprint, true
}

// common gives the fingerprint that most of the ready processes have, how
// many have it, and how many are ready.
func (s *sight) common() (fingerprint string, have, ready int) {
	counts := make(map[string]int)
	for _, p := range s.procs {
		if p.ping == nil || !p.ping.Ready {
			continue
		}
		ready++
		f := p.ping.Fingerprint
		if counts[f]++; counts[f] > have || counts[f] == have && f < fingerprint {
			fingerprint, have = f, counts[f]
		}
	}
	return fingerprint, have, ready
}

// allEnded tells whether no process is left.
func (s *sight) allEnded() bool {
	return !slices.ContainsFunc(s.procs, func(p procSight) bool { return p.ended == "" })
}

// condition says in a few words how a process is.
func (p *procSight) condition() string {
	switch {
	case p.ended != "":
		return strings.TrimSuffix("ended, "+p.ended+": "+p.lastWords(), ": ")
	case p.ping == nil && p.err != nil:
		return "does not answer: " + oneLine(p.err.Error())
	case p.ping == nil:
		return "was not asked"
	case !p.ping.Ready:
		return fmt.Sprintf("is not ready: %s", p.ping.Why)
	}
	return fmt.Sprintf("is ready, sees %d members, has table %s", p.ping.Members, p.ping.Fingerprint)
}

// await looks until all agree. The error says what differs.
func (w *watcher) await(ctx context.Context, patience time.Duration) (*sight, string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(awaitInterval)
	defer ticker.Stop()
	for {
		s := w.look(ctx)
		fingerprint, ok := s.agreed()
		if ok && s.members != nil {
			return s, fingerprint, nil
		}
		failed := slices.ContainsFunc(s.procs, func(p procSight) bool { return p.ended != "" })
		if ctx.Err() == nil && !failed {
			select {
			case <-ticker.C:
				continue
			case <-ctx.Done():
			}
		}
		if context.Cause(ctx) == context.Canceled {
			return s, "", ctx.Err()
		}
		return s, "", s.disagreement(patience, failed)
	}
}

const awaitInterval = 20 * time.Millisecond
