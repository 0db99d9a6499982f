package node

import (
	"bytes"
	"context"
	"testing"

	"github.com/meshnode/meshnode/rpc"
)

// Whatever way a call takes, rpc.Into has the reply in the caller's memory.
func TestIntoHoldsTheReply(t *testing.T) {
	nodes := newLab(t).cluster("a", "b")
	a := nodes[0]
	client, err := Dial(t.Context(), a.Addr().String(), ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	for name, option := range map[string]rpc.MethodOption{
		"worker": rpc.Idempotent(), "inline": rpc.Inline(), "compressed": rpc.Compress(rpc.S2),
	} {
		echo := rpc.NewMethod[[]byte, []byte]("test.Into."+name, option)
		for _, n := range nodes {
			echo.Handle(n, func(_ context.Context, req *[]byte) (*[]byte, error) { return req, nil })
		}
		for where, from := range map[string]rpc.Caller{"a": a, "b": a, "a by a client": client} {
			buf := []byte("what was there before")
			for _, size := range []int{0, 10, 5000, 100_000, 7} {
				body := bytes.Repeat([]byte{byte(size)}, size)
				got, err := echo.Call(t.Context(), from, &body, rpc.Peer(where[:1]), rpc.Into(&buf))
				if err != nil || got != &buf || !bytes.Equal(buf, body) {
					t.Errorf("%s at %s, %d bytes: %d in memory, its pointer %v, %v", name, where, size, len(buf), got == &buf, err)
				}
			}
		}
	}
}
