package main

import (
	"bytes"
	"io"
	"path/filepath"
	"testing"
	"time"
)

// Each kind of log appends, and gives all that it was filled with.
func TestRedo(t *testing.T) {
	o := options{callers: []int{1, 4}, rounds: 1, window: 20 * time.Millisecond}
	rows, err := redoRates(t.Context(), o, t.TempDir(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	recovered, err := redoRecoveries(t.Context(), o, t.TempDir(), 2500, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	kinds := len(redoKinds())
	if len(rows) != 2*kinds || len(recovered) != kinds {
		t.Fatalf("%d and %d rows of %d kinds", len(rows), len(recovered), kinds)
	}
	for i, r := range rows {
		if r.Calls <= 0 || (i%kinds == 0) != (r.Ratio == 1) {
			t.Errorf("%+v", r)
		}
	}
	for _, r := range recovered {
		if r.Bytes != 2500*redoRecord || r.Recover <= 0 {
			t.Errorf("%+v", r)
		}
	}
	var b bytes.Buffer
	if err := writeRedo(&b, rows, recovered, o); err != nil || bytes.Count(b.Bytes(), []byte("\n")) != kinds+3 {
		t.Errorf("%v:\n%s", err, b.Bytes())
	}
	if _, err := redoRates(t.Context(), o, filepath.Join(t.TempDir(), "none"), io.Discard); err == nil {
		t.Error("no folder, and no error")
	}
}
