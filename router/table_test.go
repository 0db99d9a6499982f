package router

import (
	"errors"
	"math"
	"slices"
	"testing"
)

func TestNewErrors(t *testing.T) {
	valid := []Member{{Name: "a"}}
	tests := []struct {
		name    string
		members []Member
		params  Params
		want    error
	}{
		{"no name", []Member{{Name: "a"}, {Zone: "z"}}, Params{}, ErrNoName},
		{"duplicate", []Member{{Name: "a"}, {Name: "b"}, {Name: "a", Zone: "z"}}, Params{}, ErrDuplicateName},
		{"weight too small", []Member{{Name: "a", Weight: 0.0994}}, Params{}, ErrWeight},
		{"weight too large", []Member{{Name: "a", Weight: 100.001}}, Params{}, ErrWeight},
		{"weight negative", []Member{{Name: "a", Weight: -1}}, Params{}, ErrWeight},
		{"weight NaN", []Member{{Name: "a", Weight: math.NaN()}}, Params{}, ErrWeight},
		{"weight infinite", []Member{{Name: "a", Weight: math.Inf(1)}}, Params{}, ErrWeight},
		{"weight tiny", []Member{{Name: "a", Weight: 5e-324}}, Params{}, ErrWeight},
		{"too many", make([]Member, MaxMembers+1), Params{}, ErrTooManyMembers},
		{"partitions odd", valid, Params{Partitions: 100}, ErrPartitions},
		{"partitions few", valid, Params{Partitions: 8}, ErrPartitions},
		{"partitions many", valid, Params{Partitions: 1 << 21}, ErrPartitions},
		{"partitions huge", valid, Params{Partitions: 1 << 31}, ErrPartitions},
		{"slack negative", valid, Params{SlackPermille: -1}, ErrSlack},
		{"slack large", valid, Params{SlackPermille: 1001}, ErrSlack},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			table, err := New(test.members, test.params)
			if !errors.Is(err, test.want) || table != nil {
				t.Errorf("New = %v, %v, want %v", table, err, test.want)
			}
		})
	}
}

func TestWeightsAreRounded(t *testing.T) {
	tests := []struct{ in, want float64 }{
		{0, 1},
		{math.Copysign(0, -1), 1},
		{1, 1},
		{0.1, 0.1},
		{100, 100},
		{0.0996, 0.1},
		{100.0004, 100},
		{1.2344, 1.234},
		{1.2346, 1.235},
		{33.333333, 33.333},
	}
	for _, test := range tests {
		table := mustNew(t, []Member{{Name: "a", Weight: test.in}}, Params{Partitions: 16})
		if m, ok := table.Member("a"); !ok || m.Weight != test.want {
			t.Errorf("weight %v became %v, want %v", test.in, m.Weight, test.want)
		}
	}
}

func TestParamsDefaults(t *testing.T) {
	table := mustNew(t, nil, Params{})
	want := Params{Partitions: DefaultPartitions, SlackPermille: DefaultSlackPermille}
	if got := table.Params(); got != want {
		t.Errorf("parameters %+v, want %+v", got, want)
	}
	if err := (Params{}).Validate(); err != nil {
		t.Errorf("the zero value: %v", err)
	}
}

func TestEmptyTable(t *testing.T) {
	table := mustNew(t, nil, Params{})
	p, owner := table.Lookup("key")
	if p >= DefaultPartitions || owner != "" {
		t.Errorf("Lookup = %d, %q", p, owner)
	}
	if got := table.Owners(p, 3, []string{"kept"}); !slices.Equal(got, []string{"kept"}) {
		t.Errorf("Owners = %q", got)
	}
	if table.Len() != 0 || len(table.Members()) != 0 || len(table.Shares()) != 0 || table.Spread() != 0 {
		t.Errorf("not empty: %v", table)
	}
	if _, ok := table.Member("a"); ok || table.Has("") || table.Capacity("a") != 0 || table.Owned("a") != nil {
		t.Error("has members")
	}
}

func TestOneMember(t *testing.T) {
	table := mustNew(t, []Member{{Name: "a", Weight: 3}}, Params{Partitions: 16})
	if got := len(table.Owned("a")); got != 16 {
		t.Errorf("owns %d partitions of 16", got)
	}
	checkTable(t, table)
}

func TestCapacity(t *testing.T) {
	tests := []struct {
		weights []float64
		params  Params
		want    []int
	}{
		{[]float64{1}, Params{Partitions: 16, SlackPermille: 1000}, []int{32}},
		{[]float64{1, 1}, Params{Partitions: 16, SlackPermille: 250}, []int{10, 10}},
		{[]float64{1, 1}, Params{Partitions: 16, SlackPermille: 315}, []int{11, 11}},
		{[]float64{1, 1, 1}, Params{Partitions: 16, SlackPermille: 1}, []int{6, 6, 6}}, // 5 each would not do
		{[]float64{1, 3}, Params{Partitions: 16, SlackPermille: 500}, []int{6, 18}},
		{[]float64{0.1, 100}, Params{}, []int{17, 17186}},
		{[]float64{100, 100}, Params{Partitions: MaxPartitions, SlackPermille: 1000}, []int{1 << 20, 1 << 20}},
	}
	for _, test := range tests {
		var members []Member
		for i, w := range test.weights {
			members = append(members, Member{Name: string(rune('a' + i)), Weight: w})
		}
		table := mustNew(t, members, test.params)
		for i, want := range test.want {
			if got := table.Capacity(members[i].Name); got != want {
				t.Errorf("weights %v, %+v: capacity %d is %d, want %d", test.weights, test.params, i, got, want)
			}
		}
	}
}

func TestMoreMembersThanPartitions(t *testing.T) {
	table := mustNew(t, named(300), Params{Partitions: 16})
	for _, s := range table.Shares() {
		if s.Partitions > 1 || s.Capacity != 1 {
			t.Errorf("%q holds %d partitions of at most %d", s.Name, s.Partitions, s.Capacity)
		}
	}
	checkTable(t, table)
}

func TestMostMembers(t *testing.T) {
	table := mustNew(t, named(MaxMembers), Params{Partitions: 16})
	for p := range uint32(16) {
		owners := table.Owners(p, 3, nil)
		if len(owners) != 3 || owners[0] != table.Owner(p) {
			t.Errorf("partition %d is owned by %q", p, owners)
		}
	}
}

func TestLookupsAgree(t *testing.T) {
	table := mustNew(t, named(7), Params{Partitions: 64})
	seen := make(map[uint32]bool)
	for _, key := range []string{"", "a", "user/42", "\x00\xff", string(make([]byte, 1000))} {
		p := table.Partition(key)
		seen[p] = true
		p1, owner1 := table.Lookup(key)
		p2, owner2 := table.LookupBytes([]byte(key))
		if p1 != p || p2 != p || table.PartitionBytes([]byte(key)) != p {
			t.Errorf("key %q is in partitions %d, %d and %d", key, p, p1, p2)
		}
		if want := table.Owner(p); owner1 != want || owner2 != want || p >= 64 {
			t.Errorf("partition %d of key %q is with %q and %q, want %q", p, key, owner1, owner2, want)
		}
	}
	if len(seen) < 2 {
		t.Errorf("all keys are in partitions %v", seen)
	}
}

func TestPartitionOutOfRange(t *testing.T) {
	table := mustNew(t, named(3), Params{Partitions: 16})
	for _, p := range []uint32{16, math.MaxUint32} {
		if owner, owners := table.Owner(p), table.Owners(p, 2, nil); owner != "" || len(owners) != 0 {
			t.Errorf("partition %d is with %q and %q", p, owner, owners)
		}
	}
}

func TestSlicesAreTheCallers(t *testing.T) {
	members := named(5)
	table := mustNew(t, members, Params{Partitions: 16})
	before := table.Fingerprint()
	members[0].Name = "other"
	table.Members()[1].Name = "other"
	table.Owned("node-2")[0] = 99
	again := mustNew(t, table.Members(), table.Params())
	if table.Has("other") || again.Fingerprint() != before {
		t.Error("a caller's slice is part of the table")
	}
	checkTable(t, table)
}

func TestOwnersAppends(t *testing.T) {
	table := mustNew(t, named(20), Params{Partitions: 16})
	for _, n := range []int{-1, 0, 1, fewOwners, fewOwners + 1, 99} {
		got := table.Owners(3, n, []string{"first"})
		if want := min(max(n, 0), 20) + 1; len(got) != want || got[0] != "first" {
			t.Errorf("Owners(%d) appended to one name: %q", n, got)
		}
	}
}

func TestLookupsDoNotAllocate(t *testing.T) {
	table := mustNew(t, named(50), Params{Partitions: 64})
	dst, key := make([]string, 0, fewOwners), []byte("user/42")
	allocs := testing.AllocsPerRun(100, func() {
		p, _ := table.Lookup("user/42")
		table.LookupBytes(key)
		dst = table.Owners(p, fewOwners, dst[:0])
		table.Has("node-3")
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
