package outbox

import (
	"errors"
	"testing"

	"github.com/meshnode/meshnode/rpc"
)

// A refusal that somebody was told of is on the disk: the call is not made after all
// when the process dies at that moment.
func TestRefusalIsDurable(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.start("a")
	for range 5 {
		id := a.enqueue("k", &add{N: 1, Fail: "FailedPrecondition"})
		if _, err := a.await(id); !errors.Is(err, rpc.FailedPrecondition) {
			t.Fatal(err)
		}
		found, err := Open(a.dir, Config{ReadOnly: true}) // what would be found after kill -9
		if err != nil {
			t.Fatal(err)
		}
		if letter, err := found.Show(id); err != nil || letter.State != "dead" {
			t.Errorf("%+v, %v", letter, err)
		}
		if err := found.Close(); err != nil {
			t.Error(err)
		}
	}
}
