package exact

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A program is built once for the same sources: those it consists of, and no
// others.
func TestBuildOnce(t *testing.T) {
	slow(t)
	m, cache := newModule(t), t.TempDir()
	first, compiled, err := m.build(cache)
	if err != nil || compiled != 1 {
		t.Fatalf("first build: %v, compiled %d times", err, compiled)
	}
	if first.Embedded || !strings.HasPrefix(first.GoVersion, "go1.") || len(first.Hash) != 64 {
		t.Errorf("program: embedded %v, %q, hash %q", first.Embedded, first.GoVersion, first.Hash)
	}
	for _, step := range []struct {
		name, file, text string
		compiled         int
	}{
		{name: "nothing changed"},
		{"a test", "tiny/main_test.go", "package main // changed\n", 0},
		{"another package", "other/other.go", "package other // changed\n", 0},
		{"an embedded file", "tiny/text.txt", "two", 1},
		{"go.mod", "go.mod", "module " + ours + "\n\ngo 1.26\n", 1},
		{"another file of the package", "tiny/more.go", "package main\n", 1},
		{"the stand-in", "internal/exact/sockaddr/a.go", "package sockaddr\n", 1},
		{"nothing changed since", "tiny/main_test.go", "package main\n", 0},
	} {
		if step.file != "" {
			m.write(step.file, step.text)
		}
		p, compiled, err := m.build(cache)
		if err != nil || compiled != step.compiled {
			t.Fatalf("%s: %v, compiled %d times, want %d", step.name, err, compiled, step.compiled)
		}
		if changed := !bytes.Equal(p.Wasm, first.Wasm); changed != (p.Hash != first.Hash) {
			t.Errorf("%s: the hash does not tell that the program changed: %v", step.name, changed)
		}
	}
	if left := append(entries(t, cache, buildPrefix), entries(t, cache, newPrefix)...); len(left) > 0 {
		t.Errorf("left in the cache: %v", left)
	}
}

func TestBuildErrors(t *testing.T) {
	slow(t)
	ctx, cache := t.Context(), t.TempDir()
	other := module{t, t.TempDir()}
	other.write("go.mod", "module example.com/other\n\ngo 1.26.0\n")
	broken := newModule(t)
	broken.write("tiny/main.go", "package main\n\nfunc main() { undefined() }\n")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(ctx)
	end()
	for _, test := range []struct {
		name string
		ctx  context.Context
		cfg  BuildConfig
		want error
		text string
	}{
		{"no folder", ctx, BuildConfig{Dir: filepath.Join(cache, "none"), Cache: cache}, ErrNoSource, "none"},
		{"no module", ctx, BuildConfig{Dir: t.TempDir(), Cache: cache}, ErrNoSource, "not a folder of module"},
		{"another module", ctx, BuildConfig{Dir: other.dir, Cache: cache}, ErrNoSource, "not a folder of module"},
		{"no package", ctx, BuildConfig{Dir: broken.dir, Package: "./none", Cache: cache}, ErrBuild, "none"},
		{"bad code", ctx, BuildConfig{Dir: broken.dir, Package: "./tiny", Cache: cache}, ErrBuild, "undefined: undefined"},
		{"bad cache", ctx, BuildConfig{Dir: newModule(t).dir, Package: "./tiny", Cache: file}, ErrCache, "file"},
		{"ended", ended, BuildConfig{Dir: broken.dir, Package: "./tiny", Cache: cache}, context.Canceled, ""},
	} {
		_, err := Build(test.ctx, test.cfg)
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v, want %v with %q", test.name, err, test.want, test.text)
		}
	}
}

func TestBuildWithoutGo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Build(t.Context(), BuildConfig{Dir: newModule(t).dir, Cache: t.TempDir()})
	if !errors.Is(err, ErrNoGo) {
		t.Errorf("without a go command: %v, want ErrNoGo", err)
	}
}

// Outside of all modules, only an executable of a released version knows where
// its sources are, and this one isn't. A module that requires this one says it.
func TestBuildFindsTheSources(t *testing.T) {
	slow(t)
	ctx := t.Context()
	here, err := findSource(ctx, filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if dir, err := findSource(ctx, ""); err != nil || dir != here {
		t.Errorf("below the module: %q, %v, want %q", dir, err, here)
	}
	user := module{t, t.TempDir()}
	t.Chdir(user.dir)
	if _, err := findSource(ctx, ""); !errors.Is(err, ErrNoSource) || !strings.Contains(err.Error(), "checkout") {
		t.Errorf("outside of modules: %v, want ErrNoSource and what to do", err)
	}
	user.write("go.mod", "module example.com/user\n\ngo 1.26.0\n")
	if _, err := findSource(ctx, ""); !errors.Is(err, ErrNoSource) {
		t.Errorf("in a module without ours: %v, want ErrNoSource", err)
	}
	ours2 := newModule(t)
	user.write("go.mod", "module example.com/user\n\ngo 1.26.0\n\nrequire "+ours+" v0.0.0\n\nreplace "+ours+" => "+ours2.dir+"\n")
	if dir, err := findSource(ctx, ""); err != nil || dir != ours2.dir {
		t.Errorf("in a module that requires ours: %q, %v, want %q", dir, err, ours2.dir)
	}
}
