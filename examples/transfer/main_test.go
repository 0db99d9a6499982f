package main

import (
	"context"
	"testing"
	"time"

	"github.com/meshnode/meshnode/outbox"
)

// The program runs, and again on the same directories: accounts stay open, and it
// ends only when the sum is what it was. All that was to be made was made.
func TestRun(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	o := options{data: t.TempDir(), nodes: 2, transfers: 9}
	o.cfg.Table.Partitions = 64
	for range 2 {
		if err := o.run(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"node-1", "node-2"} {
		box, err := outbox.Open(o.data+"/"+name, outbox.Config{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		if s := box.Status(); s.Pending != 0 || s.Done == 0 {
			t.Errorf("%s: %+v", name, s)
		}
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	}
}
