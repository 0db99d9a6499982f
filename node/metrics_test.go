package node

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/meshnode/meshnode/rpc"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the table of docs/metrics.md")

const metricsDoc = "../docs/metrics.md"

// Every metric says in words what it counts and what a rise means, each in its own, and
// docs/metrics.md lists them with these words.
func TestMetricsAreExplained(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.secure()
	l.edit = chain(l.edit, func(cfg *Config) { cfg.Admission = Admission{Adaptive: true} })
	nodes := l.cluster("a", "b")
	if _, err := work.Call(t.Context(), nodes[0], &job{}, rpc.Peer("b")); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := nodes[1].WriteMetrics(&out); err != nil {
		t.Fatal(err)
	}
	families := regexp.MustCompile(`(?m)^# HELP (\S+) (.*)\n# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(out.String(), -1)
	texts := map[string]string{}
	var table strings.Builder
	table.WriteString("| metric | kind | what it is, and what a change means |\n|---|---|---|\n")
	for _, f := range families {
		name, help, kind := f[1], f[2], f[4]
		sentences := strings.Count(help+" ", ". ")
		if len(help) < 40 || sentences < 1 || strings.Contains(help, "docs/") || !strings.HasSuffix(help, ".") {
			t.Errorf("%s: %q says too little", name, help)
		}
		if other, ok := texts[help]; ok {
			t.Errorf("%s and %s have the same help", name, other)
		}
		texts[help] = name
		table.WriteString("| `" + name + "` | " + kind + " | " + help + " |\n")
	}
	if len(families) < 60 {
		t.Errorf("%d families are too few", len(families))
	}
	doc, err := os.ReadFile(metricsDoc)
	if err != nil {
		t.Fatal(err)
	}
	before, old, found := strings.Cut(string(doc), "| metric |")
	if *rewrite {
		if err := os.WriteFile(metricsDoc, []byte(before+table.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !found || "| metric |"+old != table.String() {
		t.Errorf("%s has another table; go test ./node -run '^%s$' -rewrite writes it anew", metricsDoc, t.Name())
	}
}

// Every counter that a node has is explained, and nothing that it has not.
func TestCountersAreExplained(t *testing.T) {
	l := newLab(t)
	l.secure()
	a := l.start("a")
	help := CounterHelp()
	for name := range a.Stats() {
		if help[name] == "" {
			t.Errorf("%s is not explained", name)
		}
		delete(help, name)
	}
	for name := range help {
		t.Errorf("%s is explained, and no counter", name)
	}
}

func chain(edits ...func(*Config)) func(*Config) {
	return func(cfg *Config) {
		for _, edit := range edits {
			edit(cfg)
		}
	}
}
