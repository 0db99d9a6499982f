package exact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
)

// ours is the path of this module.
const ours = "github.com/meshnode/meshnode"

// goCommand runs the go command in dir, for wasip1, and gives what it prints.
// The user's settings that would change the result are left out.
func goCommand(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(),
		"GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=readonly", "GOWASM=", "GOEXPERIMENT=")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	switch {
	case err == nil:
		return stdout.Bytes(), nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, exec.ErrNotFound):
		return nil, fmt.Errorf("%w: install Go from https://go.dev/dl, or use a release of meshnode, which needs none", ErrNoGo)
	}
	return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
}

// findSource gives the root folder of this module's sources: dir, or the module
// of the working directory if it is this one, or the version that this
// executable was built from, or the one that the working directory's module
// requires.
func findSource(ctx context.Context, dir string) (string, error) {
	root, path, err := mainModule(ctx, dir)
	switch {
	case errors.Is(err, ErrNoGo) || ctx.Err() != nil:
		return "", err
	case path == ours:
		return root, nil
	case dir != "":
		return "", fmt.Errorf("%w: %s is not a folder of module %s", ErrNoSource, dir, ours)
	}
	if version := ownVersion(); version != "" {
		return downloaded(ctx, version)
	}
	if root != "" {
		if out, err := goCommand(ctx, root, "list", "-m", "-f", "{{.Dir}}", ours); err == nil {
			if found := strings.TrimSpace(string(out)); found != "" {
				return found, nil
			}
		}
	}
	return "", fmt.Errorf("%w: run this in a checkout of %s or in a module that requires it, "+
		"or use a release of meshnode, which needs none", ErrNoSource, ours)
}

// mainModule gives the folder and the path of the module that dir is in, both
// empty if there is none.
func mainModule(ctx context.Context, dir string) (root, path string, err error) {
	if dir != "" {
		if _, err := os.Stat(dir); err != nil {
			return "", "", fmt.Errorf("%w: %w", ErrNoSource, err)
		}
	}
	out, err := goCommand(ctx, dir, "list", "-m", "-f", "{{.Path}}\n{{.Dir}}")
	if err != nil {
		return "", "", err
	}
	path, root, _ = strings.Cut(strings.TrimSpace(string(out)), "\n")
	return root, path, nil
}

// ownVersion gives the version of this module that this executable was built
// from by name, or "" if it was built from a checkout or by another module.
func ownVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Path != ours || info.Main.Version == "(devel)" || strings.Contains(info.Main.Version, "+dirty") {
		return ""
	}
	return info.Main.Version
}

// downloaded gives the folder of a version of this module in the module cache.
func downloaded(ctx context.Context, version string) (string, error) {
	// Outside of any module, whose settings might replace this one.
	empty, err := os.MkdirTemp("", "meshnode-exact-")
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrCache, err)
	}
	defer os.RemoveAll(empty)
	out, err := goCommand(ctx, empty, "mod", "download", "-json", ours+"@"+version)
	if err != nil {
		return "", fmt.Errorf("%w: this executable is %s %s, and its sources can't be had: %w", ErrNoSource, ours, version, err)
	}
	return downloadedDir(out)
}

// sourceFiles gives the Go files in folder, which is relative to root, without
// tests; slash-separated, relative to root. A folder that isn't there has none.
func sourceFiles(root, folder string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(root, filepath.FromSlash(folder)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var files []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".go") && !strings.HasSuffix(e.Name(), "_test.go") {
			files = append(files, folder+"/"+e.Name())
		}
	}
	return files, err
}
