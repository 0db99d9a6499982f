package exact

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A cache has these entries, and others of no account:
//
//	program-<hash of the sources>.gz     a program
//	compiled-<hash of the program>/      what wazero has made of it, over 70 MB
//	build-<random>/                      a build under way
//	new-<random>                         a program being written
const (
	programPrefix  = "program-"
	compiledPrefix = "compiled-"
	buildPrefix    = "build-"
	newPrefix      = "new-"
)

// How many entries of a kind are kept, and how long what is under way.
const (
	keepEntries = 5
	keepBuilds  = 24 * time.Hour
)

// programs is the folder of a cache, as a store of programs.
type programs string

func (c programs) file(hash string) string {
	return filepath.Join(string(c), programPrefix+hash[:32]+".gz")
}

// load gives the program of a hash; nil if it is not there, or is damaged.
func (c programs) load(hash string) *Program {
	f, err := os.Open(c.file(hash))
	if err != nil {
		return nil
	}
	defer f.Close()
	p, err := Unpack(f)
	if err != nil {
		return nil
	}
	touch(f.Name())
	return p
}

// save stores a program and removes the oldest. Another process may do the same
// at the same time: a file is whole when it gets its name.
func (c programs) save(hash string, p *Program) (err error) {
	f, err := os.CreateTemp(string(c), newPrefix)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCache, err)
	}
	err = errors.Join(p.Pack(f), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), c.file(hash))
	}
	if err != nil {
		_ = os.Remove(f.Name())
		// Windows doesn't replace a file that another process has open.
		if c.load(hash) == nil {
			return fmt.Errorf("%w: %w", ErrCache, err)
		}
	}
	prune(string(c), time.Now())
	return nil
}

// compiledDir gives the folder for what wazero makes of p, and marks it as
// used.
func compiledDir(cache string, p *Program) (string, error) {
	dir := filepath.Join(cache, compiledPrefix+p.Hash[:32])
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("%w: %w", ErrCache, err)
	}
	touch(dir)
	prune(cache, time.Now())
	return dir, nil
}

// touch marks an entry as used now, for prune. That it may fail, in a cache
// that is only read, does no harm.
func touch(name string) {
	now := time.Now()
	_ = os.Chtimes(name, now, now)
}

// prune removes all but the latest entries, and builds that were broken off.
// What can't be removed, because it is in use, say, is left to the next time.
func prune(cache string, now time.Time) {
	entries, err := os.ReadDir(cache)
	if err != nil {
		return
	}
	kinds := make(map[string][]fs.FileInfo)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue
		}
		for _, prefix := range []string{programPrefix, compiledPrefix, buildPrefix, newPrefix} {
			if strings.HasPrefix(e.Name(), prefix) {
				kinds[prefix] = append(kinds[prefix], info)
			}
		}
	}
	for prefix, infos := range kinds {
		slices.SortFunc(infos, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
		for i, info := range infos {
			old := i >= keepEntries
			if prefix == buildPrefix || prefix == newPrefix {
				old = now.Sub(info.ModTime()) > keepBuilds
			}
			if old {
				_ = os.RemoveAll(filepath.Join(cache, info.Name()))
			}
		}
	}
}
