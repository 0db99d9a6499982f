package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

// What dev --once checks.
const (
	onceKeys     = 1000
	onceParallel = 32
	oncePatience = 30 * time.Second
)

// onceReport is what dev --once found.
type onceReport struct {
	Nodes       int            `json:"nodes"`
	Fingerprint string         `json:"fingerprint"`
	AgreedMS    int64          `json:"agreed_ms"` // from the start of the first process
	Keys        int            `json:"keys"`
	Mismatches  []mismatch     `json:"mismatches"`
	Takeovers   []mismatch     `json:"takeovers"` // keys whose owner did not answer, which the next owner served
	PerNode     map[string]int `json:"per_node"`  // keys that it answered
	Members     []memberJSON   `json:"members"`
}

// mismatch is a key that did not land where it should.
type mismatch struct {
	Key      string `json:"key"`
	Entry    string `json:"entry"`              // the node that was asked to carry it
	Owner    string `json:"owner"`              // by mesh.Owner
	Answered string `json:"answered,omitempty"` // by mesh.Echo
	Error    string `json:"error,omitempty"`
}

// devOnce waits until all nodes agree and checks where a sample of keys lands.
func (a *app) devOnce(ctx context.Context, w *watcher, began time.Time) error {
	s, fingerprint, err := w.await(ctx, oncePatience)
	if err != nil {
		return err
	}
	r := &onceReport{
		Nodes: len(s.procs), Fingerprint: fingerprint, AgreedMS: time.Since(began).Milliseconds(),
		Keys: onceKeys, Mismatches: []mismatch{}, Takeovers: []mismatch{}, PerNode: make(map[string]int), Members: membersJSON(s.members),
	}
	if err := r.check(ctx, w); err != nil {
		return err
	}
	if a.json() {
		err = a.printJSON(r)
	} else {
		err = a.printLines(r.lines()...)
	}
	if err == nil && len(r.Mismatches) > 0 {
		return failf(rpc.Internal, "%d of %d keys did not land on their owner", len(r.Mismatches), r.Keys)
	}
	return err
}

// check asks every node for the owners of the sample, and sends each key
// through one of them in turn.
func (r *onceReport) check(ctx context.Context, w *watcher) error {
	keys := make([]string, r.Keys)
	for i := range keys {
		keys[i] = fmt.Sprintf("key-%d", i+1)
	}
	owners := make([]string, len(keys))
	for i, c := range w.clients {
		reply, err := node.Owner.Call(ctx, c, &node.OwnerRequest{Keys: keys, N: 1})
		if err != nil {
			return fmt.Errorf("%s does not tell owners: %w", w.procs[i].name, err)
		}
		for k, o := range reply.Owners {
			if i == 0 {
				owners[k] = o.Owners[0]
			} else if owners[k] != o.Owners[0] {
				r.Mismatches = append(r.Mismatches, mismatch{
					Key: keys[k], Entry: w.procs[i].name, Owner: owners[k],
					Error: fmt.Sprintf("%s says that %s owns it", w.procs[i].name, o.Owners[0]),
				})
			}
		}
	}
	r.send(ctx, w, keys, owners)
	return ctx.Err()
}

func (r *onceReport) send(ctx context.Context, w *watcher, keys, owners []string) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for worker := range onceParallel {
		wg.Go(func() {
			for k := worker; k < len(keys); k += onceParallel {
				entry := k % len(w.clients)
				by, err := echoKey(ctx, w.clients[entry], keys[k])
				mu.Lock()
				r.landed(mismatch{Key: keys[k], Entry: w.procs[entry].name, Owner: owners[k], Answered: by.node}, by.takeover, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// landed counts one key. A takeover is no mistake: the call's entry and the node that
// answered have both found that the owner gave no sign of life in time.
func (r *onceReport) landed(m mismatch, takeover bool, err error) {
	switch {
	case err != nil:
		m.Error = oneLine(err.Error())
	case takeover:
		r.PerNode[m.Answered]++
		r.Takeovers = append(r.Takeovers, m)
		return
	case m.Answered == m.Owner:
		r.PerNode[m.Answered]++
		return
	}
	r.Mismatches = append(r.Mismatches, m)
}

// shownMismatches is how many mismatches are printed for people.
const shownMismatches = 10

func (r *onceReport) lines() []string {
	lines := []string{
		fmt.Sprintf("%s on table %s after %s", plural(r.Nodes, "process agrees", "processes agree"), r.Fingerprint,
			brief(time.Duration(r.AgreedMS)*time.Millisecond)),
		fmt.Sprintf("%s of %s keys landed on the node that owner names, each sent through one of %s",
			thousands(r.Keys-len(r.Mismatches)-len(r.Takeovers)), thousands(r.Keys), plural(r.Nodes, "node", "nodes")),
	}
	if len(r.Takeovers) > 0 {
		owners := make([]string, len(r.Takeovers))
		for i, m := range r.Takeovers {
			owners[i] = m.Owner
		}
		slices.Sort(owners)
		lines = append(lines, fmt.Sprintf("%s taken over by the next owner, because the owner gave no sign of life in time, as on a busy machine: of %s",
			plural(len(r.Takeovers), "key was", "keys were"), listed(slices.Compact(owners), shownNames)))
	}
	lines = append(lines, "")
	t := newTable("NAME", "ADDRESS", "STATE", ">SHARE", "", ">KEYS")
	for _, m := range r.Members {
		t.add(m.Name, m.Addr, m.State, percent(m.Share), bar(m.Share, barWidth), thousands(r.PerNode[m.Name]))
	}
	lines = append(lines, t.lines()...)
	for i, m := range r.Mismatches {
		if i == shownMismatches {
			lines = append(lines, fmt.Sprintf("and %d more", len(r.Mismatches)-i))
			break
		}
		lines = append(lines, fmt.Sprintf("%s by %s: owner %s, answered by %s %s", m.Key, m.Entry, m.Owner, dash(m.Answered), m.Error))
	}
	return lines
}
