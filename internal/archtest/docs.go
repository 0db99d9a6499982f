package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"unicode"
)

// checkDocs finds packages without a package comment and, in public packages, exported names without a comment.
func checkDocs(r Rules, p *Package) []Problem {
	out := packageComment(p)
	if p.Nested || !matchAny(r.Public, p.Path) {
		return out
	}
	for _, f := range p.Files {
		if f.Test() || f.AST.Name.Name == "main" {
			continue
		}
		for _, decl := range f.AST.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				out = append(out, funcComment(f, decl)...)
			case *ast.GenDecl:
				out = append(out, declComments(r, f, decl)...)
			}
		}
	}
	return out
}

// packageComment wants a comment in one of the files that are not tests, or in any if there are only tests.
func packageComment(p *Package) []Problem {
	first := p.Files[0]
	for _, f := range p.Files {
		if first.Test() && !f.Test() {
			first = f
		}
	}
	for _, f := range p.Files {
		if f.Test() == first.Test() && strings.TrimSpace(f.AST.Doc.Text()) != "" {
			return nil
		}
	}
	text := fmt.Sprintf("package %s has no package comment; doc.go is the place for it", p.Path)
	return []Problem{first.problem("doc-package", first.AST.Package, p.Path, text)}
}

func funcComment(f *File, fn *ast.FuncDecl) []Problem {
	name := fn.Name.Name
	if !fn.Name.IsExported() || fn.Doc != nil {
		return nil
	}
	if fn.Recv != nil {
		receiver := receiverName(fn.Recv.List[0].Type)
		if !ast.IsExported(receiver) {
			return nil
		}
		name = receiver + "." + name
	}
	return []Problem{undocumented(f, fn.Name, name)}
}

func receiverName(expr ast.Expr) string {
	switch x := expr.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.StarExpr:
		return receiverName(x.X)
	case *ast.ParenExpr:
		return receiverName(x.X)
	case *ast.IndexExpr:
		return receiverName(x.X)
	case *ast.IndexListExpr:
		return receiverName(x.X)
	}
	return ""
}

// declComments accepts one comment over a group of constants or variables for the whole group; each type needs its own.
func declComments(r Rules, f *File, decl *ast.GenDecl) []Problem {
	var out []Problem
	for _, spec := range decl.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if !spec.Name.IsExported() {
				continue
			}
			doc := spec.Doc
			if doc == nil && !decl.Lparen.IsValid() {
				doc = decl.Doc
			}
			if doc == nil {
				out = append(out, undocumented(f, spec.Name, spec.Name.Name))
			}
			if r.Fields {
				out = append(out, memberComments(f, spec, doc.Text())...)
			}
		case *ast.ValueSpec:
			if decl.Doc != nil || spec.Doc != nil || spec.Comment != nil {
				continue
			}
			for _, name := range spec.Names {
				if name.IsExported() {
					out = append(out, undocumented(f, name, name.Name))
				}
			}
		}
	}
	return out
}

// memberComments looks at the fields of a struct and the methods of an interface. One that the comment of the type
// mentions needs none of its own, and embedded ones speak for themselves.
func memberComments(f *File, spec *ast.TypeSpec, doc string) []Problem {
	var fields *ast.FieldList
	switch t := spec.Type.(type) {
	case *ast.StructType:
		fields = t.Fields
	case *ast.InterfaceType:
		fields = t.Methods
	default:
		return nil
	}
	words := strings.FieldsFunc(doc, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' })
	var out []Problem
	for _, field := range fields.List {
		if field.Doc != nil || field.Comment != nil {
			continue
		}
		for _, name := range field.Names {
			if name.IsExported() && !slices.Contains(words, name.Name) {
				problem := undocumented(f, name, spec.Name.Name+"."+name.Name)
				problem.Rule = "doc-field"
				out = append(out, problem)
			}
		}
	}
	return out
}

func undocumented(f *File, at interface{ Pos() token.Pos }, name string) Problem {
	return f.problem("doc", at.Pos(), name, "exported "+name+" has no comment")
}
