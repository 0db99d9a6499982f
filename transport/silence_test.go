package transport

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const after = 50 * time.Millisecond // Silence.After of these tests

// A peer that leaves a call unanswered is asked once. If it says nothing either,
// its connection takes no new calls, calls that may be given up are, as far as that
// is allowed, and the others wait for their deadline.
func TestSilentPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		allowed := atomic.Int32{}
		allowed.Store(1)
		c, pings := silentPeer(t, Config{Silence: Silence{After: after, Yield: func() bool { return allowed.Add(-1) >= 0 }}}, false)
		start := time.Now()
		ask := func(w Watch) <-chan answer {
			return goCall(context.Background(), c, &Request{Method: "m", Watch: w, Deadline: start.Add(time.Second)})
		}
		others := []<-chan answer{ask(Unwatched), ask(Watched)}
		first := ask(Yielding)
		synctest.Wait()
		same(t, "takes calls", c.usable(), true)
		is(t, "call", (<-first).err, ErrSilent, false)
		same(t, "given up after", time.Since(start), 2*after)
		same(t, "takes calls", c.usable(), false)
		same(t, "pings", pings.Load(), 1)
		second := ask(Yielding) // one that was about to be sent
		time.Sleep(3 * after)
		same(t, "asked about it", allowed.Load() < -1, true)
		same(t, "given up beyond what is allowed", len(second), 0)
		allowed.Store(1)
		is(t, "second call", (<-second).err, ErrSilent, false)
		for _, other := range others {
			same(t, "other call", (<-other).err, context.DeadlineExceeded)
			same(t, "ended after", time.Since(start), time.Second)
		}
		counts(t, c.ep, PeersSilent, 1)
		c.ep.Close()
	})
}

// A peer that answers pings is not silent, however long its calls take. About the
// same calls it is asked ever less often, about a new one soon.
func TestSlowPeerIsNotSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, pings := silentPeer(t, Config{Silence: Silence{After: after, Yield: func() bool { return true }}}, true)
		ctx, cancel := context.WithCancel(context.Background())
		first := goCall(ctx, c, &Request{Method: "m", Watch: Yielding})
		time.Sleep(2 * time.Second)
		if n := pings.Load(); n < 3 || n > 6 {
			t.Errorf("%d pings in two seconds", n)
		}
		time.Sleep(time.Hour)
		if n, most := pings.Load(), int32(time.Hour/(maxPatience*after))+20; n < most/2 || n > most {
			t.Errorf("%d pings in an hour, want at most %d", n, most)
		}
		before := pings.Load()
		second := goCall(ctx, c, &Request{Method: "m", Watch: Watched})
		time.Sleep(2*after + time.Millisecond)
		if n := pings.Load() - before; n < 1 || n > 2 {
			t.Errorf("%d pings for a new call", n)
		}
		same(t, "ended calls", len(first)+len(second), 0)
		cancel()
		<-first
		<-second
		before = pings.Load()
		time.Sleep(10 * time.Second) // before the first keepalive
		same(t, "pings without calls", pings.Load(), before)
		counts(t, c.ep, PeersSilent, 0)
		c.ep.Close()
	})
}

// Who is heard again takes calls again.
func TestSilentPeerIsHeardAgain(t *testing.T) {
	c := &Conn{ep: &Endpoint{}, closed: make(chan struct{})}
	c.life.heardAt.Store(10)
	c.heed(noLife)
	same(t, "silent", c.silent(), true)
	c.heed(noLife)
	c.life.heardAt.Store(11)
	same(t, "silent", c.silent(), false)
	same(t, "takes calls", c.usable(), true)
	c.heed(noLife)
	same(t, "silent once more", c.silent(), true)
	counts(t, c.ep, PeersSilent, 2)
}

// A look that comes late proves nothing: this process was away itself.
func TestLateLook(t *testing.T) {
	heard := atomic.Int64{}
	q := quiet{after: 100, heard: &heard}
	q.addLocked(1000)
	look := func(at int64, want verdict) {
		t.Helper()
		same(t, "verdict", q.lookLocked(at, 1), want)
	}
	look(1099, nothing)
	look(1100, askPeer)
	look(1500, nothing) // 300 late
	same(t, "next look", q.next, 1600)
	look(1600, noLife)
	heard.Store(1650)
	look(1700, nothing)
	same(t, "next look", q.next, 1750+q.patience-100)
}
