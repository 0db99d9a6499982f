package router

import (
	"fmt"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// A table made by Later is the one that New gives, to the last bit, whichever
// tables it was made of, and whether those were asked or not.
func TestLaterEqualsNew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		params := drawParams(t, 6)
		table := mustNew(t, drawMembers(t, 8), params)
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			members := drawMembers(t, 8)
			next := table.Later
			if rapid.IntRange(0, 3).Draw(t, "with") == 0 {
				next = table.With
			}
			made, err := next(members)
			if err != nil {
				t.Fatal(err)
			}
			if fp, err := FingerprintOf(members, params); err != nil || fp != made.Fingerprint() {
				t.Fatalf("FingerprintOf gives %v, %v; the table has %v", fp, err, made.Fingerprint())
			}
			if rapid.Bool().Draw(t, "ask") {
				sameAsNew(t, made, members)
			}
			table = made
		}
		sameAsNew(t, table, table.Members())
		checkTable(t, table)
	})
}

// Later and FingerprintOf refuse what New refuses.
func TestLaterRefuses(t *testing.T) {
	table := mustNew(t, named(3), Params{})
	for _, members := range [][]Member{{{}}, {{Name: "a"}, {Name: "a"}}, {{Name: "a", Weight: -1}}} {
		_, want := New(members, Params{})
		_, later := table.Later(members)
		_, print := FingerprintOf(members, Params{})
		if want == nil || later == nil || print == nil || later.Error() != want.Error() || print.Error() != want.Error() {
			t.Errorf("%v: New %v, Later %v, FingerprintOf %v", members, want, later, print)
		}
	}
	if _, err := FingerprintOf(nil, Params{Partitions: 3}); err == nil {
		t.Error("three partitions")
	}
}

// A table that nobody has asked keeps none of those that it was made of, but the
// last whose owners are known.
func TestLaterKeepsOneTable(t *testing.T) {
	first := mustNew(t, named(4), Params{Partitions: 64})
	table := first
	for i := range 5 {
		next, err := table.Later(named(5 + i))
		if err != nil {
			t.Fatal(err)
		}
		if next.later.from != first {
			t.Fatalf("step %d hangs on another table", i)
		}
		table = next
	}
	table.Owner(0)
	if table.later.from != nil {
		t.Error("it keeps the table that it was made of")
	}
	next, err := table.Later(named(3))
	if err != nil || next.later.from != table {
		t.Errorf("it hangs on another table: %v", err)
	}
}

// Many ask at once, for each of a chain of tables; all get the same answers.
func TestLaterAskedAtOnce(t *testing.T) {
	for round := range 20 {
		first := mustNew(t, named(4), Params{Partitions: 256})
		tables := []*Table{first}
		for i := range 4 {
			next, err := tables[i].Later(named(5 + (i+round)%4))
			if err != nil {
				t.Fatal(err)
			}
			tables = append(tables, next)
		}
		last := tables[len(tables)-1]
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				for i := range tables {
					table := tables[(i+g)%len(tables)]
					table.Lookup(fmt.Sprint("key", g, i))
					table.Owned("m1")
				}
				if _, err := last.Diff(first); err != nil {
					t.Error(err)
				}
				if next, err := last.Later(named(2 + g)); err != nil {
					t.Error(err)
				} else {
					next.Owner(1)
				}
			})
		}
		wg.Wait()
		for _, table := range tables {
			sameAsNew(t, table, table.Members())
		}
	}
}
