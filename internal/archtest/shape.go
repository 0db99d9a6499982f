package archtest

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strings"
)

// checkShape finds files that are too long and package names that say nothing.
func checkShape(r Rules, p *Package) []Problem {
	var out []Problem
	for _, f := range p.Files {
		if f.Lines > r.MaxLines {
			text := fmt.Sprintf("%d lines, more than %d: split it by what it is about", f.Lines, r.MaxLines)
			problem := f.problem("length", f.AST.Package, path.Base(f.Path), text)
			problem.Line = f.Lines
			out = append(out, problem)
		}
	}
	for _, name := range []string{path.Base(p.Path), p.Files[0].AST.Name.Name} {
		for _, bad := range r.BadNames {
			if strings.Contains(strings.ToLower(name), bad) {
				text := fmt.Sprintf("%q in the name of a package says nothing about what it does", bad)
				return append(out, p.Files[0].problem("name", p.Files[0].AST.Package, name, text))
			}
		}
	}
	return out
}

// checkTests finds tests that wait by the wall clock and tests that may skip themselves. time.Sleep in what is handed
// to a package of r.Virtual is allowed: there it moves a virtual clock.
func checkTests(r Rules, p *Package) []Problem {
	var out []Problem
	for _, f := range p.Files {
		names := importNames(f)
		for _, decl := range f.AST.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			if f.Test() {
				out = append(out, sleeps(r, f, names, fn)...)
			}
			out = append(out, skips(f, names, fn)...)
		}
	}
	return out
}

func sleeps(r Rules, f *File, names map[string]string, fn *ast.FuncDecl) []Problem {
	var out []Problem
	ast.Inspect(fn, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.CallExpr:
			imported, _ := selector(names, node.Fun)
			return !slices.Contains(r.Virtual, imported)
		case *ast.SelectorExpr:
			if imported, name := selector(names, node); imported == "time" && name == "Sleep" {
				text := "time.Sleep in a test: wait for the condition, or use testing/synctest"
				out = append(out, f.problem("sleep", node.Pos(), fn.Name.Name, text))
			}
		}
		return true
	})
	return out
}

// skips finds calls of Skip, Skipf and SkipNow on a parameter whose type comes from package testing.
func skips(f *File, names map[string]string, fn *ast.FuncDecl) []Problem {
	testers := map[string]bool{}
	var out []Problem
	ast.Inspect(fn, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.FuncType:
			for _, param := range node.Params.List {
				typ := param.Type
				if star, ok := typ.(*ast.StarExpr); ok {
					typ = star.X
				}
				if imported, _ := selector(names, typ); imported == "testing" {
					for _, name := range param.Names {
						testers[name.Name] = true
					}
				}
			}
		case *ast.SelectorExpr:
			if x, ok := node.X.(*ast.Ident); ok && testers[x.Name] && strings.HasPrefix(node.Sel.Name, "Skip") &&
				node.Sel.Name != "Skipped" {
				text := fn.Name.Name + " can skip itself: list it under Exceptions in internal/archtest/rules.go, with the reason"
				out = append(out, f.problem("skip", node.Pos(), fn.Name.Name, text))
			}
		}
		return true
	})
	return out
}
