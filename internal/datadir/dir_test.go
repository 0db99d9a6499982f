package datadir

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, cfg Config) *Dir {
	t.Helper()
	d, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func closed(t *testing.T, d *Dir) {
	t.Helper()
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A directory belongs to who first used it, whoever asks later.
func TestIdentity(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "a")
	first := open(t, Config{Path: path, Name: "a", DefaultName: "host", DefaultCluster: "meshnode"})
	who := first.Identity()
	if who.Name != "a" || who.Cluster != "meshnode" || who.Created.IsZero() || first.Path() != path {
		t.Errorf("%+v at %s", who, first.Path())
	}
	closed(t, first)
	for name, c := range map[string]struct {
		cfg  Config
		want []string // in the error; nil: none
	}{
		"as before":       {Config{Name: "a", Cluster: "meshnode"}, nil},
		"without a name":  {Config{DefaultName: "other", DefaultCluster: "other"}, nil},
		"another name":    {Config{Name: "b"}, []string{path, `name "a", not "b"`, "--name a"}},
		"another cluster": {Config{Name: "a", Cluster: "prod"}, []string{path, `cluster "meshnode", not "prod"`, "--cluster meshnode"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.cfg.Path = path
			d, err := Open(c.cfg)
			if c.want == nil {
				if err != nil || d.Identity() != who {
					t.Fatalf("%+v, %v", d.Identity(), err)
				}
				closed(t, d)
				return
			}
			if !errors.Is(err, ErrOtherNode) {
				t.Fatalf("got %v", err)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error lacks %q: %v", part, err)
				}
			}
		})
	}
}

// A name that is refused is not written down, and the directory is free again.
func TestCheckedBeforeItIsWritten(t *testing.T) {
	path := t.TempDir()
	refused := errors.New("refused")
	_, err := Open(Config{Path: path, Name: "a/b", DefaultCluster: "c", Check: func(name, cluster string) error {
		if name != "a/b" || cluster != "c" {
			t.Errorf("checked are %q and %q", name, cluster)
		}
		return refused
	}})
	if !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	if d := open(t, Config{Path: path, Name: "b", DefaultCluster: "c"}); d.Identity().Name != "b" {
		t.Errorf("it is %+v", d.Identity())
	}
}

// A directory in use is refused with who uses it, and free when that has closed it.
func TestLock(t *testing.T) {
	cfg := Config{Path: t.TempDir(), Name: "a", DefaultCluster: "c"}
	first := open(t, cfg)
	_, err := Open(cfg)
	var used *InUseError
	if !errors.Is(err, ErrInUse) || !errors.As(err, &used) || used.PID != os.Getpid() || !strings.Contains(err.Error(), cfg.Path) {
		t.Errorf("got %v", err)
	}
	closed(t, first)
	if err := first.SavePeers(nil); !errors.Is(err, ErrClosed) {
		t.Errorf("saved after Close: %v", err)
	}
	open(t, cfg)
}

// Nobody else may read what is kept.
func TestPermissions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	d := open(t, Config{Path: path, Name: "a", DefaultCluster: "c"})
	if err := d.SavePeers(nil); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]os.FileMode{path: dirMode, d.PeersFile(): fileMode, filepath.Join(path, identityName): fileMode, filepath.Join(path, lockName): fileMode} {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want && runtime.GOOS != "windows" {
			t.Errorf("%s has %v, want %v", file, got, want)
		}
	}
}

// A directory that cannot be one, and an identity that cannot be read, are errors
// that name the path; nothing is written over.
func TestUnusable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, fileMode); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Path: filepath.Join(file, "a"), Name: "a"}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", err)
	}
	for text, want := range map[string]error{
		"": ErrDamaged, "{": ErrDamaged, "null": ErrDamaged, `[]`: ErrDamaged, `{"format":1}`: ErrDamaged, `{"format":1,"name":"a"}`: ErrDamaged,
		`{"format":-1,"name":"a","cluster":"c"}`: ErrDamaged, `{"name":"a","cluster":"c"}`: ErrDamaged, `{"format":1,"name":["a"],"cluster":"c"}`: ErrDamaged,
		`{"format":1,"name":"a","cluster":"c"}x`: ErrDamaged, `{"format":1,"name":"a","cluster":"c"}` + strings.Repeat(" ", maxIdentity): ErrDamaged,
		`{"format":2,"name":{"of":"another kind"}}`: ErrNewerFormat,
	} {
		path := t.TempDir()
		name := filepath.Join(path, identityName)
		if err := os.WriteFile(name, []byte(text), fileMode); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Config{Path: path, Name: "a", DefaultCluster: "c"}); !errors.Is(err, want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%.40q gives %v, want %v", text, err, want)
		}
		if left, err := os.ReadFile(name); err != nil || string(left) != text {
			t.Errorf("%.40q was changed to %q, %v", text, left, err)
		}
	}
}
