package archtest

import (
	"fmt"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"
)

// plant makes packages from sources keyed by path.
func plant(t *testing.T, sources map[string]string) []*Package {
	t.Helper()
	fset := token.NewFileSet()
	byPath := map[string]*Package{}
	for name, src := range sources {
		file, err := ParseFile(fset, name, []byte(src))
		if err != nil {
			t.Fatal(err)
		}
		dir := path.Dir(name)
		if byPath[dir] == nil {
			byPath[dir] = &Package{Path: dir}
		}
		byPath[dir].Files = append(byPath[dir].Files, file)
	}
	return sorted(byPath, []string{"bench/..."})
}

// source puts a package clause with a comment before body, on line 2; body begins on line 3.
func source(name, body string) string {
	return fmt.Sprintf("// Package %s is planted.\npackage %s\n%s\n", name, name, body)
}

// planted is a tree of one file, or of two where a test file needs a package to belong to.
type planted struct {
	name string
	file string // path; the name of its folder is the package clause
	body string
	want string // "line: rule" of each problem, joined with ", "; empty means that the rules let it pass
}

func check(t *testing.T, cases []planted) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := path.Dir(c.file)
			sources := map[string]string{c.file: source(path.Base(dir), c.body)}
			if strings.HasSuffix(c.file, "_test.go") {
				sources[dir+"/doc.go"] = source(path.Base(dir), "")
			}
			var got []string
			var all []string
			rules := rulesForPlanted()
			rules.Fields = true // the house does without; the rule must work all the same
			for _, p := range Check(rules, plant(t, sources)) {
				got = append(got, fmt.Sprintf("%d: %s", p.Line, p.Rule))
				all = append(all, p.String())
			}
			if g := strings.Join(got, ", "); g != c.want {
				t.Errorf("problems %q, want %q\n%s\nsource:\n%s", g, c.want, strings.Join(all, "\n"), sources[c.file])
			}
		})
	}
}

// rulesForPlanted are those of the house without its exceptions, each of which is for a file that is not planted.
func rulesForPlanted() Rules {
	rules := House()
	rules.Exceptions = nil
	return rules
}

func TestPlantedImports(t *testing.T) {
	const module = "github.com/meshnode/meshnode/"
	imports := func(what string) string { return "import _ \"" + what + "\"" }
	check(t, []planted{
		{"edge of the table", "node/a.go", imports(module + "rpc"), ""},
		{"edge not in the table", "rpc/a.go", imports(module + "transport"), "3: import"},
		{"edge against the direction", "transport/a.go", imports(module + "node"), "3: import"},
		{"edge to the root", "node/a.go", imports("github.com/meshnode/meshnode"), "3: import"},
		{"edge past a layer", "membership/a.go", imports(module + "internal/wire"), "3: import"},
		{"behind a build tag", "rpc/a_windows.go", imports(module + "router"), "3: import"},
		{"module that only begins like ours", "node/a.go", imports("github.com/meshnode/meshnode2"), "3: import"},
		{"subcommand package", "cmd/meshnode/table/a.go", imports(module + "node"), ""},
		{"external of the table", "transport/a.go", imports("github.com/rs/zerolog"), ""},
		{"external of another row", "router/a.go", imports("github.com/rs/zerolog"), "3: import"},
		{"external in wire", "internal/wire/a.go", imports("github.com/vmihailenco/msgpack/v5"), "3: import"},
		{"other major version", "rpc/a.go", imports("github.com/vmihailenco/msgpack/v4"), "3: import"},
		{"cgo", "transport/a.go", imports("C"), "3: import"},
		{"package without a row", "cache/a.go", "", "2: unlisted"},
		{"nested module has its own rules", "bench/a.go", imports("google.golang.org/grpc"), ""},

		{"net in rpc", "rpc/a.go", imports("net"), "3: stdlib"},
		{"netip in rpc", "rpc/a.go", imports("net/netip"), ""},
		{"os in wire", "internal/wire/a.go", imports("os"), "3: stdlib"},
		{"below os", "internal/wire/a.go", imports("os/exec"), "3: stdlib"},
		{"time in rpc", "rpc/a.go", imports("time"), ""},
		{"time in router", "router/a.go", imports("time"), "3: stdlib"},
		{"sync in router", "router/a.go", imports("sync"), ""},
		{"runtime in the packer", "internal/pack/a.go", imports("runtime"), "3: stdlib"},
		{"the product does not know the simulator", "node/a.go", imports(module + "internal/simnet"), "3: import"},
		{"nor does a test of transport know the clusters of it", "transport/a_test.go", imports(module + "sim"), "3: test-import"},
		{"the simulated network in a test of transport", "transport/a_test.go", imports(module + "internal/simnet"), ""},
		{"net in membership", "membership/a.go", imports("net"), ""},

		{"test of below", "membership/a_test.go", imports(module + "internal/wire"), ""},
		{"test of itself", "router/a_test.go", imports(module + "router"), ""},
		{"test of above", "transport/a_test.go", imports(module + "node"), "3: test-import"},
		{"test beside", "rpc/a_test.go", imports(module + "router"), "3: test-import"},
		{"test library", "router/a_test.go", imports("pgregory.net/rapid"), ""},
		{"test library outside tests", "router/a.go", imports("pgregory.net/rapid"), "3: import"},
		{"unknown library in a test", "router/a_test.go", imports("github.com/stretchr/testify"), "3: test-import"},
		{"forbidden stdlib in a test", "router/a_test.go", imports("os"), ""},
	})
}

func TestPlantedUses(t *testing.T) {
	uses := func(imported, expr string) string { return "import \"" + imported + "\"\n\nvar _ = " + expr }
	check(t, []planted{
		{"socket outside transport", "node/a.go", uses("net", "net.ListenPacket"), "5: use"},
		{"dialer outside transport", "membership/a.go", uses("net", "net.Dialer{}"), "5: use"},
		{"look-up outside transport", "membership/a.go", uses("net", "net.LookupHost"), "5: use"},
		{"socket in transport", "transport/a.go", uses("net", "net.Listen"), ""},
		{"socket in a test", "node/a_test.go", uses("net", "net.Listen"), ""},
		{"type of net", "membership/a.go", uses("net", "(net.Conn)(nil)"), ""},
		{"interface of listeners", "internal/simnet/a.go", uses("net", "(net.Listener)(nil)"), ""},
		{"socket in the simulated network", "internal/simnet/a.go", uses("net", "net.ListenConfig{}"), "5: use"},
		{"renamed import", "node/a.go", "import n \"net\"\n\nvar _ = n.Dial", "5: use"},
		{"clock in wire", "internal/wire/a.go", uses("time", "time.Now"), "5: use"},
		{"clock in the packer", "internal/pack/a.go", uses("time", "time.Now"), "5: use"},
		{"duration in wire", "internal/wire/a.go", uses("time", "time.Second"), ""},
		{"shared randomness", "node/a.go", uses("math/rand/v2", "rand.IntN"), "5: use"},
		{"seeded randomness", "node/a.go", uses("math/rand/v2", "rand.New"), ""},
		{"old randomness", "node/a.go", uses("math/rand", "rand.New"), "5: use"},
		{"global logger", "rpc/a.go", uses("log", "log.Printf"), "5: use"},
		{"logger for memberlist", "membership/a.go", uses("log", "log.New"), ""},
		{"global zerolog", "node/a.go", uses("github.com/rs/zerolog/log", "log.Info"), "5: use"},
		{"print in a library", "router/a.go", uses("fmt", "fmt.Println"), "5: use"},
		{"print in a program", "cmd/meshnode/a.go", uses("fmt", "fmt.Println"), ""},
		{"exit in a library", "node/a.go", uses("os", "os.Exit"), "5: use"},
		{"goroutine in router", "router/a.go", "func f() {\n\tgo f()\n}", "4: goroutine"},
		{"goroutine in node", "node/a.go", "func f() {\n\tgo f()\n}", ""},
	})
}

func TestPlantedGlobals(t *testing.T) {
	check(t, []planted{
		{"init", "node/a.go", "func init() {}", "3: init"},
		{"method called init", "node/a.go", "type t int\n\nfunc (t) init() {}", ""},
		{"init in a test", "node/a_test.go", "func init() {}", ""},
		{"channel", "node/a.go", "var done chan struct{}", "3: global"},
		{"made channel", "node/a.go", "var done = make(chan int, 1)", "3: global"},
		{"function that takes a channel", "node/a.go", "var f = func(c chan int) {}", ""},
		{"timer", "node/a.go", "import \"time\"\n\nvar tick = time.NewTicker(1)", "5: global"},
		{"pointer to timer", "node/a.go", "import \"time\"\n\nvar t *time.Timer", "5: global"},
		{"WaitGroup in a struct", "node/a.go", "import \"sync\"\n\nvar s struct{ wg sync.WaitGroup }", "5: global"},
		{"mutex", "node/a.go", "import \"sync\"\n\nvar (\n\tmu sync.Mutex\n)", "6: global"},
		{"atomic", "node/a.go", "import \"sync/atomic\"\n\nvar n atomic.Int64", "5: global"},
		{"pool", "node/a.go", "import \"sync\"\n\nvar p = sync.Pool{}", ""},
		{"assigned", "node/a.go", "var n int\n\nfunc f() { n = 1 }", "5: global"},
		{"counted", "node/a.go", "var n int\n\nfunc f() { n++ }", "5: global"},
		{"element assigned", "node/a.go", "var m = map[string]int{}\n\nfunc f() { m[\"a\"] = 1 }", "5: global"},
		{"field assigned", "node/a.go", "var s struct{ a []int }\n\nfunc f() { s.a[0] = 1 }", "5: global"},
		{"address taken", "node/a.go", "var n int\n\nfunc f(func(*int)) { f(func(*int) {}); _ = &n }", "5: global"},
		{"local of the same name", "node/a.go", "var n int\n\nfunc f() { n := 0; n = 1; _ = n }", ""},
		{"read only", "node/a.go", "var m = map[string]int{\"a\": 1}\n\nfunc f() int { return m[\"a\"] }", ""},
	})
}

func TestPlantedDocs(t *testing.T) {
	check(t, []planted{
		{"function", "router/a.go", "func New() {}", "3: doc"},
		{"function with comment", "router/a.go", "// New.\nfunc New() {}", ""},
		{"not exported", "router/a.go", "func fresh() {}", ""},
		{"method", "router/a.go", "// T.\ntype T[K any] struct{}\n\nfunc (*T[K]) Do() {}", "6: doc"},
		{"method of a private type", "router/a.go", "type t struct{}\n\nfunc (t) Do() {}", ""},
		{"type", "router/a.go", "type T struct{}", "3: doc"},
		{"type in a group", "router/a.go", "// Types.\ntype (\n\tT struct{}\n)", "5: doc"},
		{"field", "router/a.go", "// T.\ntype T struct {\n\t// A.\n\tA int\n\tB int\n\tC int // C.\n}", "7: doc-field"},
		{"field in the type's comment", "router/a.go", "// T has From and To.\ntype T struct{ From, To, Too int }", "4: doc-field"},
		{"interface method", "router/a.go", "// T.\ntype T interface {\n\tDo()\n}", "5: doc-field"},
		{"constant", "router/a.go", "const A = 1", "3: doc"},
		{"constants in a group", "router/a.go", "// Both.\nconst (\n\tA = 1\n\tB = 2\n)", ""},
		{"variable", "router/a.go", "var A, b = 1, 2", "3: doc"},
		{"internal package", "internal/wire/a.go", "func New() {}", ""},
		{"test", "router/a_test.go", "func TestA() {}", ""},
	})
}

func TestPlantedTests(t *testing.T) {
	const open = "import (\n\t\"testing\"\n\t\"testing/synctest\"\n\t\"time\"\n)\n\n"
	fn := func(body string) string { return open + "func TestA(t *testing.T) {\n\t" + body + "\n}" }
	check(t, []planted{
		{"sleep", "node/a_test.go", fn("time.Sleep(1)"), "10: sleep"},
		{"sleep in a goroutine", "node/a_test.go", fn("go func() { time.Sleep(1) }()"), "10: sleep"},
		{"virtual sleep", "node/a_test.go", fn("synctest.Test(t, func(t *testing.T) { time.Sleep(1) })"), ""},
		{"sleep in a simulation", "sim/a_test.go", "import (\n\t\"testing\"\n\t\"time\"\n\n\t\"github.com/meshnode/meshnode/sim\"\n)\n\n" +
			"func TestA(t *testing.T) {\n\tsim.Test(t, sim.Config{}, func(*testing.T, *sim.Cluster) { time.Sleep(1) })\n}", ""},
		{"sleep outside tests", "node/a.go", "import \"time\"\n\nfunc f() { time.Sleep(1) }", ""},
		{"skip", "node/a_test.go", fn("t.Skip()"), "10: skip"},
		{"skip below", "node/a_test.go", fn("t.Run(\"\", func(x *testing.T) { x.Skipf(\"\") })"), "10: skip"},
		{"skip of a benchmark", "node/a_test.go", open + "func f(tb testing.TB) {\n\ttb.SkipNow()\n}", "10: skip"},
		{"skip of something else", "node/a_test.go", fn("var d interface{ Skip() }; d.Skip()"), ""},
		{"was it skipped", "node/a_test.go", fn("_ = t.Skipped()"), ""},
	})
}

func TestPlantedShape(t *testing.T) {
	lines := func(n int) string { return strings.Repeat("\n", n-3) }
	check(t, []planted{
		{"as long as allowed", "node/a.go", lines(400), ""},
		{"too long", "node/a.go", lines(401), "401: length"},
		{"too long in a test", "node/a_test.go", lines(401), "401: length"},
		{"too long in a nested module", "bench/a.go", lines(401), "401: length"},
		{"says nothing", "cmd/meshnode/netutil/a.go", "", "2: name"},
		{"manager", "cmd/meshnode/manager/a.go", "", "2: name"},
	})
}

func TestPlantedPackageComment(t *testing.T) {
	bare := plant(t, map[string]string{"node/a.go": "package node\n", "node/a_test.go": source("node", "")})
	main := plant(t, map[string]string{"cmd/meshnode/main.go": "package main\n"})
	for _, pkgs := range [][]*Package{bare, main} {
		got := Check(rulesForPlanted(), pkgs)
		if len(got) != 1 || got[0].Rule != "doc-package" {
			t.Errorf("%s: problems %v, want one of doc-package", pkgs[0].Path, got)
		}
	}
	tests := plant(t, map[string]string{"internal/proctest/a_test.go": source("proctest", "")})
	if got := Check(rulesForPlanted(), tests); len(got) > 0 {
		t.Errorf("a package of tests only, with a comment: %v", got)
	}
}

func TestExceptions(t *testing.T) {
	pkgs := plant(t, map[string]string{"node/a.go": source("node", "func init() {}")})
	rules := rulesForPlanted()
	rules.Exceptions = []Exception{{Rule: "init", File: "node/a.go", Name: "init", Why: "planted"}}
	if got := Check(rules, pkgs); len(got) > 0 {
		t.Errorf("covered by an exception, and still: %v", got)
	}
	rules.Exceptions = slices.Concat(rules.Exceptions, []Exception{{Rule: "init", File: "rpc/a.go", Name: "init", Why: "stale"}})
	if got := Check(rules, pkgs); len(got) != 1 || got[0].Rule != "exception" {
		t.Errorf("problems %v, want one for the stale exception", got)
	}
}
