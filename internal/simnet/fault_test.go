package simnet

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"
)

// Behind a cut nothing comes; when it is gone, all does at the next retransmission:
// 200 ms after the first try, 600, 1400 and so on.
func TestCut(t *testing.T) {
	for _, c := range []struct{ healed, then time.Duration }{
		{50 * time.Millisecond, 150 * time.Millisecond},
		{200 * time.Millisecond, 0},
		{201 * time.Millisecond, 399 * time.Millisecond},
		{10 * time.Second, 2600 * time.Millisecond}, // 12.6 s
	} {
		inWorld(t, slowLink, func(w *world) {
			near, far := w.connect(w.a, w.b)
			w.send(near, "before")
			heal := w.cut(w.a, w.b)
			w.send(near, "one ")
			w.gets(far, "before", oneWay) // it was under way
			w.send(far, "back")           // the other direction is open
			w.gets(near, "back", oneWay)
			w.silent(far, c.healed-2*oneWay)
			w.send(near, "two")
			heal()
			w.gets(far, "one two", c.then+oneWay)
			w.idle(near, far)
		})
	}
}

// A second cut before the retransmission holds nothing back that is on its way, and
// what is written then waits for itself.
func TestCutAgain(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		near, far := w.connect(w.a, w.b)
		heal := w.cut(w.a, w.b)
		w.send(near, "a")
		heal()
		heal = w.cut(w.a, w.b)
		w.send(near, "b")
		w.gets(far, "a", oneWay)
		w.silent(far, time.Second)
		heal()
		w.gets(far, "b", 1400*time.Millisecond-time.Second-oneWay+oneWay)
		heal() // a second time does nothing
	})
}

// The end of a stream behind a cut comes when the cut is gone, after what was
// written before.
func TestCloseBehindCut(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		near, far := w.connect(w.a, w.b)
		heal := w.cut(w.a, w.b)
		w.send(near, "bye")
		_ = near.Close()
		w.silent(far, time.Second)
		heal()
		w.gets(far, "bye", 400*time.Millisecond+oneWay)
		w.fails(far, io.EOF, 0)
		_ = far.Close()
		w.idle(near, far)
	})
}

// No answer passes a cut: not even a kernel's to what it has no use for.
func TestNoResetThroughCut(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		for _, cuts := range [][2]*Stack{{w.a, w.b}, {w.b, w.a}} {
			near, far := w.connect(w.a, w.b)
			heal := w.cut(cuts[0], cuts[1])
			_ = far.Close()
			pass(time.Second)
			w.send(near, "to nobody")
			pass(time.Minute)
			w.send(near, "still to nobody")
			heal()
			pass(time.Minute)
			w.refuses(near, reset)
			_ = near.Close()
			w.idle(near, far)
		}
	})
}

func TestKillResets(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		near, far := w.connect(w.a, w.b)
		w.send(far, "last words")
		w.b.host.Kill()
		w.fails(far, net.ErrClosed, 0)
		w.gets(near, "last words", oneWay)
		w.fails(near, reset, 1)
		w.refuses(near, reset)
		w.dials(w.Context(), w.a, "10.0.0.2:7", errRefused, 2*oneWay)
		if w.b.host.Running() || w.net.Reaches(w.a.host, w.b.host) {
			w.Error("it runs")
		}
	})
}

// Who is behind a cut when a process dies learns of it when it sends something
// after the cut.
func TestKillBehindCut(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		near, _ := w.connect(w.a, w.b)
		heal := w.cut(w.b, w.a)
		w.b.host.Kill()
		w.silent(near, time.Minute)
		heal()
		w.silent(near, time.Minute)
		w.send(near, "anybody?")
		w.fails(near, reset, 2*oneWay)
	})
}

// Nobody hears of a machine without power until it is up again.
func TestPowerOff(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		near, far := w.connect(w.a, w.b)
		waiting, err := w.a.Dial(w.Context(), w.listen(w.b).Addr().String()) // nobody accepts
		if err != nil {
			w.Fatal(err)
		}
		w.send(far, "last words")
		w.send(near, "under way")
		w.b.host.PowerOff()
		w.gets(near, "last words", oneWay)
		w.silent(near, time.Minute)
		w.silent(waiting, time.Minute)
		w.dials(w.within(time.Minute), w.a, "10.0.0.2:7", os.ErrDeadlineExceeded, time.Minute)
		w.b.host.Boot()
		// "under way" was sent again all the time: the last time after 222.2 s.
		w.fails(near, reset, 222200*time.Millisecond-oneWay-3*time.Minute+2*oneWay)
		w.refuses(near, reset)
		w.refuses(waiting, reset)
		w.dials(w.Context(), w.a, "10.0.0.2:7", errRefused, 2*oneWay)
		_, _ = near.Close(), waiting.Close()
		w.idle(near, waiting)
	})
}

// What a process had closed before its machine lost its power is not sent again.
func TestPowerOffForgets(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		near, far := w.connect(w.a, w.b)
		heal := w.cut(w.b, w.a)
		w.send(far, "behind the cut")
		_ = far.Close()
		w.b.host.PowerOff()
		w.b.host.Boot()
		heal()
		w.silent(near, time.Hour)
		_ = near.Close()
		pass(time.Hour)
		w.idle(near, far)
	})
}

// A host that moved answers at its new address, and nobody does at the old one.
func TestMove(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		p, q := w.packets(w.a), w.packets(w.b)
		near, _ := w.connect(w.a, w.b)
		w.b.host.PowerOff()
		w.b.host.Move(netip.MustParseAddr("10.0.1.2"))
		b := w.b.host.Boot()
		if got := b.Host().Addr().String(); got != "10.0.1.2" {
			w.Errorf("its address is %s", got)
		}
		w.dials(w.within(time.Minute), w.a, "10.0.0.2:7", os.ErrDeadlineExceeded, time.Minute)
		w.dials(w.Context(), w.a, "10.0.1.2:7", errRefused, 2*oneWay)
		w.send(near, "to the old address")
		w.silent(near, time.Hour) // not even a reset
		w.post(p, q, "to the old address")
		if _, err := b.Listen(w.Context(), "10.0.0.2:7"); !errors.Is(err, errNotHere) {
			w.Errorf("listening at the old address: %v", err)
		}
		again := w.packets(b)
		w.post(p, again, "new")
		if texts, _ := w.drain(again); len(texts) != 1 || texts[0] != "new" {
			w.Errorf("%q", texts)
		}
		_ = near.Close()
	})
}

func TestHalfOpen(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		near, far := w.connect(w.a, w.b)
		w.send(near, "arrived")
		pass(2 * oneWay)
		w.send(near, "under way")
		w.net.HalfOpen(w.a.host, w.b.host)
		w.gets(far, "arrived", 0)
		w.send(near, "into the void")
		w.send(far, "into the void")
		w.silent(near, time.Minute)
		w.silent(far, time.Minute)
		_ = near.Close() // not even that is heard of
		w.silent(far, time.Minute)
		w.a.host.Kill()
		w.silent(far, time.Minute)
		_ = far.SetWriteDeadline(time.Now().Add(time.Minute))
		if n, err := far.Write(make([]byte, pipeRoom)); n != pipeRoom-len("into the void") || !isTimeout(err) {
			w.Errorf("wrote %d, %v", n, err)
		}
		w.a.host.Boot()
		fresh, back := w.connect(w.c, w.b) // others are not concerned
		w.send(fresh, "new")
		w.gets(back, "new", oneWay)
	})
}

func TestReset(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		near, far := w.connect(w.a, w.b)
		other, end := w.connect(w.c, w.b)
		var wg sync.WaitGroup
		wg.Go(func() { w.fails(near, reset, time.Second) })
		wg.Go(func() {
			if _, err := near.Write(make([]byte, 2*pipeRoom)); !errors.Is(err, reset) {
				w.Errorf("write: %v", err)
			}
		})
		pass(time.Second)
		w.net.Reset(w.b.host, w.a.host)
		wg.Wait()
		w.send(other, "x")
		w.gets(end, "x", oneWay)
		if err := errors.Join(near.Close(), far.Close()); err != nil {
			w.Error(err)
		}
		w.idle(near, far)
	})
}

// A reset does not overtake what was written before it.
func TestResetComesLast(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		near, far := w.connect(w.a, w.b)
		w.send(far, "slow")
		w.net.AddRule(Rule{Match: func(*Host, *Host) bool { return true }, Apply: func(l *Link) { l.Latency = Dist{} }})
		w.b.host.Kill()
		w.gets(near, "slow", oneWay)
		w.fails(near, reset, 1)
	})
}

// What is sent again later does not keep the line busy until then.
func TestRetransmissionLeavesLineFree(t *testing.T) {
	inWorld(t, Config{Link: Link{Bandwidth: 1_000_000}}, func(w *world) {
		near, _ := w.connect(w.a, w.b)
		heal := w.cut(w.a, w.b)
		w.send(near, "x")
		pass(10 * time.Second)
		heal() // the next retransmission is 2.6 s away
		other, end := w.connect(w.a, w.b)
		w.send(other, "y")
		w.gets(end, "y", 2*time.Microsecond)
	})
}
