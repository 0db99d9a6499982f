package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// redoRecord is the size of a record, in bytes; redoPending how many are recovered.
const (
	redoRecord  = 200
	redoPending = 1_000_000
)

// redoLog is a log under test. Append may be called side by side, and returns when
// the record is on the disk.
type redoLog interface {
	Append(data []byte) error
	Close() error
}

// redoKind is one kind of log.
type redoKind struct {
	name    string
	open    func(dir string, writers int) (redoLog, error)
	fill    func(dir string, n int) error                                 // entries, and a log that is closed
	recover func(dir string, each func(data []byte)) (err error)          // opens it and gives all entries
	loop    func(dir string, writers int) (calls func() error, err error) // instead of open: one call stands for all writers
}

// redoRow is what came of one kind and number of writers.
type redoRow struct {
	Name    string  `json:"name"`
	Writers int     `json:"writers,omitempty"`
	Calls   float64 `json:"calls_per_s,omitempty"`
	Ratio   float64 `json:"of_bare_loop,omitempty"`
	Recover float64 `json:"recover_ms,omitempty"` // a million pending entries
	Bytes   float64 `json:"recover_bytes,omitempty"`
}

func runRedo(ctx context.Context, o options, stdout, stderr io.Writer) error {
	dir, err := os.MkdirTemp(o.dir, "meshnode-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	rows, err := redoRates(ctx, o, dir, stderr)
	if err != nil {
		return err
	}
	recovered, err := redoRecoveries(ctx, o, dir, redoPending, stderr)
	if err != nil {
		return err
	}
	if o.json {
		return writeJSON(stdout, append(rows, recovered...))
	}
	return writeRedo(stdout, rows, recovered, o)
}

// redoRates goes over all kinds in each round, so that a ratio is between neighbours in
// time.
func redoRates(ctx context.Context, o options, dir string, stderr io.Writer) (rows []redoRow, err error) {
	for _, writers := range o.callers {
		rates, ratios := make(map[string][]float64), make(map[string][]float64)
		for round := range o.rounds {
			bare := 0.0
			for _, k := range redoKinds() {
				_, _ = fmt.Fprintf(stderr, "round %d, %d writers: %s\n", round+1, writers, k.name)
				rate, err := k.rate(ctx, filepath.Join(dir, "log"), writers, o.window)
				if err != nil {
					return nil, fmt.Errorf("%s, %d writers: %w", k.name, writers, err)
				}
				if k.loop != nil {
					bare = rate
				}
				rates[k.name] = append(rates[k.name], rate)
				ratios[k.name] = append(ratios[k.name], rate/bare)
			}
		}
		for _, k := range redoKinds() {
			rows = append(rows, redoRow{Name: k.name, Writers: writers, Calls: median(rates[k.name]), Ratio: median(ratios[k.name])})
		}
	}
	return rows, nil
}

// rate is how many records a second get to the disk, in a folder that is made for it.
func (k redoKind) rate(ctx context.Context, dir string, writers int, window time.Duration) (float64, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if k.loop != nil {
		call, err := k.loop(dir, writers)
		if err != nil {
			return 0, err
		}
		n, begun := 0, time.Now()
		for ; time.Since(begun) < window && ctx.Err() == nil; n += writers {
			if err := call(); err != nil {
				return 0, err
			}
		}
		return float64(n) / time.Since(begun).Seconds(), ctx.Err()
	}
	l, err := k.open(dir, writers)
	if err != nil {
		return 0, err
	}
	rate, err := appendAll(ctx, l, writers, window)
	return rate, errors.Join(err, l.Close())
}

// appendAll has so many writers append for a while.
func appendAll(ctx context.Context, l redoLog, writers int, window time.Duration) (float64, error) {
	var done atomic.Int64
	var mu sync.Mutex
	var failed error
	var group sync.WaitGroup
	begun := time.Now()
	for w := range writers {
		group.Go(func() {
			data := bodyOf(redoRecord, w)
			for time.Since(begun) < window && ctx.Err() == nil {
				if err := l.Append(data); err != nil {
					mu.Lock()
					defer mu.Unlock()
					failed = err
					return
				}
				done.Add(1)
			}
		})
	}
	group.Wait()
	return float64(done.Load()) / time.Since(begun).Seconds(), errors.Join(failed, ctx.Err())
}

// redoRecoveries fills a log of each kind and opens it, a few times.
func redoRecoveries(ctx context.Context, o options, dir string, n int, stderr io.Writer) (rows []redoRow, err error) {
	for _, k := range redoKinds() {
		_, _ = fmt.Fprintf(stderr, "recovery of %s entries: %s\n", grouped(float64(n)), k.name)
		dir := filepath.Join(dir, "full")
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
		if err := k.fill(dir, n); err != nil {
			return nil, fmt.Errorf("%s: filling: %w", k.name, err)
		}
		var times []float64
		size := 0
		for range o.rounds {
			count := 0
			size = 0
			begun := time.Now()
			err := k.recover(dir, func(data []byte) { count++; size += len(data) })
			times = append(times, time.Since(begun).Seconds()*1e3)
			if err = errors.Join(err, ctx.Err()); err != nil || count != n {
				return nil, fmt.Errorf("%s: recovered %d entries: %w", k.name, count, err)
			}
		}
		rows = append(rows, redoRow{Name: k.name, Recover: median(times), Bytes: float64(size)})
		if err := os.RemoveAll(dir); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// writeRedo prints one line for each kind.
func writeRedo(stdout io.Writer, rows, recovered []redoRow, o options) error {
	head := []string{""}
	for _, writers := range o.callers {
		head = append(head, fmt.Sprintf("%d writers: calls/s", writers), "of the loop")
	}
	lines := [][]string{append(head, "recovery of 1,000,000, ms")}
	for _, r := range recovered {
		line := []string{r.Name}
		for _, rate := range rows {
			if rate.Name == r.Name {
				line = append(line, grouped(rate.Calls), figure(rate.Ratio, 2))
			}
		}
		lines = append(lines, append(line, grouped(r.Recover)))
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "records of %d bytes, synced; medians of %s of %v; the loop is one file, one write and one sync for all writers' records\n\n",
		redoRecord, roundsText(o.rounds), o.window)
	align(&b, lines)
	_, err := stdout.Write(b.Bytes())
	return err
}
