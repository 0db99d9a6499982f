package router

import (
	"fmt"
	"testing"
)

func BenchmarkLookup(b *testing.B) {
	table := mustNew(b, named(100), Params{})
	b.ReportAllocs()
	for b.Loop() {
		table.Lookup("user/1234567890")
	}
}

func BenchmarkOwners(b *testing.B) {
	table := mustNew(b, named(100), Params{})
	for _, n := range []int{1, 3, 20} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
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
