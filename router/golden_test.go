package router

import (
	"fmt"
	"testing"

	"github.com/cespare/xxhash/v2"
)

// The values in this file must never change on their own: processes that
// disagree on one of them disagree on owners. If a change is meant, change
// the name of the algorithm in fingerprint.go with it.

func TestGoldenHashes(t *testing.T) {
	table := mustNew(t, nil, Params{})
	logs := newLogTable()
	tests := []struct {
		name      string
		got, want uint64
	}{
		{"seed of a member", memberSeed("node-1"), 0x1664ee5e5c6b16a5},
		{"salt of a partition", partitionSalt(7), 0xc584133ac916ab3c},
		{"hash of a pair", mix64(memberSeed("node-1") ^ partitionSalt(7)), 0xad5f83ad3b7efe43},
		{"logarithm near 1", logs.negLog2(0xfff0_0000_0000_0000), 0x1716b8d86bc3},
		{"logarithm near 1/3", logs.negLog2(0x5555_5555_5555_5555), 0x195c01bab40eb80},
		{"partition of a key", uint64(table.Partition("user/42")), 0x3a27},
	}
	for _, test := range tests {
		if test.got != test.want {
			t.Errorf("%s is %#x, want %#x", test.name, test.got, test.want)
		}
	}
}

func TestGoldenTables(t *testing.T) {
	mixed := []Member{
		{Name: "alpha", Zone: "eu-1", Weight: 1},
		{Name: "beta", Zone: "eu-2", Weight: 2.5},
		{Name: "gamma", Zone: "eu-3", Weight: 0.1},
		{Name: "delta", Zone: "eu-1", Weight: 7.125},
		{Name: "epsilon", Weight: 1},
	}
	tests := []struct {
		name        string
		members     []Member
		params      Params
		fingerprint string
		owners      string
	}{
		{"mixed weights", mixed, Params{Partitions: 256, SlackPermille: 30}, "0f18f9445fc57f24", "2a0f9a0836198d8a"},
		{"equal weights", named(12), Params{Partitions: 256}, "d1812d08bb3efd19", "cb899b44264875b2"},
		{"default parameters", named(20), Params{}, "2a1b849b68eff066", "e0433f72cb4aad93"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			table := mustNew(t, test.members, test.params)
			if got := table.Fingerprint().String(); got != test.fingerprint {
				t.Errorf("fingerprint %s, want %s", got, test.fingerprint)
			}
			if got := hashOwners(table); got != test.owners {
				t.Errorf("owners hash to %s, want %s", got, test.owners)
			}
		})
	}
}

// hashOwners hashes all owners of all partitions, in order.
func hashOwners(table *Table) string {
	d := xxhash.New()
	for p := range table.Params().Partitions {
		fmt.Fprintf(d, "%d %q\n", p, table.Owners(p, table.Len(), nil))
	}
	return fmt.Sprintf("%016x", d.Sum64())
}
