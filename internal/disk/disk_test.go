package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// lockEnv names the file that a process of TestLock is to lock.
const lockEnv = "MESHNODE_TEST_LOCK"

func TestMain(m *testing.M) {
	if name := os.Getenv(lockEnv); name != "" {
		_, err := System().Lock(name)
		fmt.Println(err)
		_, _ = io.Copy(io.Discard, os.Stdin) // until the test has seen it
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func TestClassify(t *testing.T) {
	other := errors.New("other")
	path := func(err error) error { return &fs.PathError{Op: "write", Path: "x", Err: err} }
	for _, c := range []struct {
		err  error
		want error // nil: none
	}{
		{nil, nil},
		{other, nil},
		{path(syscall.EIO), nil},
		{path(syscall.ENOSPC), ErrFull},
		{fmt.Errorf("wrapped: %w", path(syscall.ENOSPC)), ErrFull},
		{path(syscall.EROFS), ErrReadOnly},
		{path(syscall.EACCES), ErrReadOnly},
		{path(fs.ErrPermission), ErrReadOnly},
		{path(fs.ErrNotExist), nil},
	} {
		got := Classify(c.err)
		for _, class := range []error{ErrFull, ErrReadOnly, ErrInUse} {
			if errors.Is(got, class) != (class == c.want) {
				t.Errorf("%v: is %v: %v", c.err, class, errors.Is(got, class))
			}
		}
		if !errors.Is(got, c.err) || Classify(got) != got {
			t.Errorf("%v became %v", c.err, got)
		}
		if c.err != nil && got.Error() != c.err.Error() {
			t.Errorf("%v says %v", c.err, got)
		}
	}
}

func TestSystem(t *testing.T) {
	fsys, dir := System(), filepath.Join(t.TempDir(), "a", "b")
	name := filepath.Join(dir, "file")
	if _, err := fsys.List(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	if err := errors.Join(fsys.MkdirAll(dir), fsys.MkdirAll(dir), fsys.SyncDir(dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := fsys.Open(name, os.O_RDWR); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	f, err := fsys.Open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fsys.Open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL); !errors.Is(err, fs.ErrExist) {
		t.Errorf("made twice: %v", err)
	}
	if _, err := f.WriteAt([]byte("abc"), 3); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 10)
	n, err := f.ReadAt(b, 0)
	if size, _ := f.Size(); n != 6 || err != io.EOF || !bytes.Equal(b[:6], []byte("\x00\x00\x00abc")) || size != 6 {
		t.Errorf("read %q, %v", b[:n], err)
	}
	if err := errors.Join(f.Truncate(4), f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Size(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if err := errors.Join(fsys.Rename(name, name+"2"), fsys.SyncDir(dir)); err != nil {
		t.Fatal(err)
	}
	if names, err := fsys.List(dir); err != nil || strings.Join(names, " ") != "file2" {
		t.Errorf("%q, %v", names, err)
	}
	if err := fsys.Remove(name + "2"); err != nil {
		t.Fatal(err)
	}
	if err := fsys.Remove(name + "2"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed twice: %v", err)
	}
}

// TestLock locks a file from this process, and from another one that is killed.
func TestLock(t *testing.T) {
	name := filepath.Join(t.TempDir(), "LOCK")
	held, err := System().Lock(name)
	if err != nil {
		t.Fatal(err)
	}
	var inUse *InUseError
	if _, err := System().Lock(name); !errors.As(err, &inUse) || !errors.Is(err, ErrInUse) || inUse.PID != os.Getpid() || inUse.Name != name {
		t.Errorf("locked twice: %v", err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), lockEnv+"="+name)
	stdin, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := other.StdoutPipe()
	if err == nil {
		err = other.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	line := make([]byte, len("<nil>\n"))
	if _, err := io.ReadFull(stdout, line); err != nil || string(line) != "<nil>\n" {
		t.Errorf("the other process: %q, %v", line, err)
	}
	if _, err := System().Lock(name); !errors.As(err, &inUse) || inUse.PID != other.Process.Pid {
		t.Errorf("the other process %d has it: %v", other.Process.Pid, err)
	}
	_ = other.Process.Kill()
	_ = other.Wait()
	held, err = System().Lock(name)
	if err != nil {
		t.Fatalf("after its death: %v", err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := System().Lock(filepath.Join(name, "below")); err == nil || errors.Is(err, ErrInUse) {
		t.Errorf("no folder: %v", err)
	}
}
