package router

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// sameAsNew checks that a table is the one that New gives for its members, in
// everything that it consists of.
func sameAsNew(t fataler, got *Table, members []Member) {
	t.Helper()
	want, err := New(members, got.params)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	switch {
	case got.Fingerprint() != want.Fingerprint():
		t.Fatalf("fingerprint %v, want %v", got.Fingerprint(), want.Fingerprint())
	case !slices.Equal(got.members, want.members):
		t.Fatalf("members %v, want %v", got.members, want.members)
	case !slices.Equal(got.place().primary, want.place().primary):
		t.Fatalf("primaries %v, want %v", got.place().primary, want.place().primary)
	case !slices.Equal(got.bounds, want.bounds) || !slices.Equal(got.place().counts, want.place().counts):
		t.Fatalf("bounds %v and counts %v, want %v and %v", got.bounds, got.place().counts, want.bounds, want.place().counts)
	case !slices.Equal(got.zones, want.zones) || got.zoneCount != want.zoneCount || got.shift != want.shift:
		t.Fatalf("zones %v (%d), want %v (%d)", got.zones, got.zoneCount, want.zones, want.zoneCount)
	}
	if a, b := sortedRefusals(got), sortedRefusals(want); !slices.Equal(a, b) {
		t.Fatalf("refusals %v, want %v", a, b)
	}
}

func sortedRefusals(t *Table) []refusal {
	return slices.SortedFunc(slices.Values(t.place().turned), func(a, b refusal) int {
		return cmp.Or(cmp.Compare(a.partition, b.partition), cmp.Compare(a.member, b.member))
	})
}

// history changes members at random: one byte of each step says what happens.
func history(steps []byte, params Params, check func(t *Table, members []Member)) error {
	table, err := New(nil, params)
	if err != nil {
		return err
	}
	var members []Member
	for i, step := range steps {
		switch at := int(step>>3) % max(len(members), 1); {
		case step&7 < 3 || len(members) == 0:
			members = dedupe(append(members, Member{
				Name: fmt.Sprintf("m%d", (int(step)*7+i)%97), Zone: string("xyz"[step%3]), Weight: weightOf(step),
			}))
		case step&7 < 5:
			members = slices.Delete(members, at, at+1)
		case step&7 == 5:
			members[at].Weight = weightOf(step ^ byte(i))
		case step&7 == 6:
			members[at].Zone = string("xyz"[(int(step)+i)%3])
		default: // nothing changes but the order
			members = append(members[at:], members[:at]...)
		}
		members = slices.Clone(members)
		if table, err = table.With(members); err != nil {
			return err
		}
		check(table, members)
	}
	return nil
}

func weightOf(step byte) float64 {
	return []float64{0, 1, 1, 1, 0.1, 2.5, 100}[step%7]
}

// dedupe drops the last member if its name is there already.
func dedupe(members []Member) []Member {
	last := len(members) - 1
	if slices.ContainsFunc(members[:last], func(m Member) bool { return m.Name == members[last].Name }) {
		return members[:last]
	}
	return members
}

func TestWithEqualsNew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		params := Params{
			Partitions:    1 << rapid.IntRange(4, 9).Draw(t, "partitions"),
			SlackPermille: rapid.IntRange(1, MaxSlackPermille).Draw(t, "slack"),
		}
		steps := rapid.SliceOfN(rapid.Byte(), 1, 60).Draw(t, "steps")
		err := history(steps, params, func(table *Table, members []Member) { sameAsNew(t, table, members) })
		if err != nil {
			t.Fatalf("%v", err)
		}
	})
}

// In larger clusters most changes are made step by step.
func TestWithEqualsNewAtScale(t *testing.T) {
	for seed := range uint64(4) {
		random := rand.New(rand.NewPCG(seed, 5))
		params := Params{Partitions: 1 << 12, SlackPermille: []int{1, 20, 50, 300}[seed]}
		var members []Member
		for i := range 120 {
			members = append(members, Member{Name: fmt.Sprint("node-", i), Weight: []float64{1, 1 + float64(seed)*random.Float64()}[i%2]})
		}
		table, err := New(members, params)
		if err != nil {
			t.Fatal(err)
		}
		for step := range 40 {
			members = slices.Clone(members)
			for range 1 + random.IntN(4) {
				switch at := random.IntN(len(members)); random.IntN(6) {
				case 0, 1:
					members = slices.Delete(members, at, at+1)
				case 2, 3:
					members = dedupe(append(members, Member{Name: fmt.Sprintf("new-%d-%d", step, at), Weight: 1}))
				case 4:
					members[at].Weight = 0.1 + 5*random.Float64()
				default:
					members[at].Zone = fmt.Sprint("zone-", random.IntN(4))
				}
			}
			if table, err = table.With(members); err != nil {
				t.Fatal(err)
			}
			sameAsNew(t, table, members)
		}
	}
}

// One of a few members takes over hundreds of thousands of partitions, or gives
// them back. That takes a fraction of a second, which it does not when each of them
// is looked for in a list of all.
func TestWithFewMembersOfManyPartitions(t *testing.T) {
	members := named(3)
	table := mustNew(t, members[:1], Params{Partitions: 1 << 18})
	for _, n := range []int{2, 3, 2, 1} {
		next, err := table.With(members[:n])
		if err != nil {
			t.Fatal(err)
		}
		table = next
		sameAsNew(t, table, members[:n])
	}
}

func FuzzWith(f *testing.F) {
	f.Add(byte(4), byte(50), []byte("\x00\x08\x10\x18\x20\x28\x03\x05\x0e\x00\x13"))
	f.Add(byte(8), byte(1), []byte("\x00\x01\x02\x08\x09\x0a\x10\x11\x12\x04\x0c\x14\x0d\x15"))
	f.Fuzz(func(t *testing.T, partitions, slack byte, steps []byte) {
		params := Params{Partitions: 1 << (4 + partitions%6), SlackPermille: 1 + int(slack)*3}
		err := history(steps[:min(len(steps), 80)], params, func(table *Table, members []Member) { sameAsNew(t, table, members) })
		if err != nil {
			t.Fatal(err)
		}
	})
}

// BenchmarkWith joins and leaves one member, in the middle of the order of names.
func BenchmarkWith(b *testing.B) {
	for _, c := range []struct {
		members    int
		partitions uint32
		kind       string
		weight     float64
	}{{3, 1 << 18, "equal", 1}, {100, 1 << 14, "equal", 1}, {1000, 1 << 16, "equal", 1}, {1000, 1 << 16, "weighted", 2}} {
		var members []Member
		for i := range c.members {
			members = append(members, Member{Name: fmt.Sprintf("node-%04d", i*2), Weight: []float64{1, c.weight}[i%2]})
		}
		small, err := New(members, Params{Partitions: c.partitions})
		if err != nil {
			b.Fatal(err)
		}
		more := append(slices.Clone(members), Member{Name: fmt.Sprintf("node-%04d", c.members|1), Weight: 1})
		large, err := small.With(more)
		if err != nil {
			b.Fatal(err)
		}
		for name, change := range map[string]func() (*Table, error){
			"join":  func() (*Table, error) { return small.With(more) },
			"leave": func() (*Table, error) { return large.With(members) },
			"new":   func() (*Table, error) { return New(more, Params{Partitions: c.partitions}) },
		} {
			b.Run(fmt.Sprintf("%s/%d/%s", name, c.members, c.kind), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := change(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(large.Memory()), "bytes/table")
			})
		}
	}
}
