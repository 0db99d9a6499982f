package outbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/meshnode/meshnode/internal/disk/faulty"
	"github.com/meshnode/meshnode/rpc"
)

// take enqueues a call that is not made: the box is not started.
func take(b *Box, i int) error {
	_, err := b.Add(context.Background(), rpc.DurableCall{ID: fmt.Sprint(i), Method: "m", Key: fmt.Sprint("k", i%3), Body: []byte(fmt.Sprint("body", i))})
	return err
}

// After a power failure at any write or sync of the log, with checkpoints and dead
// letters decided upon in between, every call that was taken is there, with what it
// carries.
func TestPowerFailure(t *testing.T) {
	t.Parallel()
	const calls = 30
	for at := 1; ; at++ {
		fs := faulty.New()
		ops := 0
		var failed *faulty.FS
		fs.Inject(func(op faulty.Op) error {
			if op.Kind == faulty.Write || op.Kind == faulty.Sync || op.Kind == faulty.SyncDir || op.Kind == faulty.Rename {
				if ops++; ops == at {
					failed = fs.Crash(uint64(at))
				}
			}
			if failed != nil {
				return syscall.EIO
			}
			return nil
		})
		taken := map[int]bool{}
		dir := t.TempDir()
		b, err := Open(dir, Config{fs: fs})
		for i := 0; err == nil && i < calls; i++ {
			if take(b, i) == nil && failed == nil {
				taken[i] = true
			}
			if i%10 == 5 {
				_ = b.Checkpoint()
			}
		}
		if b != nil {
			_ = b.Close()
		}
		if failed == nil {
			t.Logf("%d positions", at-1)
			return
		}
		checkTaken(t, at, dir, failed, taken)
	}
}

func checkTaken(t *testing.T, at int, dir string, fs *faulty.FS, taken map[int]bool) {
	t.Helper()
	_ = os.RemoveAll(filepath.Join(dir, ledgerFile))
	b, err := Open(dir, Config{fs: fs})
	if err != nil {
		t.Fatalf("failure at %d: %v", at, err)
	}
	defer b.Close()
	for i := range taken {
		l, err := b.Show(fmt.Sprint(i))
		if err != nil || l.State != "pending" || string(l.Request) != fmt.Sprint("body", i) {
			t.Fatalf("failure at %d: call %d: %+v, %v", at, i, l, err)
		}
	}
}

// What goes wrong with the disk is named, and nothing is taken that is not on it.
func TestDiskTrouble(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind faulty.Kind
		err  error
		code rpc.Code
	}{
		"full":          {faulty.Write, syscall.ENOSPC, rpc.ResourceExhausted},
		"write fails":   {faulty.Write, syscall.EIO, rpc.Unavailable},
		"fsync fails":   {faulty.Sync, syscall.EIO, rpc.Unavailable},
		"full at fsync": {faulty.Sync, syscall.ENOSPC, rpc.ResourceExhausted},
	} {
		t.Run(name, func(t *testing.T) {
			fs := faulty.New()
			dir := t.TempDir()
			b, err := Open(dir, Config{fs: fs})
			if err != nil {
				t.Fatal(err)
			}
			if err := take(b, 1); err != nil {
				t.Fatal(err)
			}
			bad := true
			fs.Inject(func(op faulty.Op) error {
				if bad && op.Kind == c.kind {
					return c.err
				}
				return nil
			})
			if err := take(b, 2); rpc.CodeOf(err) != c.code {
				t.Errorf("%v", err)
			}
			bad = false
			if err := take(b, 3); rpc.CodeOf(err) != c.code { // not trusted before it is opened again
				t.Errorf("afterwards: %v", err)
			}
			if s := b.Status(); s.Broken == "" || s.Pending != 1 {
				t.Errorf("%+v", s)
			}
			_ = b.Close()
			if b, err = Open(dir, Config{fs: fs}); err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			if err := take(b, 4); err != nil {
				t.Error(err)
			}
			for _, i := range []int{1, 4} {
				if _, err := b.Show(fmt.Sprint(i)); err != nil {
					t.Errorf("%d: %v", i, err)
				}
			}
		})
	}
}

// A flipped byte in the middle of the log is an error that names the file and the
// offset.
func TestDamage(t *testing.T) {
	t.Parallel()
	fs := faulty.New()
	dir := t.TempDir()
	b, err := Open(dir, Config{fs: fs})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if err := take(b, i); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, logDir)
	var file string
	for _, name := range fs.Names(log) {
		if strings.HasPrefix(filepath.Base(name), "log-") {
			file = filepath.Join(log, filepath.Base(name))
		}
	}
	fs.Flip(file, int64(len(fs.Get(file))/2), 0x10)
	if _, err = Open(dir, Config{fs: fs}); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "offset") {
		t.Errorf("%v", err)
	}
}
