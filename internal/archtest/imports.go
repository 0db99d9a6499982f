package archtest

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// checkImports holds each import of a package of the root module against the package's row. A test may import what
// the package may, all that lies below it, the package itself, and the modules made for tests.
func checkImports(r Rules, p *Package) []Problem {
	if p.Nested {
		return nil
	}
	row, ok := r.row(p.Path)
	if !ok {
		return []Problem{p.Files[0].problem("unlisted", p.Files[0].AST.Package, p.Path,
			fmt.Sprintf("package %s has no row in internal/archtest/rules.go: say there what it may import", p.Path))}
	}
	var out []Problem
	for _, f := range p.Files {
		for _, spec := range f.AST.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				continue // the parser has already refused such a file
			}
			rule, why := r.verdict(row, p.Path, imported, f.Test())
			if why != "" {
				text := fmt.Sprintf("package %s may not import %q%s", p.Path, imported, why)
				out = append(out, f.problem(rule, spec.Pos(), imported, text))
			}
		}
	}
	return out
}

// row finds the row whose pattern covers p; the longest counts.
func (r Rules) row(p string) (Row, bool) {
	best, found := "", false
	for pattern := range r.Packages {
		if match(pattern, p) && (!found || len(pattern) > len(best)) {
			best, found = pattern, true
		}
	}
	return r.Packages[best], found
}

// verdict returns the rule that the import breaks and the rest of the sentence that says so, or empty strings.
func (r Rules) verdict(row Row, pkg, imported string, test bool) (rule, why string) {
	inside, isInside := strings.CutPrefix(imported+"/", r.Module+"/")
	inside = cmp.Or(strings.TrimSuffix(inside, "/"), ".")
	switch {
	case isInside && test:
		if inside != pkg && !matchAny(row.Tests, inside) && !r.below(pkg, inside) {
			return "test-import", " in its tests: it is neither below it nor in the row's Tests"
		}
	case isInside:
		if !matchAny(row.Internal, inside) {
			return "import", ": the row allows " + list(row.Internal)
		}
	case imported == "C":
		return "import", ": the module builds without cgo"
	case !strings.Contains(strings.Split(imported, "/")[0], "."):
		if !test && matchAny(row.Forbid, imported) {
			return "stdlib", ": the row forbids it"
		}
	case test:
		if !within(row.External, imported) && !within(r.TestLibs, imported) && !within(row.Tests, imported) {
			return "test-import", " in its tests: add the module to the row's Tests or to TestLibs"
		}
	case !within(row.External, imported):
		return "import", ": the row allows " + list(row.External)
	}
	return "", ""
}

// below reports whether pkg reaches target along the allowed edges.
func (r Rules) below(pkg, target string) bool {
	seen := map[string]bool{}
	var reach func(string) bool
	reach = func(at string) bool {
		row, ok := r.row(at)
		if !ok || seen[at] {
			return false
		}
		seen[at] = true
		return matchAny(row.Internal, target) || slices.ContainsFunc(row.Internal, reach)
	}
	return reach(pkg)
}

// within reports whether imported is one of the modules or lies below one.
func within(modules []string, imported string) bool {
	return slices.ContainsFunc(modules, func(m string) bool { return match(m+"/...", imported) })
}

func list(allowed []string) string {
	if len(allowed) == 0 {
		return "none"
	}
	return strings.Join(allowed, ", ")
}
