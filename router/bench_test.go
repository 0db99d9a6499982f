package router

import (
	"fmt"
	"testing"
)

// BenchmarkLookup looks up one key over and over, and many in turn, which then
// are all over the table: what the caches make of it.
func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{100, 1000} {
		table := mustNew(b, named(n), paramsFor(n))
		for _, count := range []int{1, 1 << 12} {
			keys := make([]string, count)
			for i := range keys {
				keys[i] = fmt.Sprintf("user/%010d", i)
			}
			b.Run(fmt.Sprintf("members=%d/keys=%d", n, count), func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					table.Lookup(keys[i&(count-1)])
					i++
				}
				b.ReportMetric(float64(table.Memory()), "bytes/table")
			})
		}
	}
}

func BenchmarkOwners(b *testing.B) {
	for _, members := range []int{100, 1000} {
		table := mustNew(b, named(members), paramsFor(members))
		for _, n := range []int{1, 2, 3, 20} {
			b.Run(fmt.Sprintf("members=%d/owners=%d", members, n), func(b *testing.B) {
				b.ReportAllocs()
				dst := make([]string, 0, n)
				var p uint32
				for b.Loop() {
					dst = table.Owners(p%DefaultPartitions, n, dst[:0])
					p++
				}
			})
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	tests := []struct {
		members    int
		partitions uint32
		mixed      bool
	}{
		{10, 1 << 14, false},
		{100, 1 << 14, false},
		{100, 1 << 14, true},
		{1000, 1 << 16, false},
		{1000, 1 << 16, true},
	}
	for _, test := range tests {
		members := named(test.members)
		name := fmt.Sprintf("members=%d/partitions=%d/mixed=%v", test.members, test.partitions, test.mixed)
		if test.mixed {
			for i := range members {
				members[i].Weight = float64(1 + i%4)
			}
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				mustNew(b, members, Params{Partitions: test.partitions})
			}
		})
	}
}

func BenchmarkDiff(b *testing.B) {
	old, now := mustNew(b, named(100), Params{}), mustNew(b, named(101), Params{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := now.Diff(old); err != nil {
			b.Fatal(err)
		}
	}
}
