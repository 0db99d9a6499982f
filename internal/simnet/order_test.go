package simnet

import (
	"fmt"
	"io"
	"maps"
	"net"
	"sync"
	"testing"
	"time"
)

// The fate of the n-th packet on a link, and of the n-th stream, depends on nothing
// else that goes on.
func TestFateDoesNotDependOnInterleaving(t *testing.T) {
	cfg := Config{Seed: 11, Link: Link{
		Latency: Pareto(time.Millisecond, 1.5), Loss: 0.2, Duplicate: 0.1, Reorder: 0.2, Jitter: 20 * time.Millisecond,
	}}
	first := fates(t, cfg, []int{0, 1, 2, 3})
	for _, order := range [][]int{{3, 2, 1, 0}, {1, 3, 0, 2}} {
		if again := fates(t, cfg, order); !maps.Equal(first, again) {
			t.Errorf("in the order %v: %d fates, which differ", order, len(again))
		}
	}
	cfg.Seed++
	if again := fates(t, cfg, []int{0, 1, 2, 3}); maps.Equal(first, again) {
		t.Error("another seed, and the same fates")
	}
}

// sightings is when what was first seen, again, and so on.
type sightings struct {
	mu    sync.Mutex
	begun time.Time
	at    map[string]time.Duration
}

func (s *sightings) see(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := 1; ; i++ {
		key := fmt.Sprintf("%s, %d", what, i)
		if _, ok := s.at[key]; !ok {
			s.at[key] = time.Since(s.begun)
			return
		}
	}
}

// fates runs four senders, started in an order, and tells when everything arrived.
func fates(t *testing.T, cfg Config, order []int) map[string]time.Duration {
	t.Helper()
	seen := sightings{at: map[string]time.Duration{}}
	inWorld(t, cfg, func(w *world) {
		seen.begun = time.Now()
		a, b, c, l := w.packets(w.a), w.packets(w.b), w.packets(w.c), w.listen(w.a)
		var receivers, senders sync.WaitGroup
		for _, p := range []net.PacketConn{a, b, c} {
			receivers.Go(func() { seePackets(&seen, p) })
		}
		receivers.Go(func() { seeStreams(&seen, l) })
		tasks := []func(){
			func() { w.postMany(a, b, "a to b") },
			func() { w.postMany(c, b, "c to b") },
			func() { w.postMany(b, a, "b to a") },
			func() { w.dialMany(w.b, l) },
		}
		for _, i := range order {
			senders.Go(tasks[i])
		}
		senders.Wait()
		pass(3 * time.Minute) // for the last
		for _, end := range []io.Closer{a, b, c, l} {
			_ = end.Close()
		}
		receivers.Wait()
	})
	return seen.at
}

func (w *world) postMany(p, to net.PacketConn, text string) {
	for i := range 200 {
		w.post(p, to, fmt.Sprintf("%s %d", text, i))
	}
}

func (w *world) dialMany(from *Stack, l net.Listener) {
	for i := range 30 {
		c, err := from.Dial(w.Context(), l.Addr().String())
		if err != nil {
			w.Error(err)
			return
		}
		w.send(c, fmt.Sprintf("%3d", i))
		w.send(c, "end")
		_ = c.Close()
	}
}

func seePackets(seen *sightings, p net.PacketConn) {
	b := make([]byte, 100)
	for {
		n, _, err := p.ReadFrom(b)
		if err != nil {
			return
		}
		seen.see(string(b[:n]))
	}
}

func seeStreams(seen *sightings, l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		b := make([]byte, 3)
		_, _ = io.ReadFull(c, b)
		what := "stream " + string(b)
		seen.see(what)
		_, _ = io.ReadFull(c, b)
		seen.see(what + " " + string(b))
		_ = c.Close()
	}
}
