package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

const repository = "../.."

// TestRepository holds the whole tree against the rules of the house.
func TestRepository(t *testing.T) {
	pkgs, err := Load(repository)
	if err != nil {
		t.Fatal(err)
	}
	problems := Check(House(), pkgs)
	for _, p := range problems {
		t.Error(p)
	}
	if len(problems) > 0 {
		t.Logf("problems: %d; the rules are in internal/archtest/rules.go, CONTRIBUTING.md says why they are there", len(problems))
	}
}

// listed is the part of the output of go list that is compared.
type listed struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

// TestGraphMatchesGoList compares the imports that Load reads from the source with those the go command sees, so that
// the checks can't go blind: each edge of go list must have been read.
func TestGraphMatchesGoList(t *testing.T) {
	pkgs, err := Load(repository)
	if err != nil {
		t.Fatal(err)
	}
	read := edges(pkgs)
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = repository
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	seen := 0
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen++
		for _, edge := range missing(House().Module, read, p) {
			t.Errorf("go list sees the import %s, Load does not", edge)
		}
	}
	if seen == 0 {
		t.Error("go list found no package")
	}
}

// edges returns "package -> import" for each import of each package.
func edges(pkgs []*Package) map[string]bool {
	read := map[string]bool{}
	for _, p := range pkgs {
		for _, f := range p.Files {
			for _, spec := range f.AST.Imports {
				if imported, err := strconv.Unquote(spec.Path.Value); err == nil {
					read[p.Path+" -> "+imported] = true
				}
			}
		}
	}
	return read
}

func missing(module string, read map[string]bool, p listed) []string {
	dir := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
	if dir == "" {
		dir = "."
	}
	var out []string
	for _, imports := range [][]string{p.Imports, p.TestImports, p.XTestImports} {
		for _, imported := range imports {
			if edge := dir + " -> " + imported; !read[edge] {
				out = append(out, edge)
			}
		}
	}
	return out
}

func TestMissingEdgeIsFound(t *testing.T) {
	pkgs := plant(t, map[string]string{"node/a.go": "// Package node.\npackage node\n\nimport \"net\"\n"})
	p := listed{ImportPath: House().Module + "/node", Imports: []string{"net"}, TestImports: []string{"os"}}
	got := missing(House().Module, edges(pkgs), p)
	if len(got) != 1 || got[0] != "node -> os" {
		t.Errorf("missing = %q, want the one edge that was not read", got)
	}
}
