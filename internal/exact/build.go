package exact

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// BuildConfig says what to build. The zero value builds the simulated cluster.
type BuildConfig struct {
	// Dir is a folder of this module's sources. Empty: what this executable
	// carries, or else the sources are looked for.
	Dir string
	// Package is the main package, relative to the root of the module. Empty:
	// DefaultPackage. Only that one is carried.
	Package string
	// Cache is where programs are kept. Empty: DefaultCache.
	Cache string
	// Progress, if not nil, is told what takes long.
	Progress func(string)
}

// DefaultPackage is the simulated cluster.
const DefaultPackage = "./internal/exact/simulator"

// DefaultCache gives a folder in the user's cache.
func DefaultCache() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrCache, err)
	}
	return filepath.Join(base, "meshnode", "exact"), nil
}

// Build gives the program of cfg: what this executable carries, or what the
// cache has, or else what the go command makes of the sources, which takes from
// seconds to a minute.
func Build(ctx context.Context, cfg BuildConfig) (*Program, error) {
	if cfg.Package == "" {
		cfg.Package = DefaultPackage
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string) {}
	}
	if cfg.Dir == "" && cfg.Package == DefaultPackage {
		if p, err := Embedded(); p != nil || err != nil {
			return p, err
		}
	}
	if cfg.Cache == "" {
		dir, err := DefaultCache()
		if err != nil {
			return nil, err
		}
		cfg.Cache = dir
	}
	root, err := findSource(ctx, cfg.Dir)
	if err != nil {
		return nil, err
	}
	src, err := collect(ctx, root, cfg.Package)
	if err != nil {
		return nil, err
	}
	hash, err := src.hash()
	if err != nil {
		return nil, err
	}
	store := programs(cfg.Cache)
	if p := store.load(hash); p != nil {
		return p, nil
	}
	cfg.Progress(fmt.Sprintf("building %s for wasip1 with %s (once for these sources)", cfg.Package, src.goVersion))
	p, err := src.build(ctx, cfg.Cache)
	if err != nil {
		return nil, err
	}
	return p, store.save(hash, p)
}

// build builds a copy of the sources, below cache.
func (s *sources) build(ctx context.Context, cache string) (_ *Program, err error) {
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCache, err)
	}
	dir, err := os.MkdirTemp(cache, buildPrefix)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCache, err)
	}
	defer func() {
		if rmErr := os.RemoveAll(dir); rmErr != nil && err == nil {
			err = fmt.Errorf("%w: %w", ErrCache, rmErr)
		}
	}()
	if err := s.copyTo(filepath.Join(dir, "src")); err != nil {
		return nil, err
	}
	out := filepath.Join(dir, "program.wasm")
	args := append([]string{"build", "-o", out}, buildFlags...)
	if _, err := goCommand(ctx, filepath.Join(dir, "src"), append(args, s.pkg)...); err != nil {
		if errors.Is(err, ErrNoGo) || ctx.Err() != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", ErrBuild, err)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBuild, err)
	}
	return NewProgram(wasm, s.goVersion), nil
}
