package simhook

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/meshnode/meshnode/internal/planted"
	"github.com/meshnode/meshnode/router"
)

func members(from, to int) []router.Member {
	var list []router.Member
	for i := from; i < to; i++ {
		list = append(list, router.Member{Name: fmt.Sprintf("n%d", i), Zone: string("xy"[i%2])})
	}
	return list
}

func newTable(t testing.TB, list []router.Member) *router.Table {
	t.Helper()
	table, err := router.New(list, router.Params{Partitions: 256})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// same checks that a table is the one that router.New gives.
func same(t testing.TB, got *router.Table) {
	t.Helper()
	want := newTable(t, got.Members())
	if got.Fingerprint() != want.Fingerprint() {
		t.Errorf("fingerprint %v, want %v", got.Fingerprint(), want.Fingerprint())
	}
	for p := range want.Params().Partitions {
		if a, b := got.Owners(p, 3, nil), want.Owners(p, 3, nil); !slices.Equal(a, b) {
			t.Fatalf("partition %d is owned by %v, want %v", p, a, b)
		}
	}
}

// Nothing set changes nothing.
func TestNoHooks(t *testing.T) {
	for _, h := range []*Hooks{nil, {}} {
		old := newTable(t, members(0, 5))
		next, err := h.With(old, members(0, 6))
		if err != nil {
			t.Fatal(err)
		}
		same(t, next)
		moves, err := h.Diff(old, next)
		want, _ := next.Diff(old)
		if err != nil || fmt.Sprint(moves) != fmt.Sprint(want) {
			t.Errorf("%v, %v; want %v", moves, err, want)
		}
		h.Publish(old, next)
		if !h.Accounts() || h.Planted() != (planted.Bugs{}) {
			t.Error("something is set")
		}
	}
}

func TestHooksAreTold(t *testing.T) {
	var got []*router.Table
	h := &Hooks{Published: func(old, next *router.Table) { got = append(got, old, next) }, Bugs: planted.Bugs{StaleTable: true}}
	a, b := newTable(t, members(0, 3)), newTable(t, members(0, 4))
	h.Publish(a, a) // no change
	h.Publish(a, b)
	if !slices.Equal(got, []*router.Table{a, b}) || !h.Planted().StaleTable {
		t.Errorf("told of %d tables", len(got))
	}
}

// A table is made once, whoever asks for it and whatever it is made of.
func TestTablesAreShared(t *testing.T) {
	tables := NewTables()
	h := &Hooks{Tables: tables}
	first, err := h.With(newTable(t, members(0, 5)), members(0, 8))
	if err != nil {
		t.Fatal(err)
	}
	list := members(0, 8)
	slices.Reverse(list)
	again, err := h.With(newTable(t, members(3, 20)), list)
	if err != nil || again != first {
		t.Errorf("another table: %v", err)
	}
	same(t, first)
	if asked, made := tables.Counts(); asked != 2 || made != 1 {
		t.Errorf("%d asked, %d made", asked, made)
	}
	if _, err := h.With(first, []router.Member{{}}); err == nil {
		t.Error("a member without a name")
	}
	other, err := router.New(members(0, 8), router.Params{Partitions: 512})
	if err != nil {
		t.Fatal(err)
	}
	if table, err := h.With(other, members(0, 8)); err != nil || table.Params().Partitions != 512 {
		t.Errorf("other parameters, and the same table: %v", err)
	}
}

// Later changes when owners are found, and not which.
func TestLater(t *testing.T) {
	tables := NewTables()
	h := &Hooks{Tables: tables}
	if !h.Accounts() {
		t.Error("no accounts")
	}
	tables.Later()
	if h.Accounts() {
		t.Error("accounts for all")
	}
	table := newTable(t, nil)
	for i := range 10 {
		next, err := h.With(table, members(i, 2*i+3))
		if err != nil {
			t.Fatal(err)
		}
		table = next
	}
	same(t, table)
}

// What is kept is bounded, and what was dropped is made again.
func TestTablesAreBounded(t *testing.T) {
	tables := NewTables()
	tables.Later()
	h := &Hooks{Tables: tables}
	first := newTable(t, members(0, 1))
	for i := range keepTables + 10 {
		next, err := h.With(first, members(i, i+2))
		if err != nil {
			t.Fatal(err)
		}
		if i < 3 {
			if _, err := h.Diff(first, next); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(tables.tables) != keepTables || len(tables.order) != keepTables || len(tables.moves) != 3 {
		t.Errorf("%d tables in %d, %d moves", len(tables.tables), len(tables.order), len(tables.moves))
	}
	again, err := h.With(first, members(0, 2))
	if err != nil {
		t.Fatal(err)
	}
	same(t, again)
}

func TestDiff(t *testing.T) {
	h := &Hooks{Tables: NewTables()}
	a, b := newTable(t, members(0, 5)), newTable(t, members(1, 7))
	want, err := b.Diff(a)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got, err := h.Diff(a, b)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v, %v; want %v", got, err, want)
		}
	}
	if back, err := h.Diff(b, a); err != nil || fmt.Sprint(back) == fmt.Sprint(want) {
		t.Errorf("there and back are the same: %v", err)
	}
	other, err := router.New(nil, router.Params{Partitions: 512})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Diff(a, other); err == nil {
		t.Error("tables that cannot be compared")
	}
}

// Many nodes ask at once.
func TestConcurrently(t *testing.T) {
	tables := NewTables()
	h := &Hooks{Tables: tables}
	var wg sync.WaitGroup
	got := make([]*router.Table, 8)
	for g := range got {
		wg.Go(func() {
			table := newTable(t, nil)
			for i := range 20 {
				next, err := h.With(table, members(0, 3+(i+g)%7))
				if err != nil {
					t.Error(err)
					return
				}
				next.Lookup("key")
				if _, err := h.Diff(table, next); err != nil {
					t.Error(err)
				}
				table = next
				if i == 10 {
					tables.Later()
				}
			}
			got[g], _ = h.With(table, members(0, 5))
		})
	}
	wg.Wait()
	for _, table := range got {
		if table != got[0] {
			t.Fatal("nodes have tables of their own")
		}
	}
	same(t, got[0])
	if asked, made := tables.Counts(); asked != 168 || made != 7 {
		t.Errorf("%d asked, %d made", asked, made)
	}
}
