package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// sumIn reads the sums of all partitions of a directory.
func (l *lab) sumIn(dir string) (all sum) {
	l.Helper()
	i, err := Inspect(dir)
	if err != nil {
		l.Fatal(err)
	}
	defer func() {
		if err := i.Close(); err != nil {
			l.Error(err)
		}
	}()
	for _, h := range i.Holdings() {
		err := i.Read(h.Partition, "sums", func(_, value []byte) error {
			all.Sum += binary.LittleEndian.Uint64(value)
			all.Calls += binary.LittleEndian.Uint64(value[8:])
			return nil
		})
		if err != nil {
			l.Error(err)
		}
		if err := i.Read(h.Partition, "others", func(_, _ []byte) error { return errors.New("there is no such bucket") }); err != nil {
			l.Error(err)
		}
	}
	return all
}

// The state of a stopped node is what its handlers wrote, also of a partition that is
// on its way to another node.
func TestInspect(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	if _, err := Inspect(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
	a := l.start("a")
	for i := range uint64(20) {
		if _, err := a.await(a.enqueue(fmt.Sprint("k", i), &add{N: i})); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Inspect(a.dir); !errors.Is(err, ErrInUse) {
		t.Errorf("in use: %v", err)
	}
	gone := a.n.Table().Partition("k7")
	if _, err := a.box.ledger.Give(t.Context(), gone, "b"); err != nil {
		t.Fatal(err)
	}
	a.crash()
	if got := l.sumIn(a.dir); got != (sum{190, 20}) {
		t.Errorf("%+v", got)
	}
	i, err := Inspect(a.dir)
	if err != nil {
		t.Fatal(err)
	}
	list := i.Holdings()
	if last := list[len(list)-1]; i.Node() != "a" || len(list) != 64 || last.Partition != gone || last.To != "b" {
		t.Errorf("%s holds %d partitions, the last %+v", i.Node(), len(list), last)
	}
	if calls, err := i.Following(); err != nil || len(calls) != 0 {
		t.Errorf("%+v, %v", calls, err)
	}
	stop := errors.New("enough")
	if err := i.Read(gone, "sums", func(_, _ []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
	if err := i.Close(); err != nil {
		t.Error(err)
	}
}

// A damaged file of what was executed has the name that damage has here.
func TestInspectDamaged(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	a := l.start("a")
	if _, err := a.await(a.enqueue("k", &add{N: 1})); err != nil {
		t.Fatal(err)
	}
	a.crash()
	path := filepath.Join(a.dir, ledgerFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[30] ^= 1 // in the first meta page
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Inspect(a.dir); !errors.Is(err, ErrCorrupt) {
		t.Errorf("%v", err)
	}
	if _, err := Open(a.dir, Config{}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("%v", err)
	}
}
