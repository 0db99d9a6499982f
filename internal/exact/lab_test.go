package exact

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lab is a cache of its own and what was built of this module into it.
type lab struct {
	cache string

	mu    sync.Mutex
	built map[string]*Program
}

func newLab(t *testing.T) *lab {
	return &lab{cache: t.TempDir(), built: make(map[string]*Program)}
}

// slow skips a test that builds programs.
func slow(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("NOT TESTED with -short: building programs for wasip1 and running them, which takes up to a minute")
	}
}

// program gives a main package of this module.
func (l *lab) program(t *testing.T, pkg string) *Program {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.built[pkg] == nil {
		p, err := Build(t.Context(), BuildConfig{
			Dir: filepath.Join("..", ".."), Package: pkg, Cache: l.cache, Progress: func(what string) { t.Log(what) },
		})
		if err != nil {
			t.Fatal(err)
		}
		l.built[pkg] = p
	}
	return l.built[pkg]
}

// ran is what a run gave.
type ran struct {
	stdout, stderr string
	res            *Result
	err            error
}

func (l *lab) run(ctx context.Context, p *Program, cfg RunConfig) ran {
	var stdout, stderr bytes.Buffer
	cfg.Stdout, cfg.Stderr, cfg.Cache = &stdout, &stderr, l.cache
	res, err := Run(ctx, p, cfg)
	return ran{stdout.String(), stderr.String(), res, err}
}

// module is a copy of this module as Build sees it: its name, and one program
// that prints a text.
type module struct {
	t   *testing.T
	dir string
}

func newModule(t *testing.T) module {
	m := module{t, t.TempDir()}
	m.write("go.mod", "module "+ours+"\n\ngo 1.26.0\n")
	m.write("tiny/main.go", `package main

import _ "embed"

//go:embed text.txt
var text string

func main() { print(text) }
`)
	m.write("tiny/text.txt", "one")
	m.write("tiny/main_test.go", "package main\n")
	m.write("other/other.go", "package other\n")
	return m
}

func (m module) write(name, text string) {
	m.t.Helper()
	name = filepath.Join(m.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// build builds the program and tells how often that took the compiler.
func (m module) build(cache string) (p *Program, compiled int, err error) {
	p, err = Build(m.t.Context(), BuildConfig{
		Dir: m.dir, Package: "./tiny", Cache: cache, Progress: func(string) { compiled++ },
	})
	return p, compiled, err
}

// entries gives the names in a cache that begin with prefix.
func entries(t *testing.T, cache, prefix string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(cache, prefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}
