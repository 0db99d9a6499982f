//go:build !race

package main

// What runs in bubbles of testing/synctest, which can crash the race detector
// (golang/go issue 76691).

import (
	"math"
	"testing"
)

// The shipped nodes do what the functions say: that is what the profile's figures
// in scaling_model.go stand and fall with.
func TestSimulatedNodesKeepToTheFunctions(t *testing.T) {
	const nodes = 40
	r, err := simulate(nodes, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	every := pushPullEvery(nodes).Seconds()
	switch {
	case math.Abs(r.IdlePackets-2) > 0.02:
		t.Errorf("%v packets a second, want a probe and an answer", r.IdlePackets)
	case math.Abs(r.SyncEvery-every) > 0.05*every:
		t.Errorf("a push/pull every %v s, want %v", r.SyncEvery, every)
	case r.First < suspicion(nodes) || r.First > suspicion(nodes)+6 || r.All < r.First:
		t.Errorf("dropped by the first after %v s, by all after %v; the suspicion takes %v", r.First, r.All, suspicion(nodes))
	case r.FormPeak > 1.02*mostGossip(nodes):
		t.Errorf("%v B in a second, want at most %v", r.FormPeak, mostGossip(nodes))
	case r.FormBytes <= 0 || r.CrashBytes <= 0 || r.JoinBytes <= 0 || r.Join <= 0 || r.SyncBytes <= 0:
		t.Errorf("some figure is missing: %+v", r)
	}
}

func TestMeasureNode(t *testing.T) {
	const members = 200
	r, err := measureNode(t.Context(), members)
	if err != nil {
		t.Fatal(err)
	}
	if per := r.SyncBytes / members; per < 60 || per > 250 {
		t.Errorf("%v bytes for each member in a push/pull", per)
	}
	if per := r.Bytes / members; per < 300 || per > 10_000 {
		t.Errorf("%v bytes of memory for each member", per)
	}
	if _, known := cpuTime(); r.SyncS <= 0 || known && r.ChangeS <= 0 {
		t.Errorf("some time is missing: %+v", r)
	}
}
