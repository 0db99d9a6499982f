package scenario

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseErrors(t *testing.T) {
	const good = "name: x\nnodes: 4\nduration: 10s\n"
	for _, c := range []struct{ text, want string }{
		{"", "empty"},
		{"name: x\nnodes: many\nduration: 10s\n", "line 2"},
		{good + "noodles: 3\n", `line 4, column 1: unknown field "noodles"`},
		{good + "nodes: 5\n", "line 4"},
		{good + "---\nname: y\n", "more than one document"},
		{"nodes: 4\nduration: 10s\n", "no name"},
		{"name: x\nnodes: 0\nduration: 10s\n", "nodes: 0"},
		{"name: x\nnodes: 4\nduration: soon\n", "line 3"},
		{good + "profile: mars\n", "line 4"},
		{good + "link: {latency: fast}\n", "no distribution of times"},
		{good + "link: {loss: 1.5}\n", "link.loss: 1.5"},
		{good + "workload: {writes: 2}\n", "workload.writes"},
		{good + "workload: {keys: {distribution: normal}}\n", "uniform or zipf"},
		{good + "timeline: [{at: 1s, do: explode}]\n", `unknown fault "explode"`},
		{good + "timeline: [{at: 1s, do: crash}]\n", "want to whom"},
		{good + "timeline: [{at: 1s, do: crash, nodes: 7}]\n", "there are 4 nodes"},
		{good + "timeline: [{at: 1s, do: crash, nodes: someone}]\n", "names no nodes"},
		{good + "timeline: [{at: 20s, do: crash, nodes: 1}]\n", "after the end"},
		{good + "timeline: [{at: 1s, do: restart, nodes: 1, for: 1s}]\n", "over at once"},
		{good + "timeline: [{at: 1s, do: slow, nodes: 1}]\n", "work"},
		{good + "timeline: [{at: 1s, do: add}]\n", "count"},
		{good + "timeline: [{at: 1s, do: crash, nodes: 1, times: 3}]\n", "every"},
		{good + "plant: [fleas]\n", "fleas"},
	} {
		_, err := Parse(strings.NewReader(c.text))
		if !errors.Is(err, ErrScenario) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v; want %q", c.text, err, c.want)
		}
	}
}

// What is written is read as the same.
func TestWriteAndParse(t *testing.T) {
	all := []*Scenario{}
	for _, name := range Names() {
		s, err := Shipped(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	for seed := range uint64(50) {
		all = append(all, Random(seed+1))
	}
	for _, s := range all {
		var b bytes.Buffer
		if err := s.Write(&b); err != nil {
			t.Fatal(err)
		}
		again, err := Parse(bytes.NewReader(b.Bytes()))
		if err != nil {
			t.Fatalf("%v in\n%s", err, b.String())
		}
		if !reflect.DeepEqual(s, again) {
			t.Errorf("%s became another:\n%+v\n%+v\n%s", s.Name, s, again, b.String())
		}
	}
}

func TestNodes(t *testing.T) {
	zone := func(i int) string { return []string{"a", "b", "c"}[i%3] }
	for _, c := range []struct {
		text string
		want []int
	}{
		{"3", []int{3}},
		{"0-2", []int{0, 1, 2}},
		{"[5, 1, 1]", []int{1, 5}},
		{"all", span(0, 9)},
		{"first", []int{0}},
		{"last", []int{8}},
		{"1/3", []int{6, 7, 8}},
		{`"zone:b"`, []int{1, 4, 7}},
		{`["zone:a", last]`, []int{0, 3, 6, 8}},
	} {
		var n Nodes
		if err := n.UnmarshalYAML([]byte(c.text)); err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		got, err := n.resolve(9, zone, nil)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s is %v, %v; want %v", c.text, got, err, c.want)
		}
	}
	random := Nodes{"random:4"}
	a, _ := random.resolve(9, zone, rand.New(rand.NewPCG(1, 1)))
	b, _ := random.resolve(9, zone, rand.New(rand.NewPCG(1, 1)))
	if len(a) != 4 || !slices.Equal(a, b) {
		t.Errorf("random: %v and %v", a, b)
	}
}

func TestDist(t *testing.T) {
	for _, text := range []string{"2ms", "uniform 1ms 5ms", "normal 10ms 2ms", "pareto 1ms 1.5"} {
		var d Dist
		if err := d.UnmarshalText([]byte(text)); err != nil || d.String() != text {
			t.Errorf("%s became %s, %v", text, d, err)
		}
	}
	for _, text := range []string{"", "2", "-1ms", "uniform 5ms 1ms", "uniform 1ms", "pareto 1ms", "pareto 1ms 0", "gauss 1ms 1ms", "normal 1ms x", "1ms 2ms 3ms"} {
		if err := new(Dist).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestOverride(t *testing.T) {
	text, err := Source("crash-one")
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseWith(text, []string{"nodes=3", "workload.rate=7", "timeline.0.at=5s", "link.loss=0.1", "zones=[a, b]"})
	if err != nil {
		t.Fatal(err)
	}
	if s.Nodes != 3 || s.Workload.Rate != 7 || s.Timeline[0].At.D() != 5*time.Second || s.Link.Loss != 0.1 || len(s.Zones) != 2 {
		t.Errorf("got %+v", s)
	}
	for _, bad := range []string{"nodes", "=3", "timeline.9.at=1s", "workload.rat=1", "name.x=1", "nodes=[1"} {
		if _, err := ParseWith(text, []string{bad}); !errors.Is(err, ErrScenario) {
			t.Errorf("%s: got %v", bad, err)
		}
	}
}

// FuzzParse: no bytes make a scenario that cannot be checked, or that changes when it
// is written.
func FuzzParse(f *testing.F) {
	f.Add(Template())
	for _, name := range Names() {
		text, _ := Source(name)
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse(bytes.NewReader(text))
		if err != nil {
			if !errors.Is(err, ErrScenario) {
				t.Errorf("an error of another kind: %v", err)
			}
			return
		}
		if err := s.Validate(); err != nil {
			t.Errorf("read, but not right: %v", err)
		}
	})
}
