package main

import (
	"testing"

	"github.com/meshnode/meshnode/node"
)

// A change says who crashed and who left.
func TestWhoChanged(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]node.TableChange{
		"d joined":                           {Joined: []string{"d"}},
		"a left":                             {Left: []string{"a"}},
		"b crashed":                          {Left: []string{"b"}, Crashed: []string{"b"}},
		"d joined, a left, b crashed":        {Joined: []string{"d"}, Left: []string{"a", "b"}, Crashed: []string{"b"}},
		"a, b, c and 1 more left, e changed": {Left: []string{"a", "b", "c", "d"}, Changed: []string{"e"}},
	} {
		if got := whoChanged(&c); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
