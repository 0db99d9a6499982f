package outbox

import (
	"path/filepath"
	"testing"

	"github.com/meshnode/meshnode/internal/ledger"
)

// A partition is on its way to a node that has promised not to take it, and the giver
// has not heard of that. It gets there all the same once that node owns it.
func TestRefusedUnheard(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.start("a")
	l.settled(a)
	b := &machine{l: l, name: "b", dir: t.TempDir()}
	l.nodes["b"] = b
	of, err := ledger.Open(filepath.Join(b.dir, ledgerFile), ledger.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for p := range uint32(64) {
		epoch, err := a.box.ledger.Give(t.Context(), p, "b")
		if err != nil {
			t.Fatal(err)
		}
		if err := of.Refuse(t.Context(), p, epoch); err != nil {
			t.Fatal(err)
		}
	}
	if err := of.Close(); err != nil {
		t.Fatal(err)
	}
	l.settled(a, l.start("b"))
}
