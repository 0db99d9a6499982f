package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

// An open loop must not fill the memory, whatever it meets.
const (
	maxUnderWay = 10_000  // calls; what finds no room counts as failed
	maxOutcomes = 1 << 18 // kept for the report, the latest ones: 16 MiB, four minutes
)

// loader sends calls at a fixed rate, whatever becomes of them.
type loader struct {
	n          *node.Node
	o          options
	safe, once rpc.Method[Request, Reply]
	report     Report
	underWay   atomic.Int64
	calls      sync.WaitGroup

	mu   sync.Mutex
	done []outcome // a ring once it is full
}

// outcome is one call that ended well.
type outcome struct {
	began, ended time.Time // began: when it was due, which is no later than when it was sent
	owner        string    // of its key by the caller's table, when it was sent
	byOwner      bool      // that one answered
}

// load runs until standard input ends.
func load(cfg node.Config, o options) error {
	n, err := node.New(cfg)
	if err != nil {
		return err
	}
	start, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := n.Start(start); err != nil {
		return err
	}
	defer n.Close()
	l := &loader{n: n, o: o}
	l.safe, l.once = methods(o.hedge)
	fmt.Println("ready")
	marks := make(chan []mark, 1)
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		defer stop()
		marks <- readMarks()
	}()
	l.run(ctx)
	l.calls.Wait()
	l.report.Stats = n.Stats()
	l.report.finish(l.done, <-marks)
	return json.NewEncoder(os.Stdout).Encode(&l.report)
}

// mark is when a member was killed.
type mark struct {
	name string
	at   time.Time
}

func readMarks() (marks []mark) {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var m mark
		var ns int64
		if _, err := fmt.Sscanf(strings.TrimSpace(in.Text()), "mark %s %d", &m.name, &ns); err == nil {
			m.at = time.Unix(0, ns)
			marks = append(marks, m)
		}
	}
	return marks
}

// run sends calls until ctx ends: as many at each tick as are due by then.
func (l *loader) run(ctx context.Context) {
	random := rand.New(rand.NewPCG(l.o.seed, 7))
	began, sent := time.Now(), 0
	defer func() { l.report.Seconds = time.Since(began).Seconds() }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for due := int(time.Since(began).Seconds() * l.o.rate); sent < due; sent++ {
			at := began.Add(time.Duration(float64(sent+1) / l.o.rate * float64(time.Second)))
			key := fmt.Sprint("key-", random.IntN(l.o.keys))
			id := fmt.Sprint(l.n.Name(), "-", sent)
			isOnce := random.Float64() < l.o.once
			if l.underWay.Add(1) > maxUnderWay {
				l.underWay.Add(-1)
				l.fail(isOnce, fmt.Errorf("%d calls are under way", maxUnderWay))
				continue
			}
			l.calls.Go(func() {
				defer l.underWay.Add(-1)
				l.call(at, key, id, isOnce)
			})
		}
	}
}

// call makes the call that was due at a time: what delays it here as well is part
// of what it took.
func (l *loader) call(due time.Time, key, id string, isOnce bool) {
	ctx, cancel := context.WithTimeout(context.Background(), l.o.timeout)
	defer cancel()
	method := l.safe
	if isOnce {
		method = l.once
	}
	_, owner := l.n.Table().Lookup(key)
	o := outcome{began: due, owner: owner}
	reply, err := method.Call(ctx, l.n, &Request{Key: key, ID: id}, rpc.Key(key))
	o.ended = time.Now()
	if err != nil {
		l.fail(isOnce, fmt.Errorf("key %s, owner %s, after %v: %w", key, owner, o.ended.Sub(o.began).Round(time.Millisecond), err))
		return
	}
	o.byOwner = reply.Node == owner
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report.count(reply, key, isOnce)
	if len(l.done) < maxOutcomes {
		l.done = append(l.done, o)
		return
	}
	l.done[l.report.Forgotten%maxOutcomes] = o
	l.report.Forgotten++
}

func (l *loader) fail(isOnce bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report.fail(isOnce, err)
}
