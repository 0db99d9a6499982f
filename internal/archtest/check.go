package archtest

import (
	"cmp"
	"fmt"
	"slices"
)

// Problem is one place that breaks a rule.
type Problem struct {
	Rule string // short name of the rule, as used by [Exception]
	File string // relative to the root of the repository; empty when the problem is not in a file
	Line int    // counted from 1
	Name string // the identifier, import path or enclosing function concerned
	Text string // what is wrong, for a reader who doesn't know the rule
}

// String gives the problem as "file:line: rule: text".
func (p Problem) String() string {
	return fmt.Sprintf("%s:%d: %s: %s", p.File, p.Line, p.Rule, p.Text)
}

// Check holds pkgs against the rules and returns what breaks them, sorted by file and line.
func Check(r Rules, pkgs []*Package) []Problem {
	var all []Problem
	for _, p := range pkgs {
		all = append(all, checkImports(r, p)...)
		all = append(all, checkUses(r, p)...)
		all = append(all, checkGlobals(p)...)
		all = append(all, checkDocs(r, p)...)
		all = append(all, checkShape(r, p)...)
		all = append(all, checkTests(r, p)...)
	}
	all = except(r.Exceptions, all)
	slices.SortStableFunc(all, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Rule, b.Rule))
	})
	return all
}

// except drops the problems that an exception covers, and adds one for each exception that covers nothing.
func except(exceptions []Exception, all []Problem) []Problem {
	for _, e := range exceptions {
		kept := slices.DeleteFunc(slices.Clone(all), func(p Problem) bool {
			return p.Rule == e.Rule && p.File == e.File && p.Name == e.Name
		})
		if len(kept) == len(all) || e.Why == "" {
			text := fmt.Sprintf("the exception for %s in %s covers nothing, or doesn't say why: remove or mend it", e.Name, e.File)
			kept = append(kept, Problem{Rule: "exception", File: e.File, Name: e.Name, Text: text})
		}
		all = kept
	}
	return all
}
