package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/meshnode/meshnode/internal/exact"
	"github.com/meshnode/meshnode/sim/scenario"
)

// runExact runs a scenario so that the same seed gives the same trace.
func (a *app) runExact(ctx context.Context, s *scenario.Scenario, opts scenario.Options) (*scenario.Result, error) {
	began := time.Now()
	program, err := exact.Build(ctx, exact.BuildConfig{Progress: func(what string) {
		if isTerminal(a.stderr) {
			fmt.Fprintf(a.stderr, "\r%s\x1b[K", what)
		}
	}})
	if err != nil {
		return nil, err
	}
	var in, out bytes.Buffer
	if err := s.Write(&in); err != nil {
		return nil, err
	}
	var args []string
	if opts.Trace != nil {
		args = append(args, "trace")
	}
	stderr := &guestOutput{trace: opts.Trace, progress: opts.Progress}
	_, err = exact.Run(ctx, program, exact.RunConfig{
		Args: args, Stdin: &in, Stdout: &out, Stderr: stderr, Seed: max(s.Seed, 1),
	})
	if err != nil {
		return nil, fmt.Errorf("%w%s", err, stderr.said())
	}
	r := &scenario.Result{}
	if err := json.Unmarshal(out.Bytes(), r); err != nil {
		return nil, fmt.Errorf("the simulator's answer: %w", err)
	}
	r.Exact, r.Module = true, program.Hash
	r.WallS = time.Since(began).Seconds()
	r.Ratio = r.VirtualS / max(r.WallS, 1e-9)
	return r, nil
}
