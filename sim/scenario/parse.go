package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/meshnode/meshnode/internal/planted"
	"github.com/meshnode/meshnode/internal/simnet"
)

// ErrScenario tells of a scenario that cannot be run; the message says what to
// mend, with the line where it is in a file.
var ErrScenario = errors.New("bad scenario")

// maxFile bounds scenario files, in bytes.
const maxFile = 1 << 20

// Parse reads a scenario from YAML. Unknown names, values of the wrong kind and
// what no run could make sense of are errors (ErrScenario) that name the line.
func Parse(r io.Reader) (*Scenario, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrScenario, maxFile)
	}
	s := &Scenario{}
	dec := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict(), yaml.DisallowUnknownField())
	if err := dec.Decode(s); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w: it is empty", ErrScenario)
		}
		return nil, fmt.Errorf("%w: %s", ErrScenario, placed(err, text))
	}
	if err := dec.Decode(&Scenario{}); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: more than one document", ErrScenario)
	}
	return s, s.Validate()
}

// placed gives an error of the YAML library with its place in words. Errors of values
// with a text of their own say no place, but quote the value: it is looked for.
func placed(err error, file []byte) string {
	text := yaml.FormatError(err, false, false)
	var line, column int
	if n, _ := fmt.Sscanf(text, "[%d:%d]", &line, &column); n == 2 {
		_, what, _ := strings.Cut(text, "] ")
		return fmt.Sprintf("line %d, column %d: %s", line, column, what)
	}
	if _, rest, ok := strings.Cut(text, `"`); ok {
		value, _, _ := strings.Cut(rest, `"`)
		for i, l := range strings.Split(string(file), "\n") {
			if value != "" && strings.Contains(l, value) {
				return fmt.Sprintf("line %d: %s", i+1, text)
			}
		}
	}
	return text
}

// Write writes a scenario as YAML that Parse reads.
func (s *Scenario) Write(w io.Writer) error {
	text, err := yaml.MarshalWithOptions(s, yaml.Indent(2), yaml.IndentSequence(true), yaml.UseLiteralStyleIfMultiline(true))
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

// maxRun bounds a run, in virtual time.
const maxRun = 24 * time.Hour

// Validate checks what a parser cannot. The error is ErrScenario.
func (s *Scenario) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrScenario, fmt.Sprintf(format, args...))
	}
	switch w := &s.Workload; {
	case s.Name == "":
		return bad("it has no name")
	case s.Nodes < 1 || s.Nodes > 10_000:
		return bad("nodes: %d; want 1 to 10000", s.Nodes)
	case s.Duration <= 0 || s.Duration.D() > maxRun:
		return bad("duration: %v; want up to %v", s.Duration, maxRun)
	case w.Rate < 0 || w.Rate > 1e6:
		return bad("workload.rate: %v; want 0 to 1000000 a second", w.Rate)
	case w.Clients < 0 || w.Clients > 1000:
		return bad("workload.clients: %d; want 0 to 1000", w.Clients)
	case w.Writes < 0 || w.Writes > 1:
		return bad("workload.writes: %v; want 0 to 1", w.Writes)
	case w.Keys.Distribution != "" && w.Keys.Distribution != "uniform" && w.Keys.Distribution != "zipf":
		return bad("workload.keys.distribution: %q; want uniform or zipf", w.Keys.Distribution)
	case w.Keys.Skew != 0 && w.Keys.Skew <= 1:
		return bad("workload.keys.skew: %v; want more than 1", w.Keys.Skew)
	case w.Keys.Count < 0 || w.Keys.Count > 10_000_000:
		return bad("workload.keys.count: %d; want up to 10000000", w.Keys.Count)
	case s.Expect.Availability < 0 || s.Expect.Availability > 1:
		return bad("expect.availability: %v; want 0 to 1", s.Expect.Availability)
	}
	if err := s.Link.check("link"); err != nil {
		return bad("%v", err)
	}
	for i := range s.Links {
		if err := s.Links[i].Link.check(fmt.Sprintf("links[%d]", i)); err != nil {
			return bad("%v", err)
		}
	}
	if _, err := s.bugs(); err != nil {
		return bad("%v", err)
	}
	if _, err := s.script(); err != nil {
		return bad("%v", err)
	}
	return nil
}

func (l *Link) check(where string) error {
	for _, p := range []struct {
		name  string
		value float64
	}{{"loss", l.Loss}, {"duplicate", l.Duplicate}, {"reorder", l.Reorder}} {
		if !(p.value >= 0 && p.value <= 1) {
			return fmt.Errorf("%s.%s: %v; want 0 to 1", where, p.name, p.value)
		}
	}
	if l.Bandwidth < 0 {
		return fmt.Errorf("%s.bandwidth: %d; want bytes a second", where, l.Bandwidth)
	}
	return nil
}

// apply puts what is set over a link.
func (l *Link) apply(to *simnet.Link) {
	if !l.Latency.IsZero() {
		to.Latency = l.Latency.Dist
	}
	set := func(dst *float64, v float64) {
		if v != 0 {
			*dst = v
		}
	}
	set(&to.Loss, l.Loss)
	set(&to.Duplicate, l.Duplicate)
	set(&to.Reorder, l.Reorder)
	if l.Jitter != 0 {
		to.Jitter = l.Jitter.D()
	}
	if l.Bandwidth != 0 {
		to.Bandwidth = l.Bandwidth
	}
}

// Bugs are the names that Plant takes.
func Bugs() []string {
	return []string{"stale-table", "serve-foreign", "retry-ambiguous", "no-refutation"}
}

func (s *Scenario) bugs() (planted.Bugs, error) {
	var b planted.Bugs
	for _, name := range s.Plant {
		switch name {
		case "stale-table":
			b.StaleTable = true
		case "serve-foreign":
			b.ServeForeign = true
		case "retry-ambiguous":
			b.RetryAmbiguous = true
		case "no-refutation":
			b.NoRefutation = true
		default:
			return b, fmt.Errorf("plant: %q; want one of %v", name, Bugs())
		}
	}
	return b, nil
}
