package simnet

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// drain reads what comes within a second, as texts with the time of arrival.
func (w *world) drain(p net.PacketConn) (texts []string, at []time.Time) {
	w.Helper()
	_ = p.SetReadDeadline(time.Now().Add(time.Second))
	b := make([]byte, 2000)
	for {
		n, _, err := p.ReadFrom(b)
		if err != nil {
			if !isTimeout(err) {
				w.Fatal(err)
			}
			return texts, at
		}
		texts, at = append(texts, string(b[:n])), append(at, time.Now())
	}
}

func (w *world) post(p net.PacketConn, to net.PacketConn, text string) {
	w.Helper()
	if n, err := p.WriteTo([]byte(text), to.LocalAddr()); n != len(text) || err != nil {
		w.Fatalf("write: %d, %v", n, err)
	}
}

func TestPackets(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		p, q := w.packets(w.a), w.packets(w.b)
		start := time.Now()
		w.post(p, q, "one")
		w.post(p, q, "")
		b := make([]byte, 2)
		n, from, err := q.ReadFrom(b)
		if string(b[:n]) != "on" || from.String() != p.LocalAddr().String() || err != nil {
			w.Errorf("%q from %v, %v", b[:n], from, err)
		}
		w.took(start, oneWay)
		if n, _, err := q.ReadFrom(b); n != 0 || err != nil {
			w.Errorf("an empty packet: %d, %v", n, err)
		}
		w.post(p, p, "to itself")
		if texts, at := w.drain(p); len(texts) != 1 || at[0].Sub(start) != oneWay {
			w.Errorf("to itself: %q at %v", texts, at)
		}
	})
}

// Nobody is told of a packet that finds no one.
func TestPacketsToNobody(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		p, q := w.packets(w.a), w.packets(w.b)
		lost := q.LocalAddr().(*net.UDPAddr)
		for _, to := range []net.Addr{
			&net.UDPAddr{IP: lost.IP, Port: lost.Port + 1},
			&net.UDPAddr{IP: net.IPv4(10, 9, 9, 9), Port: 1},
			&net.UDPAddr{IP: lost.IP.To16(), Port: lost.Port}, // the one that is there
		} {
			if _, err := p.WriteTo([]byte("x"), to); err != nil {
				w.Error(err)
			}
		}
		if texts, _ := w.drain(q); len(texts) != 1 {
			w.Errorf("%q", texts)
		}
		if _, err := p.WriteTo(nil, &net.TCPAddr{}); err == nil {
			w.Error("a TCP address is none of UDP")
		}
		if _, err := p.WriteTo(make([]byte, maxDatagram+1), lost); !errors.Is(err, syscall.EMSGSIZE) {
			w.Errorf("too large: %v", err)
		}
	})
}

func TestPacketEnds(t *testing.T) {
	inWorld(t, slowLink, func(w *world) {
		p, q := w.packets(w.a), w.packets(w.b)
		_ = p.SetWriteDeadline(time.Now())
		if _, err := p.WriteTo([]byte("x"), q.LocalAddr()); !errors.Is(err, os.ErrDeadlineExceeded) || !isTimeout(err) {
			w.Errorf("write past its deadline: %v", err)
		}
		w.post(q, p, "arrived")
		_ = q.Close()
		_ = p.SetDeadline(time.Time{})
		if texts, _ := w.drain(p); len(texts) != 1 {
			w.Errorf("%q", texts)
		}
		_ = p.SetDeadline(time.Time{})
		time.AfterFunc(time.Second, func() { _ = p.Close() })
		_, _, rerr := p.ReadFrom(make([]byte, 1))
		_, werr := p.WriteTo([]byte("x"), q.LocalAddr())
		for what, err := range map[string]error{"read": rerr, "write": werr, "close": p.Close(), "deadline": p.SetDeadline(time.Time{})} {
			if !errors.Is(err, net.ErrClosed) {
				w.Errorf("%s: %v", what, err)
			}
		}
		again, err := w.a.ListenPacket(w.Context(), p.LocalAddr().String())
		if err != nil || again.LocalAddr().String() != p.LocalAddr().String() {
			w.Errorf("the port is not free again: %v", err)
		}
	})
}

// A full queue loses what comes, and the trace says so.
func TestFullQueue(t *testing.T) {
	full := 0
	cfg := Config{Trace: func(e Event) {
		if e.Kind == EventFull {
			full++
		}
	}}
	inWorld(t, cfg, func(w *world) {
		p, q := w.packets(w.a), w.packets(w.b)
		for i := range packetRoom + 10 {
			w.post(p, q, fmt.Sprint(i))
		}
		texts, _ := w.drain(q)
		if len(texts) != packetRoom || texts[packetRoom-1] != fmt.Sprint(packetRoom-1) || full != 10 {
			w.Errorf("%d arrived, %d found the queue full", len(texts), full)
		}
	})
}

// The line sends one byte after the other, whoever they are from.
func TestBandwidth(t *testing.T) {
	cfg := Config{Link: Link{Latency: Constant(oneWay), Bandwidth: 100_000}}
	inWorld(t, cfg, func(w *world) {
		p, q := w.packets(w.a), w.packets(w.b)
		near, far := w.connect(w.a, w.b)
		start := time.Now()
		for range 10 {
			w.post(p, q, string(make([]byte, 1000))) // 10 ms each
		}
		w.send(near, string(make([]byte, 5000)))
		w.gets(far, string(make([]byte, 5000)), 150*time.Millisecond+oneWay)
		w.send(far, "x") // the other direction is a line of its own
		w.gets(near, "x", oneWay+10*time.Microsecond)
		w.post(p, q, string(make([]byte, 1000)))
		_, at := w.drain(q)
		if len(at) != 11 {
			w.Fatalf("%d packets", len(at))
		}
		w.took(start, 150*time.Millisecond+oneWay+oneWay+10*time.Microsecond+10*time.Millisecond+oneWay+time.Second-
			(10*time.Millisecond+oneWay))
	})
}

// What is stripped does not arrive.
func TestStrip(t *testing.T) {
	cfg := Config{Strip: func(to *Host, b []byte) []byte {
		if to.Name() == "b" && b[0] == 'x' {
			return nil
		}
		return b[1:]
	}}
	inWorld(t, cfg, func(w *world) {
		p, q := w.packets(w.a), w.packets(w.b)
		w.post(p, q, "x1")
		w.post(p, q, "y2")
		if texts, _ := w.drain(q); fmt.Sprint(texts) != "[2]" {
			w.Errorf("%q", texts)
		}
	})
}

// With a grain datagrams arrive together, at its whole multiples: late by less than
// one, and never early.
func TestGrain(t *testing.T) {
	const grain = 4 * time.Millisecond
	cfg := Config{Seed: 1, Grain: grain, Link: Link{Latency: Uniform(oneWay, 2*oneWay)}}
	inWorld(t, cfg, func(w *world) {
		p, q := w.packets(w.a), w.packets(w.b)
		start := time.Now()
		for range 100 {
			w.post(p, q, "x")
		}
		texts, at := w.drain(q)
		moments := map[time.Duration]int{}
		for _, one := range at {
			moments[one.Sub(start)]++
		}
		if len(texts) != 100 || len(moments) > 4 || len(moments) < 2 {
			t.Errorf("%d arrived, at %v", len(texts), moments)
		}
		for d := range moments {
			if d%grain != 0 || d < oneWay || d >= 2*oneWay+grain {
				t.Errorf("arrived after %v", d)
			}
		}
	})
}
