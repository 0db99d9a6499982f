package archtest

import (
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// checkUses finds banned identifiers and goroutines outside tests.
func checkUses(r Rules, p *Package) []Problem {
	var out []Problem
	for _, f := range p.Files {
		if f.Test() {
			continue
		}
		names := importNames(f)
		for node := range ast.Preorder(f.AST) {
			switch node := node.(type) {
			case *ast.GoStmt:
				if matchAny(r.Pure, p.Path) {
					text := fmt.Sprintf("package %s is pure: it may not start a goroutine", p.Path)
					out = append(out, f.problem("goroutine", node.Pos(), p.Path, text))
				}
			case *ast.SelectorExpr:
				imported, name := selector(names, node)
				if b, banned := r.ban(p.Path, imported, name); banned {
					full := imported + "." + name
					out = append(out, f.problem("use", node.Pos(), full, full+" is not to be used here: "+b.Why))
				}
			}
		}
	}
	return out
}

// ban finds the ban that covers an identifier used by package pkg.
func (r Rules) ban(pkg, imported, name string) (Ban, bool) {
	for _, b := range r.Bans {
		if b.Import != imported || matchAny(b.NotIn, pkg) || slices.Contains(b.Except, name) {
			continue
		}
		if len(b.In) > 0 && !matchAny(b.In, pkg) {
			continue
		}
		if slices.ContainsFunc(b.Names, func(pattern string) bool {
			prefix, open := strings.CutSuffix(pattern, "*")
			return name == pattern || open && strings.HasPrefix(name, prefix)
		}) {
			return b, true
		}
	}
	return Ban{}, false
}

var majorVersion = regexp.MustCompile(`^v[0-9]+$`)

// importNames maps the name by which a file knows a package to the package's import path. Without a name in the
// import it is the last element of the path that isn't a major version.
func importNames(f *File) map[string]string {
	names := map[string]string{}
	for _, spec := range f.AST.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		name := path.Base(imported)
		if majorVersion.MatchString(name) {
			name = path.Base(path.Dir(imported))
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = imported
	}
	return names
}

// selector splits "pkg.Name" into import path and name; the path is empty when the left side isn't an import.
func selector(names map[string]string, expr ast.Expr) (imported, name string) {
	sel, ok := expr.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	left, ok := sel.X.(*ast.Ident)
	if !ok {
		return "", ""
	}
	return names[left.Name], sel.Sel.Name
}
