package report_test

import (
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/meshnode/meshnode/sim/report"
	"github.com/meshnode/meshnode/sim/scenario"
)

func TestLoad(t *testing.T) {
	for _, want := range []*scenario.Result{splitBrain(), brokenSplitBrain()} {
		text, err := json.MarshalIndent(want, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		got, err := report.Load(strings.NewReader(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: what was loaded differs from what was written", want.Scenario)
		}
	}
}

const least = `"scenario":"steady","seed":1,"nodes":3,"virtual_s":60,"summary":{}`

func TestLoadTolerant(t *testing.T) {
	for _, text := range []string{
		`{` + least + `,"broken":null}`,
		`{` + least + `,"broken":[],"colour":{"of":["the","sky"]},"series":{"t":[1,2],"live":[3,3],"tides":[1]}}`,
		"\n {" + least + `,"broken":[]}` + "\n\n",
	} {
		r, err := report.Load(strings.NewReader(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if r.Scenario != "steady" || !r.Held() {
			t.Errorf("%s: loaded as %+v", text, r)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "it is empty"},
		{" \n", "it is empty"},
		{"# steady\nnodes: 3\n", "line 1: invalid character '#'"},
		{`[1, 2]`, "it is a JSON array, not an object"},
		{`null`, `it has no "scenario"`},
		{`{}`, `it has no "scenario"`},
		{`{` + least + `}`, `it has no "broken"`},
		{`{` + least + `,"broken":[]}{}`, "invalid character '{' after top-level value"},
		{"{" + least + ",\n\"broken\":[", "line 2: unexpected end of JSON input"},
		{"{" + least + ",\n\"broken\":[],\n\"exact\":7}", `line 3: "exact" is a JSON number, not bool`},
		{`{"scenario":"","seed":1,"nodes":3,"virtual_s":60,"summary":{},"broken":[]}`, "the scenario has no name"},
		{`{"scenario":"a","seed":-1,"nodes":3,"virtual_s":60,"summary":{},"broken":[]}`, `"seed" is a JSON number -1, not uint64`},
		{`{"scenario":"a","seed":1,"nodes":-3,"virtual_s":60,"summary":{},"broken":[]}`, "-3 nodes"},
		{`{"scenario":"a","seed":1,"nodes":3,"virtual_s":-60,"summary":{},"broken":[]}`, "-60 s of virtual time"},
		{`{` + least + `,"broken":[],"series":{"t":[1,2],"live":[3]}}`, `series "live" has 1 samples for 2 points of time`},
		{`{` + least + `,"broken":[],"series":{"t":[2,1]}}`, "sample 1 is at 1 s, after one at 2 s"},
	} {
		r, err := report.Load(strings.NewReader(c.text))
		if r != nil || !errors.Is(err, report.ErrNotResult) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, not %q", c.text, err, c.want)
		}
	}
	if _, err := report.Load(iotest.ErrReader(io.ErrClosedPipe)); !errors.Is(err, io.ErrClosedPipe) || errors.Is(err, report.ErrNotResult) {
		t.Errorf("the reader's error became %v", err)
	}
}

// blanks is a file without an end.
type blanks struct{}

func (blanks) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}

func TestLoadBounded(t *testing.T) {
	if _, err := report.Load(blanks{}); !errors.Is(err, report.ErrNotResult) || !strings.Contains(err.Error(), "more than 64 MiB") {
		t.Errorf("a file without an end: %v", err)
	}
}

// FuzzLoad shows that whatever is loaded can be written in every form.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(`{` + least + `,"broken":[]}`))
	f.Add([]byte(`{` + least + `,"broken":[{"invariant":"x","at_s":1e300}],"series":{"t":[-1,1e308],"seen_min":[1,-9],"max_ms":[1e-300,3]},"faults":[{"do":"a","at_s":-5,"until_s":1e99}]}`))
	for _, r := range []*scenario.Result{short(splitBrain()), hostile()} {
		text, err := json.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := report.Load(strings.NewReader(string(text)))
		if err != nil {
			if r != nil || !errors.Is(err, report.ErrNotResult) {
				t.Errorf("%+v, %v", r, err)
			}
			return
		}
		wellFormed(t, html(t, r))
		if err := report.Text(io.Discard, r, 80); err != nil {
			t.Error(err)
		}
		if err := report.Compare(io.Discard, r, splitBrain(), 80); err != nil {
			t.Error(err)
		}
	})
}
