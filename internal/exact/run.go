package exact

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strconv"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"
)

// Defaults of RunConfig.
const (
	DefaultWatchdog  = 30 * time.Second
	DefaultMemory    = 4 << 30
	DefaultGCPercent = 400
)

// RunConfig says how a program is run. All but the last three fields decide
// what it does; the zero value is a program without arguments and input, at
// seed 0.
type RunConfig struct {
	Args   []string // without the program's name
	Stdin  io.Reader
	Seed   uint64
	Start  time.Time // of the virtual clock, after 1970; zero: 2000-01-01 UTC
	Memory uint64    // bytes, rounded down to 64 KiB, at most 4 GiB; 0: DefaultMemory
	// GCPercent is GOGC of the program, whose collections take part in its
	// scheduling. 0: DefaultGCPercent. Negative: no collections.
	GCPercent int

	Stdout, Stderr io.Writer // nil: discarded
	// Cache is where compiled programs are kept. Empty: DefaultCache; if there is
	// none, each Run compiles anew.
	Cache string
	// Watchdog is how long the virtual clock may stand still, in real time,
	// before Run gives up. 0: DefaultWatchdog. Negative: for ever.
	Watchdog time.Duration
}

// Result tells what a run took.
type Result struct {
	Virtual time.Duration // that passed for the program
	Wall    time.Duration // real time, without Compile
	Compile time.Duration // real time to compile it or to load the compiled form
	Sleeps  uint64        // how often the virtual clock moved
	Memory  uint64        // bytes that the program had in the end
}

const (
	pageSize = 64 << 10
	maxPages = 1 << 16
)

func (cfg RunConfig) withDefaults() (RunConfig, error) {
	if cfg.Start.IsZero() {
		cfg.Start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if y := cfg.Start.Year(); y < 1971 || y > 2200 {
		return cfg, fmt.Errorf("%w: start in %d; want 1971 to 2200", ErrConfig, y)
	}
	if cfg.Memory == 0 {
		cfg.Memory = DefaultMemory
	}
	if pages := cfg.Memory / pageSize; pages < 1 || pages > maxPages {
		return cfg, fmt.Errorf("%w: %d bytes of memory; want 64 KiB to 4 GiB", ErrConfig, cfg.Memory)
	}
	if cfg.GCPercent == 0 {
		cfg.GCPercent = DefaultGCPercent
	}
	if cfg.Watchdog == 0 {
		cfg.Watchdog = DefaultWatchdog
	}
	if cfg.Cache == "" {
		cfg.Cache, _ = DefaultCache() // without one, nothing is kept
	}
	return cfg, nil
}

// Run runs p to its end. Without an error, its exit status was 0; with one, the
// result tells how far it came, and is nil if it did not start.
func Run(ctx context.Context, p *Program, cfg RunConfig) (*Result, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, fmt.Errorf("%w: none", ErrProgram)
	}
	began := time.Now()
	engine, err := newEngine(ctx, p, cfg)
	if err != nil {
		return nil, err
	}
	compiled := time.Since(began)
	clock := newClock(cfg.Start)
	began = time.Now()
	memory, err := watched(ctx, clock, cfg.Watchdog, func() (uint64, error) {
		// The program ends at its next look at the clock. That ctx ends does not
		// reach it otherwise: the checks would make it three times slower.
		return engine.run(context.WithoutCancel(ctx), cfg.module(clock))
	})
	if errors.Is(err, errAbandoned) {
		return nil, err // clock and engine are still in use
	}
	res := &Result{
		Virtual: time.Duration(clock.now - cfg.Start.UnixNano()), Wall: time.Since(began), Compile: compiled,
		Sleeps: clock.moves.Load(), Memory: memory,
	}
	return res, err
}

// module is the program's world: everything that may come to it from outside.
func (cfg *RunConfig) module(c *clock) wazero.ModuleConfig {
	gc := "off"
	if cfg.GCPercent > 0 {
		gc = strconv.Itoa(cfg.GCPercent)
	}
	m := wazero.NewModuleConfig().
		WithName("program").
		WithArgs(append([]string{"program"}, cfg.Args...)...).
		WithEnv("GOGC", gc).
		// A sample that is taken while the scheduler allocates a goroutine walks past
		// the end of its stack (go1.26), and with over 256 MiB that ends the program.
		WithEnv("GODEBUG", "memprofilerate=0").
		WithRandSource(random(cfg.Seed)).
		WithWalltime(c.walltime, sys.ClockResolution(1)).
		WithNanotime(c.nanotime, sys.ClockResolution(1)).
		WithNanosleep(c.sleep).
		WithOsyield(c.yield)
	if cfg.Stdin != nil {
		m = m.WithStdin(cfg.Stdin)
	}
	if cfg.Stdout != nil {
		m = m.WithStdout(cfg.Stdout)
	}
	if cfg.Stderr != nil {
		m = m.WithStderr(cfg.Stderr)
	}
	return m
}

// random gives the bytes of a seed.
func random(seed uint64) io.Reader {
	key := [32]byte{8: 'm', 'e', 's', 'h', 'n', 'o', 'd', 'e', ' ', 'e', 'x', 'a', 'c', 't'}
	binary.LittleEndian.PutUint64(key[:], seed)
	return rand.NewChaCha8(key)
}

// engine is a compiled program that can run once.
type engine struct {
	runtime  wazero.Runtime
	cache    wazero.CompilationCache
	compiled wazero.CompiledModule
}

func newEngine(ctx context.Context, p *Program, cfg RunConfig) (_ *engine, err error) {
	e := &engine{}
	if cfg.Cache != "" {
		dir, err := compiledDir(cfg.Cache, p)
		if err != nil {
			return nil, err
		}
		if e.cache, err = wazero.NewCompilationCacheWithDir(dir); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCache, err)
		}
	} else {
		e.cache = wazero.NewCompilationCache()
	}
	defer func() {
		if err != nil {
			e.close(ctx)
		}
	}()
	config := wazero.NewRuntimeConfig().WithCompilationCache(e.cache).WithMemoryLimitPages(uint32(cfg.Memory / pageSize))
	e.runtime = wazero.NewRuntimeWithConfig(ctx, config)
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, e.runtime); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTrap, err)
	}
	e.compiled, err = e.runtime.CompileModule(experimental.WithCompilationWorkers(ctx, runtime.GOMAXPROCS(0)), p.Wasm)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProgram, err)
	}
	return e, nil
}

// run runs the program and frees what it used.
func (e *engine) run(ctx context.Context, m wazero.ModuleConfig) (memory uint64, err error) {
	defer e.close(ctx)
	instance, err := e.runtime.InstantiateModule(ctx, e.compiled, m)
	if instance != nil {
		if m := instance.ExportedMemory("memory"); m != nil {
			memory = uint64(m.Size())
		}
	}
	var exit *sys.ExitError
	switch {
	case err == nil:
		return memory, nil
	case errors.As(err, &exit):
		if exit.ExitCode() == 0 {
			return memory, nil
		}
		return memory, &ExitError{Code: exit.ExitCode()}
	}
	return memory, fmt.Errorf("%w: %w", ErrTrap, err)
}

func (e *engine) close(ctx context.Context) {
	if e.runtime != nil {
		_ = e.runtime.Close(ctx)
	}
	_ = e.cache.Close(ctx)
}
