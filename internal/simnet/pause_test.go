package simnet

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// A frozen process gets at nothing and sends nothing; what comes meanwhile waits
// for it, and deadlines that pass are noticed afterwards.
func TestPause(t *testing.T) {
	const frozen = 10 * time.Second
	for name, use := range map[string]func(w *world, near, far net.Conn){
		"read": func(w *world, near, far net.Conn) {
			w.send(near, "x")
			w.gets(far, "x", frozen)
		},
		"end": func(w *world, near, far net.Conn) {
			_ = near.Close()
			w.fails(far, io.EOF, frozen)
		},
		"reset": func(w *world, near, far net.Conn) {
			w.a.host.Kill()
			w.fails(far, reset, frozen)
		},
		"read deadline": func(w *world, _, far net.Conn) {
			_ = far.SetReadDeadline(time.Now().Add(time.Second))
			w.fails(far, os.ErrDeadlineExceeded, frozen)
		},
		"write": func(w *world, near, far net.Conn) {
			w.send(far, "x")
			w.gets(near, "x", oneWay)
		},
		"accept": func(w *world, _, _ net.Conn) {
			l := w.listen(w.b)
			if _, err := w.a.Dial(w.Context(), l.Addr().String()); err != nil { // its kernel is awake
				w.Error(err)
			}
			if _, err := l.Accept(); err != nil {
				w.Error(err)
			}
		},
		"dial": func(w *world, _, _ net.Conn) {
			if _, err := w.b.Dial(w.Context(), w.listen(w.a).Addr().String()); err != nil {
				w.Error(err)
			}
		},
		"dial in vain": func(w *world, _, _ net.Conn) {
			if _, err := w.b.Dial(w.within(time.Second), "10.0.0.1:1"); !errors.Is(err, context.DeadlineExceeded) {
				w.Error(err)
			}
		},
		"resolve": func(w *world, _, _ net.Conn) {
			w.net.SetName("name", 0, nil)
			if _, err := w.b.Resolve(w.Context(), "name"); err != nil {
				w.Error(err)
			}
		},
		"packet in": func(w *world, _, _ net.Conn) {
			p, q := w.packets(w.a), w.packets(w.b)
			w.post(p, q, "x")
			if _, _, err := q.ReadFrom(make([]byte, 1)); err != nil {
				w.Error(err)
			}
		},
		"packet out": func(w *world, _, _ net.Conn) {
			p, q := w.packets(w.a), w.packets(w.b)
			w.post(q, p, "x")
		},
		"work": func(w *world, _, _ net.Conn) { w.b.host.Work() },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, slowLink, func(w *world) {
				near, far := w.connect(w.a, w.b)
				w.b.host.Pause()
				w.b.host.Pause() // counts once
				start := time.Now()
				time.AfterFunc(frozen, w.b.host.Resume)
				use(w, near, far)
				if took := time.Since(start); took < frozen || took > frozen+3*oneWay || w.b.host.Paused() {
					w.Errorf("took %v; want %v", took, frozen)
				}
			})
		})
	}
}

// Who waits when the pause begins is frozen as well, and comes to when it is killed.
func TestKillWhilePaused(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		near, far := w.connect(w.a, w.b)
		q, l := w.packets(w.b), w.listen(w.b)
		var wg sync.WaitGroup
		for _, use := range []func() error{
			func() error { _, err := far.Read(make([]byte, 1)); return err },
			func() error { _, err := far.Write(make([]byte, 2*pipeRoom)); return err },
			func() error { _, _, err := q.ReadFrom(make([]byte, 1)); return err },
			func() error { _, err := l.Accept(); return err },
			func() error { _, err := w.b.Dial(w.Context(), "10.0.0.1:1"); return err },
		} {
			wg.Go(func() {
				if err := use(); err == nil {
					w.Error("a dead process has got something")
				}
			})
		}
		pass(oneWay)
		w.b.host.Pause()
		if _, err := w.a.Dial(w.Context(), l.Addr().String()); err != nil {
			w.Error(err)
		}
		w.send(near, "x")
		w.post(w.packets(w.a), q, "x")
		pass(time.Second)
		w.b.host.Kill()
		wg.Wait()
		if w.b.host.Paused() || w.b.host.Running() {
			w.Error("it is still there")
		}
		pass(oneWay)
		w.fails(near, reset, 0)
		_ = near.Close()
		w.idle(near, far)
	})
}

// A slow host takes its time for each packet and each segment, of whichever
// socket, and no more for a segment that is read in pieces.
func TestSlow(t *testing.T) {
	const work = 100 * time.Millisecond
	inWorld(t, slowLink, func(w *world) {
		near, far := w.connect(w.a, w.b)
		p, q := w.packets(w.a), w.packets(w.b)
		w.b.host.SetSlow(work)
		w.send(near, "one")
		w.gets(far, "o", oneWay)
		w.gets(far, "ne", 0)
		w.send(near, "two")
		w.send(near, "three")
		w.gets(far, "two", work)
		w.gets(far, "three", work)
		_ = near.Close()
		w.fails(far, io.EOF, work)
		w.fails(far, io.EOF, 0)
		for range 3 {
			w.post(p, q, "x")
		}
		if texts, at := w.drain(q); len(texts) != 3 || at[2].Sub(at[0]) != 2*work {
			w.Errorf("%q at %v", texts, at)
		}
		start := time.Now()
		w.b.host.Work()
		w.took(start, work)
		w.b.host.SetSlow(0)
		w.b.host.Work()
		w.took(start, work)
	})
}

func TestTraffic(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		near, far := w.connect(w.a, w.b)
		gossip, other := w.connect(w.a, w.b)
		w.send(near, "mesh")
		w.send(gossip, string([]byte{gossipMark, 1}))
		w.gets(other, string([]byte{gossipMark, 1}), oneWay)
		w.send(other, "answer")
		w.send(far, "12345")
		w.post(w.packets(w.a), w.packets(w.b), "123456")
		if got, want := w.a.host.Traffic(), (Traffic{Packets: 1, PacketBytes: 6, GossipBytes: 2, MeshBytes: 4, GossipStreams: 1}); got != want {
			w.Errorf("%+v; want %+v", got, want)
		}
		if got, want := w.b.host.Traffic(), (Traffic{GossipBytes: 6, MeshBytes: 5}); got != want {
			w.Errorf("%+v; want %+v", got, want)
		}
	})
}

// A later rule goes over an earlier one, until it is removed.
func TestRules(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		all := func(*Host, *Host) bool { return true }
		set := func(d time.Duration) RuleID {
			return w.net.AddRule(Rule{Match: all, Apply: func(l *Link) { l.Latency = Constant(d) }})
		}
		latency := func() time.Duration { return w.net.Link(w.a.host, w.b.host).Latency.A }
		one, two := set(1), set(2)
		for _, step := range []struct {
			do   func()
			want time.Duration
		}{
			{func() {}, 2},
			{func() { w.net.RemoveRule(one) }, 2},
			{func() { w.net.RemoveRule(two) }, oneWay},
			{func() { w.net.RemoveRule(two) }, oneWay},
			{func() { set(3) }, 3},
		} {
			if step.do(); latency() != step.want {
				w.Errorf("latency %v, want %v", latency(), step.want)
			}
		}
		if w.net.loseAll(w.a.host, w.b.host); w.net.Reaches(w.a.host, w.b.host) || !w.net.Reaches(w.b.host, w.a.host) {
			w.Error("a cut of one direction is none of the other")
		}
	})
}

// loseAll has all packets of a direction get lost: that is a cut for streams as well.
func (n *Net) loseAll(from, to *Host) {
	n.AddRule(Rule{
		Match: func(x, y *Host) bool { return x == from && y == to },
		Apply: func(l *Link) { l.Loss = 1 },
	})
}
