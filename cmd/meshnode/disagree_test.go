package main

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
)

// sightOf sees n processes, each as put says.
func sightOf(n int, put func(i int, p *procSight)) *sight {
	s := &sight{procs: make([]procSight, n)}
	for i := range s.procs {
		s.procs[i].process = &process{name: fmt.Sprintf("node-%d", i+1)}
		put(i, &s.procs[i])
	}
	return s
}

// What keeps many processes from agreeing is said in a few words, however many they are.
func TestDisagreementIsBrief(t *testing.T) {
	refused := errors.New("no answer within the deadline")
	for _, c := range []struct {
		seen *sight
		want string
	}{
		{
			sightOf(60, func(i int, p *procSight) {
				if p.err = refused; i >= 58 {
					p.err, p.ping = nil, &node.PingReply{Ready: true, Members: 2, Fingerprint: "0123456789abcdef"}
				}
			}),
			"58 of 60 do not answer: node-1, node-2, node-3 and 55 more (node-1 does not answer: no answer within the deadline); " +
				"2 of 60 are ready, see 2 members, have table 0123456789abcdef: node-59, node-60",
		},
		{
			sightOf(100, func(i int, p *procSight) {
				p.ping = &node.PingReply{Why: fmt.Sprintf("it sees %d of the 100 members that it expects", i)}
				if i == 7 {
					p.ping = &node.PingReply{Ready: true, Members: 100, Fingerprint: "aa"}
				}
			}),
			"99 of 100 are not ready: node-1, node-2, node-3 and 96 more " +
				"(node-1 is not ready: it sees 0 of the 100 members that it expects); node-8 is ready, sees 100 members, has table aa",
		},
		{ // one for each table
			sightOf(9, func(i int, p *procSight) {
				p.ping = &node.PingReply{Ready: true, Members: 9, Fingerprint: fmt.Sprint(i)}
			}),
			"node-1 is ready, sees 9 members, has table 0; node-2 is ready, sees 9 members, has table 1; " +
				"node-3 is ready, sees 9 members, has table 2; node-4 is ready, sees 9 members, has table 3; " +
				"and 5 processes more are in other conditions",
		},
		{ // the same table of other lives
			sightOf(4, func(i int, p *procSight) {
				p.ping = &node.PingReply{Ready: true, Members: 4, Fingerprint: "aa", MembersDigest: fmt.Sprint(i % 2)}
			}),
			"2 of 4 are ready, see 4 members, have table aa: node-1, node-3; 2 of 4 are ready, see 4 members, have table aa: node-2, node-4",
		},
	} {
		got, want := c.seen.disagreement(30*time.Second, false).Error(), "the nodes did not agree within 30.00 s: "+c.want
		if got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}

// Keys that the next owner served in the place of a silent one are no mistakes, and are
// counted apart.
func TestTakeoversAreCounted(t *testing.T) {
	r := &onceReport{Nodes: 3, Keys: 4, PerNode: map[string]int{}}
	r.landed(mismatch{Key: "a", Owner: "n1", Answered: "n1"}, false, nil)
	r.landed(mismatch{Key: "b", Owner: "n1", Answered: "n2"}, true, nil)
	r.landed(mismatch{Key: "c", Owner: "n1", Answered: "n3"}, true, nil)
	if len(r.Mismatches) != 0 || len(r.Takeovers) != 2 || r.PerNode["n1"] != 1 || r.PerNode["n2"] != 1 || r.PerNode["n3"] != 1 {
		t.Errorf("counted is %+v", r)
	}
	r.landed(mismatch{Key: "d", Owner: "n1", Answered: "n2"}, false, nil)
	if len(r.Mismatches) != 1 {
		t.Errorf("a call that landed elsewhere is no mistake: %+v", r)
	}
	const want = "2 keys were taken over by the next owner, because the owner gave no sign of life in time, as on a busy machine: of n1"
	if got := r.lines(); got[1] != "1 of 4 keys landed on the node that owner names, each sent through one of 3 nodes" || got[2] != want {
		t.Errorf("lines: %q", got)
	}
}

func TestDevProfile(t *testing.T) {
	local, lan := membership.Local.String(), membership.LAN.String()
	for _, c := range []struct {
		nodes, processors int
		flag, want        string
	}{
		{5, 1, profileAuto, local},
		{24, 2, profileAuto, local},
		{25, 2, profileAuto, lan},
		{60, 2, local, local},
		{5, 2, lan, lan},
	} {
		f := &devFlags{nodes: c.nodes, profile: c.flag}
		if got := f.profileOf(c.processors); got != c.want {
			t.Errorf("%d processes on %d processors with --profile %s run with %s, want %s", c.nodes, c.processors, c.flag, got, c.want)
		}
	}
}
