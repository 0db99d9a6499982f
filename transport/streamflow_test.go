package transport

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// memory gives the bytes that a stream's unread messages take.
func (q *recvQueue) memory() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return cap(q.fresh)
}

// sendUntilStuck sends until the window is full, on a goroutine that goes on
// when there is room, n messages in all.
func sendUntilStuck(l *lab, s *Stream, n, size int) (done <-chan error) {
	l.Helper()
	ended := make(chan error, 1)
	go func() {
		for i := range n {
			if err := s.Send(pattern(size, uint64(i))); err != nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	eventually(l, "full window", func() bool {
		s.conn.out.mu.Lock()
		defer s.conn.out.mu.Unlock()
		return s.out.credit < int64(min(size, s.out.least)+frameCost)
	})
	return ended
}

// A reader that takes nothing stops its own stream, at one window of memory,
// and nobody else, whichever side it is on.
func TestSlowReaderStopsItsOwnStream(t *testing.T) {
	overAll(t, func(l *lab) {
		const n, size = 700, 1000
		slow := make(chan *Stream, 1)
		release := make(chan struct{})
		handlers := streamKinds()
		handlers["slow"] = func(in *Incoming) {
			s := in.Stream()
			s.Accept()
			slow <- s
			hold(release)
			streamRest(l, s, n, size)
			_ = in.Reply(CodeOK, nil, nil)
		}
		h := l.host(Config{Name: "b", Handler: handlers})
		c := l.dial(l.endpoint(Config{Name: "a", Handler: handlers}), h)
		for _, side := range []*Conn{c, h.far(l)} {
			s := l.stream(side, "slow", nil)
			sent := sendUntilStuck(l, s, n, size)
			there := receive(l, "stream there", slow)
			if most := 2 * DefaultWindow; there.in.memory() > most {
				l.Errorf("%d bytes lie unread, more than %d", there.in.memory(), most)
			}
			other := l.stream(side, "echo", nil)
			for i := range 20 {
				msg := pattern(3000*i, 1)
				if err := other.Send(msg); err != nil {
					l.Fatal(err)
				}
				if got, err := other.Recv(); err != nil || !bytes.Equal(got, msg) {
					l.Fatalf("another stream: %d bytes came back as %d, %v", len(msg), len(got), err)
				}
				call(l, side, "unary", msg)
			}
			other.Close()
			call(l, side, "unary", make([]byte, 2*DefaultWindow))
			same(l, "still stuck", len(sent), 0)
			release <- struct{}{}
			same(l, "sending", receive(l, "end of sending", sent), nil)
			_ = s.CloseSend()
			code, _ := status(l, s)
			same(l, "code", code, CodeOK)
			s.Close()
		}
		quietAfterStreams(l, c, h)
	})
}

// streamRest receives n messages of sendUntilStuck and the end.
func streamRest(l *lab, s *Stream, n, size int) {
	for i := range n {
		if msg, err := s.Recv(); err != nil || !bytes.Equal(msg, pattern(size, uint64(i))) {
			l.Errorf("message %d: %d bytes, %v", i, len(msg), err)
			return
		}
	}
	if _, err := s.Recv(); err != io.EOF {
		l.Errorf("end: %v", err)
	}
}

// Streams that are read, though less than half a window each, take nothing of
// what may lie unread on a connection.
func TestManyIdleStreams(t *testing.T) {
	overAll(t, func(l *lab) {
		limits := Limits{Window: 4 << 10, ConnWindow: 16 << 10, MaxUnread: 8 << 10}
		h := l.host(Config{Name: "b", Handler: streamKinds(), Limits: limits})
		c := l.dial(l.endpoint(Config{Name: "a", Limits: limits}), h)
		var streams []*Stream
		for range 30 {
			s := l.stream(c, "echo", nil)
			streams = append(streams, s)
			if err := s.Send(pattern(1000, 1)); err != nil {
				l.Fatal(err)
			}
			if _, err := s.Recv(); err != nil {
				l.Fatal(err)
			}
		}
		call(l, c, "unary", make([]byte, 200_000))
		for _, s := range streams {
			s.Close()
		}
		quietAfterStreams(l, c, h)
	})
}

// What lies unread on all streams of a connection together is bounded: then each
// stands still until it is read, and goes on.
func TestUnreadOfAConnectionIsBounded(t *testing.T) {
	overAll(t, func(l *lab) {
		const n, messages, most = 20, 9, 8 << 10
		release := make(chan struct{})
		limits := Limits{Window: 8 << 10, ConnWindow: 8 << 10, MaxUnread: most}
		h := l.host(Config{Name: "b", Limits: limits, Handler: methods{
			"slow": func(in *Incoming) {
				in.Stream().Accept()
				hold(release)
				streamRest(l, in.Stream(), messages, 1000)
				_ = in.Reply(CodeOK, nil, nil)
			},
			"echo": echo{}.ServeCall,
		}})
		c := l.dial(l.endpoint(Config{Name: "a"}), h)
		far := h.far(l)
		var wg sync.WaitGroup
		for range n {
			s := l.stream(c, "slow", nil)
			wg.Go(func() {
				for i := range uint64(messages) {
					if err := s.Send(pattern(1000, i)); err != nil {
						l.Errorf("sending: %v", err)
					}
				}
				_ = s.CloseSend()
				code, _ := status(l, s)
				same(l, "code", code, CodeOK)
				s.Close()
			})
		}
		eventually(l, "full windows", func() bool { return far.unread() >= n*(streamFloor-1000-frameCost) })
		if got := far.unread(); got > most+n*streamFloor {
			l.Errorf("%d bytes lie unread, more than %d", got, most+n*streamFloor)
		}
		call(l, c, "echo", []byte("small calls need no credit"))
		close(release)
		wg.Wait()
		quietAfterStreams(l, c, h)
	})
}

// Everything works with the smallest windows.
func TestSmallestWindows(t *testing.T) {
	overAll(t, func(l *lab) {
		limits := Limits{Window: minWindow, ConnWindow: minWindow, MaxUnread: 1}
		h := l.host(Config{Name: "b", Handler: streamKinds(), Limits: limits})
		c := l.dial(l.endpoint(Config{Name: "a", Limits: limits}), h)
		var wg sync.WaitGroup
		for i := range uint64(4) {
			wg.Go(func() {
				body := pattern(70_000, i)
				if got := call(l, c, "unary", body); !bytes.Equal(got, body) {
					l.Errorf("%d bytes came back as %d", len(body), len(got))
				}
				s := l.stream(c, "echo", nil)
				for n := range 40 {
					msg := pattern(n*n, i)
					if err := s.Send(msg); err != nil {
						l.Errorf("sending: %v", err)
						break
					}
					if got, err := s.Recv(); err != nil || !bytes.Equal(got, msg) {
						l.Errorf("%d bytes came back as %d, %v", len(msg), len(got), err)
						break
					}
				}
				s.Close()
			})
		}
		wg.Wait()
		quietAfterStreams(l, c, h)
	})
}

// duplex is what one side of a random stream sends, and how it goes about it.
// Both sides know both, so each can check what it gets.
type duplex struct {
	sizes []int
	seed  uint64
	quit  int // the message before which this side leaves; -1: never
}

func newDuplex(seed uint64, most int) *duplex {
	r := rand.New(rand.NewPCG(seed, 7))
	d := &duplex{seed: seed, sizes: make([]int, r.IntN(40)), quit: -1}
	for i := range d.sizes {
		if d.sizes[i] = r.IntN(300); r.IntN(8) == 0 {
			d.sizes[i] = r.IntN(most)
		}
	}
	if r.IntN(5) == 0 && len(d.sizes) > 0 {
		d.quit = r.IntN(len(d.sizes))
	}
	return d
}

func (d *duplex) message(i int) []byte { return pattern(d.sizes[i], d.seed+uint64(i)) }

// send sends all, or up to the message at which this side leaves.
func (d *duplex) send(s *Stream) (left bool, err error) {
	for i := range d.sizes {
		if i == d.quit {
			return true, nil
		}
		if err := s.Send(d.message(i)); err != nil {
			return false, err
		}
	}
	return false, nil
}

// receive checks what comes: always a beginning of d, and all of it if the
// stream ends well.
func (d *duplex) receive(s *Stream) (n int, err error) {
	for {
		msg, err := s.Recv()
		if err != nil {
			return n, err
		}
		if n >= len(d.sizes) || !bytes.Equal(msg, d.message(n)) {
			return n, fmt.Errorf("message %d of %d is wrong, with %d bytes", n, len(d.sizes), len(msg))
		}
		n++
	}
}

// ServeCall is the server's side: it sends its own while it receives.
func serveDuplex(in *Incoming) {
	s := in.Stream()
	s.Accept()
	seed := binary.BigEndian.Uint64(in.Body)
	mine, theirs := newDuplex(seed+1, 9000), newDuplex(seed, 9000)
	sent := make(chan bool, 1)
	go func() {
		left, _ := mine.send(s)
		if left {
			s.abort(errLeft)
		}
		sent <- left
	}()
	n, err := theirs.receive(s)
	left := <-sent
	switch {
	case left:
		_ = in.Reply(CodeUnavailable, nil, nil)
	case err == io.EOF && n == len(theirs.sizes):
		_ = in.Reply(CodeOK, nil, nil)
	case errors.Is(err, context.Canceled):
		_ = in.Reply(CodeCanceled, nil, nil)
	default:
		_ = in.Reply(CodeInternal, message(fmt.Sprintf("%d of %d messages: %v", n, len(theirs.sizes), err)), nil)
	}
}

var errLeft = errors.New("left")

// callDuplex is the caller's side.
func callDuplex(c *Conn, seed uint64) error {
	s, refused, err := c.Open(context.Background(), &Request{Method: "m", Body: binary.BigEndian.AppendUint64(nil, seed)})
	if err != nil || refused != nil {
		return fmt.Errorf("open: %v %w", refused, err)
	}
	defer s.Close()
	mine, theirs := newDuplex(seed, 9000), newDuplex(seed+1, 9000)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if left, _ := mine.send(s); left {
			s.abort(errLeft)
			return
		}
		_ = s.CloseSend()
	}()
	n, err := theirs.receive(s)
	<-sent
	if err != io.EOF {
		if mine.quit >= 0 && err == errLeft {
			return nil
		}
		return fmt.Errorf("seed %d: %d of %d messages: %w", seed, n, len(theirs.sizes), err)
	}
	r, err := s.Status()
	switch {
	case err != nil:
		return err
	case r.Code == CodeOK && n == len(theirs.sizes), r.Code == CodeUnavailable && theirs.quit >= 0:
		return nil
	}
	return fmt.Errorf("seed %d: code %d after %d of %d messages: %s", seed, r.Code, n, len(theirs.sizes), r.Meta.Message)
}

// Random streams with tiny windows, many at once, against what they must bring.
func TestRandomStreams(t *testing.T) {
	r := seeded(t)
	overAll(t, func(l *lab) {
		h := l.host(Config{Name: "b", Handler: methods{"m": serveDuplex}, Limits: Limits{Window: minWindow + r.IntN(3000), ConnWindow: minWindow + r.IntN(9000)}})
		c := l.dial(l.endpoint(Config{Name: "a", Limits: Limits{Window: minWindow + r.IntN(3000), ConnWindow: minWindow + r.IntN(9000), MaxUnread: 1 + r.IntN(9000)}}), h)
		var wg sync.WaitGroup
		for range 8 {
			seed := r.Uint64()
			wg.Go(func() {
				for n := range uint64(12) {
					if err := callDuplex(c, seed+2*n); err != nil {
						l.Error(err)
					}
				}
			})
		}
		done := make(chan struct{})
		go func() { wg.Wait(); close(done) }()
		receive(l, "end of all streams", done)
		quietAfterStreams(l, c, h)
	})
}

// A side that takes nothing is not waited for beyond StallTimeout.
func TestStreamStalls(t *testing.T) {
	overAll(t, func(l *lab) {
		p := newPatient()
		block := make(chan struct{})
		h := l.host(Config{Name: "b", Handler: methods{
			"block": func(in *Incoming) { in.Stream().Accept(); hold(block) },
			"p":     p.ServeCall,
		}})
		c := l.dial(l.endpoint(Config{Name: "a", Limits: Limits{StallTimeout: 100 * time.Millisecond}}), h)
		s := l.stream(c, "block", nil)
		var err error
		for err == nil {
			err = s.Send(make([]byte, 2*wire.Chunk))
		}
		is(l, "Send", err, ErrStalled, false)
		counts(l, c.ep, StreamsStalled, 1)
		is(l, "the next one", s.Send(nil), ErrStalled, false) // it would continue the other
		s.Close()
		close(block)
		quietAfterStreams(l, c, h)
	})
}
