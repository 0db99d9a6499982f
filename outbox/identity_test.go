package outbox

import (
	"testing"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

// What moves partitions is for members: a client is refused, also when a member carries its
// call, whatever name it gives.
func TestOnlyMembersMovePartitions(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a, b := l.start("a"), l.start("b")
	l.settled(a, b)
	c, err := node.Dial(t.Context(), a.n.Addr().String(), node.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for _, to := range []rpc.CallOption{rpc.Any(""), rpc.Peer("a"), rpc.Peer("b")} {
		for _, from := range []string{"", "a", "b", "c"} {
			_, err := whereMethod.Call(t.Context(), c, &whereRequest{From: from, Partitions: []uint32{1}}, to)
			if rpc.CodeOf(err) != rpc.PermissionDenied {
				t.Errorf("where, as %q: %v", from, err)
			}
			_, err = takeMethod.Call(t.Context(), c, &takeRequest{From: from, Partitions: []uint32{1}}, to)
			if rpc.CodeOf(err) != rpc.PermissionDenied {
				t.Errorf("take, as %q: %v", from, err)
			}
		}
		if _, err = refuseMethod.Call(t.Context(), c, &moving{1, 1}, to); rpc.CodeOf(err) != rpc.PermissionDenied {
			t.Errorf("refuse: %v", err)
		}
	}
	if _, err := whereMethod.Call(t.Context(), b.n, &whereRequest{From: "b", Partitions: []uint32{1}}, rpc.Peer("a")); err != nil {
		t.Errorf("a member: %v", err)
	}
	_, err = whereMethod.Call(t.Context(), b.n, &whereRequest{From: "a", Partitions: []uint32{1}}, rpc.Peer("a"))
	if rpc.CodeOf(err) != rpc.PermissionDenied {
		t.Errorf("a member for another: %v", err)
	}
}
