package node

import (
	"fmt"
	"testing"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// A frozen owner holds up calls for a few times Limits.Contact, without hedges too,
// and gets its calls back when it goes on. Package sim has the same in virtual time.
func TestFrozenOwner(t *testing.T) {
	t.Parallel()
	nodes, f := frozenLab(t, "a", "b", "c", "d")
	a := nodes["a"]
	keys := append(keysOwned(a, 5, "b", "c"), keysOwned(a, 5, "b", "a")...)
	for _, key := range keys {
		if _, err := safe.Call(t.Context(), a, &job{Key: "before " + key}, rpc.Key(key)); err != nil {
			t.Fatal(err)
		}
	}
	f.freeze()
	start := time.Now()
	for _, key := range keys {
		got, err := safe.Call(t.Context(), a, &job{Key: key, Do: "tell"}, rpc.Key(key), rpc.Timeout(patience))
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		if got.Node == "b" || a.Table().Has("b") && string(got.Data) != "true" {
			t.Errorf("%s was answered by %s, as a stand-in: %s", key, got.Node, got.Data)
		}
	}
	t.Logf("%d calls took %v", len(keys), time.Since(start))
	if got := a.Stats(); a.Table().Has("b") && (got["failovers"] == 0 || got["peers_silent"] == 0) {
		t.Errorf("%d failovers, %d silent peers", got["failovers"], got["peers_silent"])
	}
	f.goOn()
	eventually(t, "the owner serves again", func() error {
		got, err := safe.Call(t.Context(), a, &job{Key: "after", Do: "tell"}, rpc.Key(keys[0]))
		if err != nil || got.Node != "b" {
			return fmt.Errorf("answered by %+v, %v", got, err)
		}
		return nil
	})
}
