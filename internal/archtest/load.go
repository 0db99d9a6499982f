package archtest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Package is the Go source of one folder, tests included.
type Package struct {
	Path   string // folder, relative to the root of the repository, with slashes; "." for the root
	Nested bool   // belongs to a module of its own below the root
	Files  []*File
}

// File is one parsed Go file.
type File struct {
	Path  string // relative to the root of the repository, with slashes
	Lines int
	AST   *ast.File
	fset  *token.FileSet
}

// ParseFile parses src. The files of one tree share fset.
func ParseFile(fset *token.FileSet, name string, src []byte) (*File, error) {
	tree, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	lines := bytes.Count(src, []byte("\n"))
	if len(src) > 0 && src[len(src)-1] != '\n' {
		lines++
	}
	return &File{Path: name, Lines: lines, AST: tree, fset: fset}, nil
}

// Test reports whether the file is compiled for tests only.
func (f *File) Test() bool { return strings.HasSuffix(f.Path, "_test.go") }

// problem makes a Problem that points at pos.
func (f *File) problem(rule string, pos token.Pos, name, text string) Problem {
	return Problem{Rule: rule, File: f.Path, Line: f.fset.Position(pos).Line, Name: name, Text: text}
}

// Load parses every Go file below root, whatever its build constraints, and returns the packages sorted by path.
// Folders named testdata or vendor, and those whose name begins with a dot or an underscore, are left out.
func Load(root string) ([]*Package, error) {
	fset := token.NewFileSet()
	byPath := map[string]*Package{}
	var nested []string
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		switch base := entry.Name(); {
		case entry.IsDir():
			if rel != "." && skipFolder(base) {
				return filepath.SkipDir
			}
		case base == "go.mod" && path.Dir(rel) != ".":
			nested = append(nested, path.Dir(rel)+"/...")
		case strings.HasSuffix(base, ".go"):
			return addFile(fset, byPath, name, rel)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return sorted(byPath, nested), nil
}

func skipFolder(base string) bool {
	return base == "testdata" || base == "vendor" || base[0] == '.' || base[0] == '_'
}

func addFile(fset *token.FileSet, byPath map[string]*Package, name, rel string) error {
	src, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	file, err := ParseFile(fset, rel, src)
	if err != nil {
		return err
	}
	dir := path.Dir(rel)
	if byPath[dir] == nil {
		byPath[dir] = &Package{Path: dir}
	}
	byPath[dir].Files = append(byPath[dir].Files, file)
	return nil
}

func sorted(byPath map[string]*Package, nested []string) []*Package {
	var pkgs []*Package
	for _, p := range byPath {
		p.Nested = matchAny(nested, p.Path)
		slices.SortFunc(p.Files, func(a, b *File) int { return strings.Compare(a.Path, b.Path) })
		pkgs = append(pkgs, p)
	}
	slices.SortFunc(pkgs, func(a, b *Package) int { return strings.Compare(a.Path, b.Path) })
	return pkgs
}

// match reports whether pattern, with or without a final "/...", covers p.
func match(pattern, p string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "/..."); ok {
		return p == prefix || strings.HasPrefix(p, prefix+"/")
	}
	return p == pattern
}

func matchAny(patterns []string, p string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return match(pattern, p) })
}
