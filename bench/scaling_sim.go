package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/meshnode/meshnode/sim"
)

// simRow is what a simulated mesh of one size shows, without calls and with the
// profile lan. Bytes are those of datagrams and streams, without the headers of IP,
// UDP and TCP; times are virtual.
type simRow struct {
	Nodes int `json:"nodes"`

	// While all nodes start, one each 20 ms.
	FormS       float64 `json:"form_s"`         // from the last start until all agree
	FormBytes   float64 `json:"form_bytes"`     // datagrams that a node sends until it is quiet
	FormPeak    float64 `json:"form_peak_s"`    // the same, in the second with the most
	FormStreams float64 `json:"form_streams"`   // bytes that a node sends in streams of gossip: the mean
	FormSeed    float64 `json:"form_seed"`      // the same, of the node that sends most
	QuietS      float64 `json:"form_quiet_s"`   // from the last start until only probes are sent
	IdleBytes   float64 `json:"idle_bytes_s"`   // datagrams of a node, then
	IdlePackets float64 `json:"idle_packets_s"` //
	SyncBytes   float64 `json:"sync_bytes"`     // of one push/pull, both ways
	SyncEvery   float64 `json:"sync_every_s"`   // of each node, as counted
	SyncRate    float64 `json:"sync_bytes_s"`   // of a node

	// One crash after the other, and the return of the same node: means.
	Crashes    int     `json:"crashes"`
	First      float64 `json:"first_s"`     // until one node has dropped it
	All        float64 `json:"all_s"`       // until all have
	FirstErr   float64 `json:"first_err"`   // standard error of the mean
	AllErr     float64 `json:"all_err"`     //
	CrashBytes float64 `json:"crash_bytes"` // datagrams of a node beyond the idle ones
	Join       float64 `json:"join_s"`      // from the start of one until all route by it
	JoinBytes  float64 `json:"join_bytes"`  // datagrams of a node beyond the idle ones
	Askers     float64 `json:"join_askers"` // nodes that fetched its list, because they had lost it
	WallS      float64 `json:"wall_s"`      // of the measurement
}

// simRun measures one size.
//
// Invariant: idle is what a node sends in a second when nothing happens, once
// it was measured.
type simRun struct {
	row     simRow
	c       *sim.Cluster
	crashes int
	err     error
}

const (
	simSeeds    = 3 // as many as sim.Config has by default; they do not crash
	simStep     = 20 * time.Millisecond
	simPatience = 20 * time.Minute // virtual
	simQuiet    = 2 * time.Second
)

// simulate measures a mesh of so many nodes.
func simulate(nodes, crashes int, seed uint64) (simRow, error) {
	r := simRun{row: simRow{Nodes: nodes, Crashes: crashes}, crashes: crashes}
	began := time.Now()
	cfg := sim.Config{Nodes: nodes, Seed: seed, Stall: 5 * time.Minute}
	if err := sim.Run(cfg, nil, func() { r.err = r.measure(cfg) }); err != nil {
		return r.row, err
	}
	r.row.WallS = time.Since(began).Seconds()
	return r.row, r.err
}

// measure is the run, in virtual time.
func (r *simRun) measure(cfg sim.Config) error {
	c, err := sim.New(cfg)
	if err != nil {
		return err
	}
	r.c = c
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), simPatience)
	defer cancel()
	if err := r.form(ctx); err != nil {
		return fmt.Errorf("%d nodes join: %w", cfg.Nodes, err)
	}
	if err := r.idle(); err != nil {
		return err
	}
	return r.changes()
}

// form has all nodes start.
func (r *simRun) form(ctx context.Context) error {
	ended, peak := make(chan struct{}), make(chan float64)
	go func() {
		most, before := 0.0, r.sent()
		for {
			select {
			case <-time.After(time.Second):
				now := r.sent()
				most, before = max(most, float64(now.PacketBytes-before.PacketBytes)), now
			case <-ended:
				peak <- most
				return
			}
		}
	}()
	err := r.c.Start(ctx)
	if err == nil {
		_, err = r.c.WaitConverged(ctx)
	}
	last := float64(r.row.Nodes-1) * sim.DefaultStagger.Seconds()
	r.row.FormS = r.c.Now().Seconds() - last
	if err == nil {
		err = r.quiet()
	}
	close(ended)
	n := float64(r.row.Nodes)
	r.row.FormPeak = <-peak / n
	r.row.QuietS = r.c.Now().Seconds() - last
	t := r.sent()
	for i := range r.row.Nodes {
		r.row.FormSeed = max(r.row.FormSeed, float64(r.c.Member(i).Traffic().GossipBytes))
	}
	r.row.FormBytes, r.row.FormStreams = float64(t.PacketBytes)/n, float64(t.GossipBytes)/n
	return err
}

// quiet waits until nobody sends more than probes and their answers.
func (r *simRun) quiet() error {
	for end := time.Now().Add(simPatience); time.Now().Before(end); {
		before := r.sent().Packets
		time.Sleep(simQuiet)
		if float64(r.sent().Packets-before) <= 2.05*float64(r.row.Nodes)*simQuiet.Seconds() {
			return nil
		}
	}
	return fmt.Errorf("%d nodes are not quiet after %v", r.row.Nodes, simPatience)
}

// idle looks on for as long as a push/pull of each node takes to come round. The
// first of a node comes an interval after a part of the shortest one.
func (r *simRun) idle() error {
	time.Sleep(pushPullEvery(2) + pushPullEvery(r.row.Nodes))
	before := r.sent()
	time.Sleep(pushPullEvery(r.row.Nodes))
	after := r.sent()
	per := float64(r.row.Nodes) * pushPullEvery(r.row.Nodes).Seconds()
	r.row.IdleBytes = float64(after.PacketBytes-before.PacketBytes) / per
	r.row.IdlePackets = float64(after.Packets-before.Packets) / per
	r.row.SyncRate = float64(after.GossipBytes-before.GossipBytes) / per
	streams := float64(after.GossipStreams - before.GossipStreams)
	if streams == 0 {
		return fmt.Errorf("%d nodes: no push/pull in %v", r.row.Nodes, pushPullEvery(r.row.Nodes))
	}
	r.row.SyncBytes = float64(after.GossipBytes-before.GossipBytes) / streams
	r.row.SyncEvery = per / streams
	return nil
}

// changes crashes nodes one after the other, and starts each again.
func (r *simRun) changes() error {
	var first, all, join []float64
	others := float64(r.row.Nodes - 1)
	for k := range r.crashes {
		i := simSeeds + k*7%(r.row.Nodes-simSeeds)
		time.Sleep(time.Duration(k) * 137 * time.Millisecond) // at another phase of the probes
		before, start := r.sent(), time.Now()
		r.c.Crash(i)
		f, a, err := r.dropped(r.c.Member(i).Name)
		if err != nil {
			return err
		}
		if err := r.quiet(); err != nil {
			return err
		}
		r.row.CrashBytes += r.beyondIdle(before, start, others)
		first, all = append(first, f), append(all, a)

		before, start = r.sent(), time.Now()
		own := r.c.Member(i).Traffic().GossipBytes
		if err := r.c.Boot(i); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), simPatience)
		_, err = r.c.WaitConverged(ctx)
		cancel()
		if err != nil {
			return err
		}
		lists := float64(r.c.Member(i).Traffic().GossipBytes-own) / (r.row.SyncBytes / 2)
		r.row.Askers += max(0, lists-listsOfReturner) / listsToAsker
		join = append(join, time.Since(start).Seconds())
		if err := r.quiet(); err != nil {
			return err
		}
		r.row.JoinBytes += r.beyondIdle(before, start, others+1)
	}
	if n := float64(r.crashes); n > 0 {
		r.row.CrashBytes, r.row.JoinBytes, r.row.Askers = r.row.CrashBytes/n, r.row.JoinBytes/n, r.row.Askers/n
		r.row.First, r.row.FirstErr = meanOf(first)
		r.row.All, r.row.AllErr = meanOf(all)
		r.row.Join, _ = meanOf(join)
	}
	return nil
}

// beyondIdle is how many bytes of datagrams each of so many nodes has sent since
// start, beyond what it sends when nothing happens.
func (r *simRun) beyondIdle(before sim.Traffic, start time.Time, nodes float64) float64 {
	sent := float64(r.sent().PacketBytes - before.PacketBytes)
	return sent/nodes - r.row.IdleBytes*time.Since(start).Seconds()
}

// dropped waits until no live node lists a dead one, and tells when the first did
// not, and when the last.
func (r *simRun) dropped(name string) (first, all float64, err error) {
	for start := time.Now(); time.Since(start) < simPatience; time.Sleep(simStep) {
		live, out := 0, 0
		for i := range r.c.Len() {
			n := r.c.Node(i)
			if n == nil {
				continue
			}
			live++
			if _, listed := n.Members().Find(name); !listed {
				out++
			}
		}
		took := time.Since(start).Seconds()
		if out > 0 && first == 0 {
			first = took
		}
		if out == live {
			return first, took, nil
		}
	}
	return 0, 0, fmt.Errorf("%d nodes: %s is still listed", r.row.Nodes, name)
}

// sent is what all nodes have sent.
func (r *simRun) sent() (sum sim.Traffic) {
	for i := range r.c.Len() {
		t := r.c.Member(i).Traffic()
		sum.Packets += t.Packets
		sum.PacketBytes += t.PacketBytes
		sum.GossipBytes += t.GossipBytes
		sum.GossipStreams += t.GossipStreams
	}
	return sum
}

// meanOf gives the mean, and its standard error.
func meanOf(values []float64) (mean, err float64) {
	n := float64(len(values))
	for _, v := range values {
		mean += v / n
	}
	if len(values) < 2 {
		return mean, 0
	}
	for _, v := range values {
		err += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(err / (n - 1) / n)
}
