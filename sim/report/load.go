package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/meshnode/meshnode/sim/scenario"
)

// ErrNotResult is what Load returns, with the reason, for anything but the JSON of
// a run.
var ErrNotResult = errors.New("not the result of a simulation")

// maxJSON bounds what Load reads: 100,000 samples take 10 MB.
const maxJSON = 64 << 20

// required are the members without which an object is something else.
func required() []string {
	return []string{"scenario", "seed", "nodes", "virtual_s", "broken", "summary"}
}

// Load reads a result as `-o json` writes it. Members that it does not know are
// passed over: a newer release may have more. What is no result, or contradicts
// itself, is refused with an error that wraps [ErrNotResult]; errors of the reader
// are returned as they are.
func Load(from io.Reader) (*scenario.Result, error) {
	text, err := io.ReadAll(io.LimitReader(from, maxJSON+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxJSON {
		return nil, fmt.Errorf("%w: more than %d MiB", ErrNotResult, maxJSON>>20)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, fmt.Errorf("%w: %s", ErrNotResult, explain(text, err))
	}
	for _, name := range required() {
		if _, ok := members[name]; !ok {
			return nil, fmt.Errorf("%w: it has no %q", ErrNotResult, name)
		}
	}
	r := new(scenario.Result)
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%w: %s", ErrNotResult, explain(text, err))
	}
	if err := check(r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotResult, err)
	}
	return r, nil
}

// explain says what is wrong with JSON, and on which line.
func explain(text []byte, err error) string {
	var syntax *json.SyntaxError
	var mismatch *json.UnmarshalTypeError
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return "it is empty"
	case errors.As(err, &syntax):
		return fmt.Sprintf("line %d: %v", lineAt(text, syntax.Offset), syntax)
	case errors.As(err, &mismatch) && mismatch.Field == "":
		return "it is a JSON " + mismatch.Value + ", not an object"
	case errors.As(err, &mismatch):
		return fmt.Sprintf("line %d: %q is a JSON %s, not %s", lineAt(text, mismatch.Offset), mismatch.Field, mismatch.Value, mismatch.Type)
	}
	return err.Error()
}

func lineAt(text []byte, offset int64) int {
	offset = min(max(offset, 0), int64(len(text)))
	return 1 + bytes.Count(text[:offset], []byte("\n"))
}

// check finds what no run can have written.
func check(r *scenario.Result) error {
	switch {
	case r.Scenario == "":
		return errors.New("the scenario has no name")
	case r.Nodes < 0:
		return fmt.Errorf("%d nodes", r.Nodes)
	case r.VirtualS < 0:
		return fmt.Errorf("%g s of virtual time", r.VirtualS)
	}
	for i, at := range r.Series.T {
		if i > 0 && at < r.Series.T[i-1] {
			return fmt.Errorf("sample %d is at %g s, after one at %g s", i, at, r.Series.T[i-1])
		}
	}
	s, n := &r.Series, len(r.Series.T)
	for _, series := range []struct {
		name string
		len  int
	}{
		{"live", len(s.Live)},
		{"seen_min", len(s.SeenMin)},
		{"seen_mean", len(s.SeenMean)},
		{"seen_max", len(s.SeenMax)},
		{"tables", len(s.Tables)},
		{"calls", len(s.Calls)},
		{"failed", len(s.Failed)},
		{"p50_ms", len(s.P50Ms)},
		{"p99_ms", len(s.P99Ms)},
		{"max_ms", len(s.MaxMs)},
		{"moved", len(s.Moved)},
		{"gossip_per_s", len(s.GossipPerSec)},
	} {
		if series.len != n && series.len != 0 { // an older release may not have had it
			return fmt.Errorf("series %q has %d samples for %d points of time", series.name, series.len, n)
		}
	}
	return nil
}
