package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

func testExplain(t *testing.T, nodes []*node.Node) {
	table := nodes[0].Table()
	_, owner := table.Lookup("alice")
	x := decoded[explanation](t, succeeds(t, "explain", "alice", "-o", "json"))
	if !x.Agree || len(x.Groups) != 1 || len(x.Groups[0].Members) != len(nodes) || len(x.Silent) != 0 {
		t.Fatalf("got %+v", x)
	}
	if g := x.Groups[0]; g.Fingerprint != table.Fingerprint().String() || g.Owners[0].Name != owner {
		t.Errorf("got %+v, want the owner %s", g, owner)
	}
	text := succeeds(t, "explain", "alice")
	for _, want := range []string{"all 3 members agree on key alice", "owner        " + owner, "last change", nodes[2].Name()} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func testRing(t *testing.T, nodes []*node.Node) {
	r := decoded[node.RingReply](t, succeeds(t, "ring", "-o", "json"))
	if len(r.Shares) != len(nodes) || r.Spread < 1 || r.Spread > 1.06 || len(r.Changes) == 0 || r.Bytes == 0 {
		t.Errorf("got %+v", r)
	}
	text := succeeds(t, "ring")
	for _, want := range []string{"spread 1.0", "CAPACITY", "REQUIRED", nodes[0].Table().Fingerprint().String(), "joined"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func testStats(t *testing.T) {
	counters := decoded[map[string]uint64](t, succeeds(t, "stats", "-o", "json"))
	if counters["table_changes"] == 0 {
		t.Errorf("got %v", counters)
	}
	if text := succeeds(t, "stats"); !strings.Contains(text, "failovers_served") {
		t.Errorf("got\n%s", text)
	}
	text := succeeds(t, "stats", "--prometheus")
	if !strings.Contains(text, `meshnode_served_total{method="mesh.Explain",code="OK"}`) {
		t.Errorf("got\n%s", text)
	}
}

// Members that differ, or do not answer, are shown as such.
func TestExplainDisagreement(t *testing.T) {
	answer := func(name, fingerprint, owner string, age float64) node.ForwardAnswer {
		body, err := rpc.Encode(nil, &node.ExplainReply{
			Node: name, Ready: name != "d", Why: "it looks for a seed", Key: "k", Fingerprint: fingerprint,
			Owners: []node.OwnerInfo{{Name: owner, Passed: name == "b"}}, Members: 4, InTable: 3, Partitions: 16384, Slack: 50,
			LastChange: &node.TableChange{Joined: []string{"d", "e", "f", "g"}, Moved: 100}, AgeSeconds: age,
		})
		if err != nil {
			t.Fatal(err)
		}
		return node.ForwardAnswer{Node: name, Body: body}
	}
	x := explainAnswers("k", []node.ForwardAnswer{
		answer("d", "2222", "x", 300), answer("a", "1111", "y", 2), answer("b", "1111", "y", 3),
		{Node: "c", Code: rpc.DeadlineExceeded, Message: "no answer\nwithin the deadline"},
	})
	if x.Agree || len(x.Groups) != 2 || x.Groups[0].Fingerprint != "1111" || len(x.Silent) != 1 {
		t.Fatalf("got %+v", x)
	}
	text := strings.Join(x.lines(false), "\n")
	for _, want := range []string{
		"4 members, 2 different tables, 1 without an answer: key k", "no answer from c: DeadlineExceeded: no answer within the deadline",
		"goes past y, which it could not reach", "not ready: it looks for a seed", "d, e, f and 1 more joined; 100 partitions moved",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// A thousand members fit on a screen.
func TestRingOfMany(t *testing.T) {
	r := &node.RingReply{Node: "n", Partitions: 1 << 16}
	for i := range 1000 {
		r.Shares = append(r.Shares, node.ShareInfo{Name: fmt.Sprintf("node-%04d", i), Load: float64(i), Fraction: 0.001})
	}
	lines := ringLines(r, false, time.Now())
	text := strings.Join(lines, "\n")
	if len(lines) > 24 || !strings.Contains(text, "node-0999") || !strings.Contains(text, "node-0000") || !strings.Contains(text, "984 more") {
		t.Errorf("%d lines:\n%s", len(lines), text)
	}
	if lines := ringLines(r, true, time.Now()); len(lines) != 1002 {
		t.Errorf("with --all %d lines", len(lines))
	}
}

// What a thousand members say fits on a screen, whatever it is, and begins with
// what is unusual.
func TestExplainOfMany(t *testing.T) {
	for name, c := range map[string]struct {
		groups, silent, lines int
		want                  string
	}{
		"agreement":          {1, 0, 18, "and 992 more"},
		"many tables":        {100, 0, 38, "and 97 more tables"},
		"silence":            {1, 500, 26, "and none from 496 more"},
		"silence and tables": {500, 400, 44, "and 497 more tables"},
	} {
		t.Run(name, func(t *testing.T) {
			x := &explanation{Key: "k"}
			for i := range 1000 {
				who := fmt.Sprintf("node-%04d", i)
				if i < c.silent {
					x.Silent = append(x.Silent, silentNode{who, errorJSON{"Unavailable", "gone"}})
					continue
				}
				at := i % c.groups
				if at >= len(x.Groups) {
					x.Groups = append(x.Groups, viewGroup{})
					at = len(x.Groups) - 1
				}
				x.Groups[at].Members = append(x.Groups[at].Members, node.ExplainReply{Node: who, Ready: i != 999, LastChange: &node.TableChange{}})
			}
			x.Agree = len(x.Groups) == 1 && len(x.Silent) == 0
			lines := x.lines(false)
			text := strings.Join(lines, "\n")
			if len(lines) > c.lines || !strings.Contains(text, c.want) {
				t.Errorf("%d lines:\n%s", len(lines), text)
			}
			if c.groups == 1 && !strings.Contains(text, "node-0999") {
				t.Errorf("who is not ready is not shown:\n%s", text)
			}
			if all := strings.Join(x.lines(true), "\n"); strings.Count(all, "node-") != 1000 {
				t.Errorf("with all, %d members are shown", strings.Count(all, "node-"))
			}
		})
	}
}
