package router

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestDiffReconciles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		params := drawParams(t, 8)
		old := mustNew(t, drawMembers(t, 10), params)
		members := old.Members()
		if len(members) > 0 && rapid.Bool().Draw(t, "remove") {
			members = members[1:]
		}
		for _, m := range drawMembers(t, 3) {
			if !slices.ContainsFunc(members, func(o Member) bool { return o.Name == m.Name }) {
				members = append(members, m)
			}
		}
		now := mustNew(t, members, params)
		moves, err := now.Diff(old)
		if err != nil {
			t.Fatalf("Diff: %v", err)
		}
		checkMoves(t, old, now, moves)
	})
}

// checkMoves applies moves to the old owners, which must give the new ones.
func checkMoves(t *rapid.T, old, now *Table, moves Moves) {
	owners := make([]string, now.Params().Partitions)
	for p := range owners {
		owners[p] = old.Owner(uint32(p))
	}
	for i, m := range moves {
		if m.From == m.To || m.From != owners[m.Partition] || i > 0 && moves[i-1].Partition >= m.Partition {
			t.Fatalf("move %+v after %+v, the owner was %q", m, moves[:i], owners[m.Partition])
		}
		owners[m.Partition] = m.To
	}
	for p, owner := range owners {
		if want := now.Owner(uint32(p)); owner != want {
			t.Fatalf("partition %d is with %q after the moves, want %q", p, owner, want)
		}
	}
	for _, m := range append(old.Members(), now.Members()...) {
		kept := len(old.Owned(m.Name)) - len(moves.Lost(m.Name))
		if got, want := kept+len(moves.Gained(m.Name)), len(now.Owned(m.Name)); got != want {
			t.Fatalf("%q has %d partitions after its gains and losses, want %d", m.Name, got, want)
		}
	}
}

func TestDiffOfNilAndEmpty(t *testing.T) {
	params := Params{Partitions: 32}
	table, empty := mustNew(t, named(3), params), mustNew(t, nil, params)
	for _, old := range []*Table{nil, empty} {
		moves, err := table.Diff(old)
		if err != nil || len(moves) != 32 || !slices.Equal(moves.Gained("node-1"), table.Owned("node-1")) {
			t.Errorf("from nothing: %v, %v", moves, err)
		}
	}
	moves, err := empty.Diff(table)
	if err != nil || len(moves) != 32 || !slices.Equal(moves.Lost("node-1"), table.Owned("node-1")) {
		t.Errorf("to nothing: %v, %v", moves, err)
	}
	if moves, err := empty.Diff(nil); err != nil || moves != nil {
		t.Errorf("from nothing to nothing: %v, %v", moves, err)
	}
	if moves, err := table.Diff(table); err != nil || moves != nil {
		t.Errorf("from a table to itself: %v, %v", moves, err)
	}
}

func TestDiffOfPartitionCounts(t *testing.T) {
	a, b := mustNew(t, named(3), Params{Partitions: 16}), mustNew(t, named(3), Params{Partitions: 32})
	if moves, err := a.Diff(b); !errors.Is(err, ErrPartitionsDiffer) || moves != nil {
		t.Errorf("Diff = %v, %v, want %v", moves, err, ErrPartitionsDiffer)
	}
}

func TestFingerprintCoversEverything(t *testing.T) {
	params := Params{Partitions: 16}
	base := []Member{{Name: "a", Zone: "z", Weight: 2}, {Name: "b"}}
	variants := []struct {
		name    string
		members []Member
		params  Params
	}{
		{"base", base, params},
		{"no members", nil, params},
		{"fewer members", base[:1], params},
		{"name", []Member{{Name: "ab", Zone: "z", Weight: 2}, {Name: "b"}}, params},
		{"zone", []Member{{Name: "a", Zone: "y", Weight: 2}, {Name: "b"}}, params},
		{"border of name and zone", []Member{{Name: "az", Weight: 2}, {Name: "b"}}, params},
		{"zone of the other", []Member{{Name: "a", Weight: 2}, {Name: "b", Zone: "z"}}, params},
		{"weight", []Member{{Name: "a", Zone: "z", Weight: 2.001}, {Name: "b"}}, params},
		{"weights exchanged", []Member{{Name: "a", Zone: "z"}, {Name: "b", Weight: 2}}, params},
		{"partitions", base, Params{Partitions: 32}},
		{"slack", base, Params{Partitions: 16, SlackPermille: 51}},
	}
	seen := make(map[Fingerprint]string)
	for _, v := range variants {
		f := mustNew(t, v.members, v.params).Fingerprint()
		if other, ok := seen[f]; ok {
			t.Errorf("%q and %q have the same fingerprint", v.name, other)
		}
		seen[f] = v.name
	}
	same := []Member{{Name: "b", Weight: 1.0004}, {Name: "a", Zone: "z", Weight: 2}}
	f := mustNew(t, same, Params{Partitions: 16, SlackPermille: DefaultSlackPermille}).Fingerprint()
	if seen[f] != "base" {
		t.Error("order, rounding or explicit defaults change the fingerprint")
	}
}

func TestParseFingerprint(t *testing.T) {
	for _, f := range []Fingerprint{0, 1, 0xabc, 1<<64 - 1} {
		got, err := ParseFingerprint(f.String())
		if err != nil || got != f || len(f.String()) != 16 {
			t.Errorf("ParseFingerprint(%q) = %v, %v", f.String(), got, err)
		}
	}
	for _, s := range []string{"", "abc", "0000000000000ABC", "00000000000000000", "000000000000000g", "+00000000000000a"} {
		if got, err := ParseFingerprint(s); !errors.Is(err, ErrFingerprint) || got != 0 {
			t.Errorf("ParseFingerprint(%q) = %v, %v", s, got, err)
		}
	}
}

func TestShares(t *testing.T) {
	table := mustNew(t, []Member{{Name: "b", Zone: "z", Weight: 3}, {Name: "a"}}, Params{Partitions: 1024})
	shares := table.Shares()
	if len(shares) != 2 || shares[0].Name != "a" || shares[1].Zone != "z" {
		t.Fatalf("shares %+v", shares)
	}
	if got := shares[0].Fraction + shares[1].Fraction; got != 1 {
		t.Errorf("fractions add to %v", got)
	}
	for i, fair := range []float64{256, 768} {
		if want := float64(shares[i].Partitions) / fair; shares[i].Load != want {
			t.Errorf("load of %q is %v, want %v", shares[i].Name, shares[i].Load, want)
		}
	}
	if want := max(shares[0].Load, shares[1].Load); table.Spread() != want {
		t.Errorf("spread %v, want %v", table.Spread(), want)
	}
	// 1024 * 1/4 * 1.05 and 1024 * 3/4 * 1.05, to the nearest
	if shares[0].Capacity != 269 || shares[1].Capacity != 806 {
		t.Errorf("capacities %d and %d, want 269 and 806", shares[0].Capacity, shares[1].Capacity)
	}
}

func TestString(t *testing.T) {
	tests := []struct{ members, lines int }{{0, 1}, {1, 3}, {printedMembers, printedMembers + 2}, {40, printedMembers + 3}}
	for _, test := range tests {
		table := mustNew(t, named(test.members), Params{Partitions: 64})
		s := table.String()
		if got := strings.Count(s, "\n"); got != test.lines || !strings.Contains(s, table.Fingerprint().String()) {
			t.Errorf("%d members: %d lines, want %d:\n%s", test.members, got, test.lines, s)
		}
	}
}

// TestStringShowsTheExtremes has a member of a small weight, which comes last by
// name and has the largest load.
func TestStringShowsTheExtremes(t *testing.T) {
	table := mustNew(t, append(named(100), Member{Name: "zz", Weight: 0.1}), Params{Partitions: 256})
	most := Share{}
	for _, s := range table.Shares() {
		if s.Load > most.Load {
			most = s
		}
	}
	lines := strings.Split(table.String(), "\n")
	if !strings.HasPrefix(lines[2], most.Name+" ") || most.Load != table.Spread() {
		t.Errorf("the most loaded is %+v:\n%s", most, table)
	}
	if !strings.HasPrefix(lines[2+printedMembers/2], "(85 more)") {
		t.Errorf("no line in the middle that says how many more there are:\n%s", table)
	}
}
