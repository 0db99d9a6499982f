package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"strings"
)

// checkGlobals finds init functions, package-level variables of types that live or wait, and functions that change a
// package-level variable. A sync.Pool is allowed: what it holds can be lost at any time, so nothing may depend on it.
func checkGlobals(p *Package) []Problem {
	var out []Problem
	byName := map[string][]*File{} // by package clause: a folder can hold a package main behind a build tag
	for _, f := range p.Files {
		if f.Test() {
			continue
		}
		byName[f.AST.Name.Name] = append(byName[f.AST.Name.Name], f)
		out = append(out, inits(f)...)
		out = append(out, liveGlobals(f)...)
	}
	for _, files := range byName {
		uses := resolve(p.Path, files)
		for _, f := range files {
			out = append(out, changes(f, uses)...)
		}
	}
	return out
}

func inits(f *File) []Problem {
	var out []Problem
	for _, decl := range f.AST.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			out = append(out, f.problem("init", fn.Pos(), "init", "no func init: let a constructor do it"))
		}
	}
	return out
}

// liveTypes maps import paths to types, and to functions that make them, which may not stand at package level.
func liveTypes(imported, name string) bool {
	switch imported {
	case "sync":
		return name != "Pool" && !strings.HasPrefix(name, "OnceValue") && name != "OnceFunc"
	case "sync/atomic":
		return true
	case "time":
		return name == "Timer" || name == "Ticker" || name == "NewTimer" || name == "NewTicker" ||
			name == "After" || name == "AfterFunc" || name == "Tick"
	}
	return false
}

func liveGlobals(f *File) []Problem {
	var out []Problem
	names := importNames(f)
	for _, decl := range f.AST.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.VAR {
			continue
		}
		for _, spec := range gen.Specs {
			v := spec.(*ast.ValueSpec)
			what := live(names, v.Type)
			for _, value := range v.Values {
				if what == "" {
					what = live(names, value)
				}
			}
			if what != "" {
				text := fmt.Sprintf("package-level %s holds %s: let the value that needs it own it", v.Names[0].Name, what)
				out = append(out, f.problem("global", v.Pos(), v.Names[0].Name, text))
			}
		}
	}
	return out
}

// live looks in a type or a value, but not inside function bodies, for something that lives or waits.
func live(names map[string]string, expr ast.Expr) (what string) {
	if expr == nil {
		return ""
	}
	ast.Inspect(expr, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.FuncLit, *ast.FuncType:
			return false
		case *ast.ChanType:
			what = "a channel"
		case *ast.SelectorExpr:
			if imported, name := selector(names, node); liveTypes(imported, name) {
				what = imported + "." + name
			}
		}
		return what == ""
	})
	return what
}

// resolve finds out which identifiers mean package-level variables. The type checker runs without the imports, and
// its complaints about them are dropped: names of the package itself are resolved all the same.
func resolve(pkgPath string, files []*File) map[*ast.Ident]bool {
	var trees []*ast.File
	for _, f := range files {
		trees = append(trees, f.AST)
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	cfg := types.Config{Error: func(error) {}, Importer: noImports{}}
	pkg, _ := cfg.Check(pkgPath, files[0].fset, trees, info)
	globals := map[*ast.Ident]bool{}
	for ident, object := range info.Uses {
		if v, ok := object.(*types.Var); ok && v.Parent() == pkg.Scope() {
			globals[ident] = true
		}
	}
	return globals
}

type noImports struct{}

func (noImports) Import(path string) (*types.Package, error) {
	return nil, fmt.Errorf("%s is not loaded", path)
}

// changes finds assignments to package-level variables, to their fields and elements, and addresses taken of them.
func changes(f *File, globals map[*ast.Ident]bool) []Problem {
	var out []Problem
	report := func(expr ast.Expr, how string) {
		if ident := root(expr); ident != nil && globals[ident] {
			text := fmt.Sprintf("package-level %s %s: no globals that change", ident.Name, how)
			out = append(out, f.problem("global", expr.Pos(), ident.Name, text))
		}
	}
	for node := range ast.Preorder(f.AST) {
		switch node := node.(type) {
		case *ast.AssignStmt:
			for _, left := range node.Lhs {
				report(left, "is assigned to")
			}
		case *ast.IncDecStmt:
			report(node.X, "is assigned to")
		case *ast.UnaryExpr:
			if ident, ok := node.X.(*ast.Ident); ok && node.Op == token.AND {
				report(ident, "has its address taken")
			}
		}
	}
	return out
}

// root strips fields, elements and indirections from an expression: for a.b[i].c it gives a.
func root(expr ast.Expr) *ast.Ident {
	for {
		switch x := expr.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			expr = x.X
		case *ast.IndexExpr:
			expr = x.X
		case *ast.StarExpr:
			expr = x.X
		case *ast.ParenExpr:
			expr = x.X
		default:
			return nil
		}
	}
}
