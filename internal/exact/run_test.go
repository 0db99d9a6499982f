package exact

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const probe = "./internal/exact/testdata/probe"

func TestRun(t *testing.T) {
	slow(t)
	l := newLab(t)
	p := l.program(t, probe)
	for name, test := range map[string]func(*testing.T, *lab, *Program){
		"chance": testChance, "virtual time": testVirtualTime, "world": testWorld, "errors": testErrors,
		"compiled once": testCompiledOnce,
	} {
		t.Run(name, func(t *testing.T) { test(t, l, p) })
	}
}

// Chance in a program comes from the seed alone.
func testChance(t *testing.T, l *lab, p *Program) {
	seen := make(map[string]uint64)
	for seed := range uint64(3) {
		var first ran
		for i := range 3 {
			r := l.run(t.Context(), p, RunConfig{Args: []string{"chance"}, Seed: seed})
			if r.err != nil {
				t.Fatal(r.err, r.stderr)
			}
			if i == 0 {
				first = r
			} else if r.stdout != first.stdout {
				t.Errorf("seed %d gives\n%s\nand\n%s", seed, first.stdout, r.stdout)
			}
		}
		if other, ok := seen[first.stdout]; ok {
			t.Errorf("seeds %d and %d give the same", seed, other)
		}
		seen[first.stdout] = seed
	}
}

// The clock moves by what the program sleeps.
func testVirtualTime(t *testing.T, l *lab, p *Program) {
	for want, cfg := range map[string]RunConfig{
		"2000-01-01T00:00:00Z": {},
		"2031-05-06T07:08:09Z": {Start: time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)},
	} {
		cfg.Args = []string{"clock"}
		r := l.run(t.Context(), p, cfg)
		if want += "\n0s\n36h0m0s\n36h0m0.000000001s\n"; r.err != nil || r.stdout != want {
			t.Errorf("%v, clock:\n%swant:\n%s", r.err, r.stdout, want)
		}
		if r.res.Virtual < 36*time.Hour || r.res.Virtual > 36*time.Hour+time.Second || r.res.Sleeps == 0 || r.res.Memory < 1<<20 {
			t.Errorf("result: %+v", r.res)
		}
	}
}

// The program gets its arguments and input, and nothing else of this process. It
// does not profile its memory (see RunConfig.module).
func testWorld(t *testing.T, l *lab, p *Program) {
	text := strings.Repeat("in and out\n", 10_000)
	t.Setenv("GOGC", "50") // not for the program
	r := l.run(t.Context(), p, RunConfig{Args: []string{"echo", "a", "b c"}, Stdin: strings.NewReader(text)})
	if r.err != nil || r.stdout != text || r.stderr != "[\"a\" \"b c\"] 400 0\n" {
		t.Errorf("%v, %d bytes of %d come back, stderr %q", r.err, len(r.stdout), len(text), r.stderr)
	}
	if r := l.run(t.Context(), p, RunConfig{Args: []string{"echo"}, GCPercent: -1}); r.stderr != "[] off 0\n" {
		t.Errorf("without collections: stderr %q", r.stderr)
	}
}

func testErrors(t *testing.T, l *lab, p *Program) {
	ctx := t.Context()
	brief, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	exit := func(code uint32) func(error) bool {
		return func(err error) bool {
			var e *ExitError
			return errors.As(err, &e) && e.Code == code
		}
	}
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	for _, test := range []struct {
		name   string
		ctx    context.Context
		cfg    RunConfig
		want   func(error) bool
		stderr string
	}{
		{"exit", ctx, RunConfig{}, exit(3), ""},
		{"panic", ctx, RunConfig{}, exit(2), "panic: planned"},
		{"deadlock", ctx, RunConfig{}, exit(2), "all goroutines are asleep"},
		{"memory", ctx, RunConfig{Memory: 64 << 20}, exit(2), "out of memory"},
		{"spin", ctx, RunConfig{Watchdog: 100 * time.Millisecond}, is(ErrStuck), ""},
		{"spin", brief, RunConfig{Watchdog: -1}, is(context.DeadlineExceeded), ""},
		{"exit", ctx, RunConfig{Start: time.Unix(0, 0)}, is(ErrConfig), ""},
		{"exit", ctx, RunConfig{Memory: 5 << 30}, is(ErrConfig), ""},
		{"exit", ctx, RunConfig{Memory: 1}, is(ErrConfig), ""},
	} {
		test.cfg.Args = []string{test.name}
		r := l.run(test.ctx, p, test.cfg)
		if !test.want(r.err) || !strings.Contains(r.stderr, test.stderr) {
			t.Errorf("%s: %v, stderr:\n%s\nwant %q", test.name, r.err, r.stderr, test.stderr)
		}
	}
	for name, wasm := range map[string]string{"no module": "\x00asm", "no text": ""} {
		if r := l.run(ctx, NewProgram([]byte(wasm), ""), RunConfig{}); !errors.Is(r.err, ErrProgram) {
			t.Errorf("%s: %v, want ErrProgram", name, r.err)
		}
	}
	if r := l.run(ctx, nil, RunConfig{}); !errors.Is(r.err, ErrProgram) {
		t.Errorf("no program: %v, want ErrProgram", r.err)
	}
	trap := "\x00asm\x01\x00\x00\x00" + // a module whose
		"\x01\x04\x01\x60\x00\x00" + "\x03\x02\x01\x00" + // one function
		"\x07\x0a\x01\x06_start\x00\x00" + // is its start
		"\x0a\x05\x01\x03\x00\x00\x0b" // and has the instruction unreachable
	if r := l.run(ctx, NewProgram([]byte(trap), ""), RunConfig{}); !errors.Is(r.err, ErrTrap) {
		t.Errorf("trap: %v, want ErrTrap", r.err)
	}
}

// A second run loads what the first has compiled. Without a cache there is
// nothing to load, and it works all the same.
func testCompiledOnce(t *testing.T, l *lab, p *Program) {
	for range 2 {
		if r := l.run(t.Context(), p, RunConfig{Args: []string{"clock"}}); r.err != nil {
			t.Fatal(r.err)
		}
		var files int
		err := filepath.WalkDir(entries(t, l.cache, compiledPrefix+p.Hash[:32])[0], func(_ string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				files++
			}
			return err
		})
		if err != nil || files != 1 {
			t.Fatalf("%d compiled modules, %v; want 1", files, err)
		}
	}
	for _, name := range []string{"HOME", "XDG_CACHE_HOME", "LocalAppData"} {
		t.Setenv(name, "")
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	if res, err := Run(t.Context(), p, RunConfig{Args: []string{"clock"}}); err != nil || res.Virtual < 36*time.Hour {
		t.Errorf("without a cache: %+v, %v", res, err)
	}
}
