package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

// Mixed load: one caller makes small calls while long replies come on the same
// connection. How much longer do the small ones take?

// mixedBulk is the length of the long replies, in bytes.
const mixedBulk = 100 << 20

var meshBulk = rpc.NewMethod[[]byte, []byte]("bench.Bulk", rpc.Idempotent())

// mixedRow is what one round, or the median of all, gave.
type mixedRow struct {
	IdleP50   float64 `json:"idle_p50_us"`
	IdleP99   float64 `json:"idle_p99_us"`
	LoadedP50 float64 `json:"loaded_p50_us"`
	LoadedP99 float64 `json:"loaded_p99_us"`
	Ratio     float64 `json:"p99_ratio"`
	Bulk      float64 `json:"bulk_mib_per_s"`
}

// runMixed measures rounds of an idle and a loaded window each.
func runMixed(ctx context.Context, o options, stdout, stderr io.Writer) error {
	pair, err := startMeshWith(ctx, func(cfg *node.Config) error {
		cfg.Limits.Transport.MaxBody = mixedBulk
		return nil
	})
	if err != nil {
		return err
	}
	defer pair.Close()
	bulk := make([]byte, mixedBulk)
	meshBulk.Handle(pair.z, func(context.Context, *[]byte) (*[]byte, error) { return &bulk, nil })
	var rounds []mixedRow
	for round := range o.rounds {
		row, err := mixedRound(ctx, pair, o.window)
		if err != nil {
			return err
		}
		rounds = append(rounds, row)
		_, _ = fmt.Fprintf(stderr, "round %d of %d: p99 %.0f µs idle, %.0f µs loaded\n", round+1, o.rounds, row.IdleP99, row.LoadedP99)
	}
	of := func(value func(mixedRow) float64) float64 { return medianOf(rounds, value) }
	row := mixedRow{
		IdleP50: of(func(r mixedRow) float64 { return r.IdleP50 }), IdleP99: of(func(r mixedRow) float64 { return r.IdleP99 }),
		LoadedP50: of(func(r mixedRow) float64 { return r.LoadedP50 }), LoadedP99: of(func(r mixedRow) float64 { return r.LoadedP99 }),
		Ratio: of(func(r mixedRow) float64 { return r.Ratio }), Bulk: of(func(r mixedRow) float64 { return r.Bulk }),
	}
	if o.json {
		return writeJSON(stdout, []mixedRow{row})
	}
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintf(w, "64 B calls, 1 caller\tp50 µs\tp99 µs\t\n")
	_, _ = fmt.Fprintf(w, "alone\t%.0f\t%.0f\t\n", row.IdleP50, row.IdleP99)
	_, _ = fmt.Fprintf(w, "while 100 MiB replies flow\t%.0f\t%.0f\t\n", row.LoadedP50, row.LoadedP99)
	_, _ = fmt.Fprintf(w, "ratio of p99\t\t%.1f\t\n", row.Ratio)
	_, _ = fmt.Fprintf(w, "long replies, MiB/s\t\t%.0f\t\n", row.Bulk)
	return w.Flush()
}

// mixedRound measures small calls without and with long replies beside them.
func mixedRound(ctx context.Context, pair *meshPair, window time.Duration) (mixedRow, error) {
	small := meshRawPeer{pair, meshRaw}.Caller(make([]byte, chartSize))
	idle, err := smallCalls(small, window, 0)
	if err != nil {
		return mixedRow{}, err
	}
	var stop atomic.Bool
	var bulkBytes atomic.Int64
	var bulkErr error
	var wg sync.WaitGroup
	started := time.Now()
	wg.Go(func() {
		for !stop.Load() {
			reply, err := meshBulk.Call(ctx, pair.a, nil, rpc.Peer("z"), rpc.Timeout(time.Minute))
			if err != nil {
				bulkErr = err
				return
			}
			bulkBytes.Add(int64(len(*reply)))
		}
	})
	loaded, err := smallCalls(small, window, window/5)
	stop.Store(true)
	wg.Wait()
	took := time.Since(started).Seconds()
	return mixedRow{
		IdleP50: micros(idle.quantile(0.5)), IdleP99: micros(idle.quantile(0.99)),
		LoadedP50: micros(loaded.quantile(0.5)), LoadedP99: micros(loaded.quantile(0.99)),
		Ratio: micros(loaded.quantile(0.99)) / micros(idle.quantile(0.99)),
		Bulk:  float64(bulkBytes.Load()) / took / (1 << 20),
	}, errors.Join(err, bulkErr)
}

// smallCalls calls for a while and records how long each call took, after warm.
func smallCalls(call func() ([]byte, error), window, warm time.Duration) (*histogram, error) {
	h := new(histogram)
	from := time.Now().Add(warm)
	for end := from.Add(window); ; {
		begun := time.Now()
		if begun.After(end) {
			return h, nil
		}
		if _, err := call(); err != nil {
			return h, err
		}
		if begun.After(from) {
			h.add(time.Since(begun))
		}
	}
}
