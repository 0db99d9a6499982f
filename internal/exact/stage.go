package exact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// What replaces the module that does not compile for wasip1, and where it is.
const (
	sockaddrModule = "github.com/hashicorp/go-sockaddr"
	sockaddrFolder = "internal/exact/sockaddr"
)

// buildFlags are those of go build; they count in the hash.
var buildFlags = []string{"-trimpath", "-buildvcs=false", "-ldflags=-s -w"}

// sources is what a program is built from.
type sources struct {
	root      string
	pkg       string   // the main package, as in BuildConfig
	goVersion string   // that would compile it
	files     []string // of this module; slash-separated, relative to root, sorted
}

// listed is what is wanted of a package that go list tells.
type listed struct {
	Dir    string
	Module *struct{ Main bool }
	GoFiles, SFiles, HFiles,
	EmbedFiles []string
}

// collect finds the files of the packages of this module that pkg consists of.
func collect(ctx context.Context, root, pkg string) (*sources, error) {
	version, err := goCommand(ctx, root, "env", "GOVERSION")
	if err != nil {
		return nil, err
	}
	s := &sources{root: root, pkg: pkg, goVersion: strings.TrimSpace(string(version))}
	list, err := goCommand(ctx, root, "list", "-deps", "-json=Dir,Module,GoFiles,SFiles,HFiles,EmbedFiles", pkg)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBuild, err)
	}
	for decoder := json.NewDecoder(bytes.NewReader(list)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("%w: go list: %w", ErrBuild, err)
		}
		if p.Module == nil || !p.Module.Main {
			continue
		}
		folder, err := filepath.Rel(root, p.Dir)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBuild, err)
		}
		for _, name := range slices.Concat(p.GoFiles, p.SFiles, p.HFiles, p.EmbedFiles) {
			s.files = append(s.files, filepath.ToSlash(filepath.Join(folder, name)))
		}
	}
	standIn, err := sourceFiles(root, sockaddrFolder)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoSource, err)
	}
	s.files = append(s.files, standIn...)
	slices.Sort(s.files)
	s.files = slices.Compact(s.files)
	return s, nil
}

// modFiles are those of a module besides its packages.
func modFiles() []string { return []string{"go.mod", "go.sum"} }

// hash tells one build from another: by everything that its result depends on.
func (s *sources) hash() (string, error) {
	sum := sha256.New()
	fmt.Fprintf(sum, "%q\n%q\n%q\n", s.goVersion, s.pkg, buildFlags)
	for _, name := range slices.Concat(modFiles(), s.files) {
		data, err := s.read(name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%q %d\n", name, len(data))
		sum.Write(data)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// read reads a file of the sources. A module without dependencies has no
// go.sum.
func (s *sources) read(name string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(s.root, filepath.FromSlash(name)))
	if err != nil && !(name == "go.sum" && errors.Is(err, os.ErrNotExist)) {
		return nil, fmt.Errorf("%w: %w", ErrNoSource, err)
	}
	return data, nil
}

// copyTo makes a module of the sources in dir, with sockaddr in the place of the
// module that doesn't compile.
func (s *sources) copyTo(dir string) error {
	for _, name := range slices.Concat(modFiles(), s.files) {
		data, err := s.read(name)
		if err != nil {
			return err
		}
		if name == "go.mod" {
			data = withReplace(data, "./"+sockaddrFolder)
		}
		if err := writeFile(filepath.Join(dir, filepath.FromSlash(name)), data); err != nil {
			return err
		}
	}
	return writeFile(filepath.Join(dir, filepath.FromSlash(sockaddrFolder), "go.mod"), sockaddrMod())
}

// WriteModfile writes to dir what the go command needs to vet and build packages
// of this module for wasip1, with -modfile: go.mod, go.sum and a module that
// stands in for the one that does not compile. source is as BuildConfig.Dir.
func WriteModfile(ctx context.Context, source, dir string) error {
	root, err := findSource(ctx, source)
	if err != nil {
		return err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return err
	}
	s := &sources{root: root}
	names, err := sourceFiles(root, sockaddrFolder)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoSource, err)
	}
	for _, name := range slices.Concat(modFiles(), names) {
		data, err := s.read(name)
		if err != nil {
			return err
		}
		target := filepath.Join(dir, "sockaddr", filepath.Base(name))
		switch name {
		case "go.mod":
			target, data = filepath.Join(dir, name), withReplace(data, filepath.ToSlash(filepath.Join(dir, "sockaddr")))
		case "go.sum":
			target = filepath.Join(dir, name)
		}
		if err := writeFile(target, data); err != nil {
			return err
		}
	}
	return writeFile(filepath.Join(dir, "sockaddr", "go.mod"), sockaddrMod())
}

func withReplace(mod []byte, folder string) []byte {
	return fmt.Appendf(slices.Clip(mod), "\nreplace %s => %q\n", sockaddrModule, folder)
}

func sockaddrMod() []byte { return fmt.Appendf(nil, "module %s\n\ngo 1.26.0\n", sockaddrModule) }

func writeFile(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return fmt.Errorf("%w: %w", ErrCache, err)
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		return fmt.Errorf("%w: %w", ErrCache, err)
	}
	return nil
}

// downloadedDir reads what go mod download -json prints.
func downloadedDir(out []byte) (string, error) {
	var got struct{ Dir, Error string }
	if err := json.Unmarshal(out, &got); err != nil || got.Dir == "" {
		return "", fmt.Errorf("%w: go mod download: %s", ErrNoSource, got.Error)
	}
	return got.Dir, nil
}
