package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
)

// testedPeers leaves out, under the race detector, a peer that has races of its
// own: arpc reads and writes Client.running from several goroutines.
func testedPeers() []peerType {
	return slices.DeleteFunc(peerTypes(), func(p peerType) bool { return raceDetector && p.name == "arpc" })
}

// TestPeersEcho lets 8 callers of each peer check every byte, with all sizes
// through one connection.
func TestPeersEcho(t *testing.T) {
	for _, peer := range testedPeers() {
		t.Run(peer.name, func(t *testing.T) {
			p, err := peer.start(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			for _, size := range []int{2, 64, 1 << 10, 64 << 10} {
				var callers errgroup.Group
				for i := range 8 {
					callers.Go(func() error { return echoes(p, bodyOf(size, i), 20) })
				}
				if err := callers.Wait(); err != nil {
					t.Fatalf("%d bytes: %v", size, err)
				}
			}
		})
	}
}

func echoes(p Peer, body []byte, times int) error {
	want := bytes.Clone(body)
	call := p.Caller(body)
	for range times {
		got, err := call()
		if err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("got %d bytes %.8x…, want %d bytes %.8x…", len(got), got, len(want), want)
		}
	}
	return nil
}

// TestPeersCloseUnused closes peers that never made a call.
func TestPeersCloseUnused(t *testing.T) {
	for _, peer := range testedPeers() {
		t.Run(peer.name, func(t *testing.T) {
			p, err := peer.start(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			p.Close()
		})
	}
}

func TestLimitLeavesNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	p, err := startLimit(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := echoes(p, bodyOf(200<<10, 1), 3); err != nil { // longer than the read buffers
		t.Error(err)
	}
	p.Close()
	if _, err := p.Caller([]byte{1, 2})(); err == nil {
		t.Error("a call on a closed connection succeeded")
	}
}

// TestLimitBreaks cuts the connection under callers: each gets an error, and
// none waits for ever.
func TestLimitBreaks(t *testing.T) {
	p, err := startLimit(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var callers errgroup.Group
	started := make(chan struct{}, 8)
	for i := range 8 {
		callers.Go(func() error {
			call := p.Caller(bodyOf(64, i))
			for n := 0; ; n++ {
				if _, err := call(); err != nil {
					return nil
				}
				if n == 0 {
					started <- struct{}{}
				}
			}
		})
	}
	for range 8 {
		<-started
	}
	_ = p.(*limitPeer).far.Close()
	if err := callers.Wait(); err != nil {
		t.Error(err)
	}
}

func TestPick(t *testing.T) {
	name := func(p peerType) string { return p.name }
	got, err := pick(peerTypes(), []string{"gorpc", "limit"}, name)
	if err != nil || len(got) != 2 || got[0].name != "limit" || got[1].name != "gorpc" {
		t.Errorf("pick: %v, %v", got, err)
	}
	if got, err := pick(peerTypes(), nil, name); err != nil || len(got) != len(peerTypes()) {
		t.Errorf("pick without names: %d peers, %v", len(got), err)
	}
	if _, err := pick(peerTypes(), []string{"corba"}, name); err == nil {
		t.Error("pick takes an unknown name")
	}
}
