package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// pipeLimits are small, so that few bytes meet them.
func pipeLimits() Limits {
	return Limits{MaxBody: 10 << 10, Window: 2 << 10, ConnWindow: 2 << 10, StallTimeout: time.Minute}
}

func newPipe() (*Pipe, *CallContext) {
	ctx := new(CallContext)
	return NewPipe(pipeLimits(), ctx.End), ctx
}

// Messages of any length arrive in order and as they were, both ways at once, and what lies unread
// never exceeds the window.
func TestPipeCarriesMessages(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(0, pipeLimits().MaxBody), 0, 20)
		p, _ := newPipe()
		var wg sync.WaitGroup
		carry := func(h *pipeHalf, sizes []int, closing func()) {
			wg.Go(func() {
				for i, size := range sizes {
					if err := h.send(bytes.Repeat([]byte{byte(i)}, size)); err != nil {
						t.Errorf("message %d: %v", i, err)
					}
				}
				closing()
			})
			wg.Go(func() {
				for i, size := range sizes {
					msg, err := h.recv()
					if err != nil || !bytes.Equal(msg, bytes.Repeat([]byte{byte(i)}, size)) {
						t.Errorf("message %d of %d bytes arrives with %d, %v", i, size, len(msg), err)
					}
					h.mu.Lock()
					if h.credit < 0 || len(h.fresh) > int(h.window) {
						t.Errorf("credit %d, %d bytes unread", h.credit, len(h.fresh))
					}
					h.mu.Unlock()
				}
			})
		}
		carry(&p.down, sizes.Draw(rt, "down"), func() { _ = p.Caller().CloseSend() })
		carry(&p.up, sizes.Draw(rt, "up"), func() {})
		wg.Wait()
		if _, err := p.Server().Recv(); err != io.EOF {
			t.Errorf("behind CloseSend: %v", err)
		}
		p.End(nil)
		if _, err := p.Caller().Recv(); err != io.EOF || p.Status() != nil {
			t.Errorf("behind End: %v, %v", err, p.Status())
		}
	})
}

// A stream ends once: what comes later changes nothing.
func TestPipeEndsOnce(t *testing.T) {
	t.Parallel()
	failed, broken := errors.New("failed"), errors.New("broken")
	ends := map[string]func(p *Pipe){
		"End": func(p *Pipe) { p.End(failed) }, "Abort": func(p *Pipe) { p.Abort(context.DeadlineExceeded) },
		"Cut": func(p *Pipe) { p.Cut(broken) },
	}
	want := map[string]string{
		"End":   "caller hello, EOF, failed, stream ended; server stream ended, stream ended; context <nil>",
		"Abort": "caller late, late, <nil>, late; server late, late; context context deadline exceeded",
		"Cut":   "caller broken, broken, <nil>, broken; server broken, broken; context context canceled",
	}
	short := func(err error) string {
		switch err {
		case ErrStreamEnded:
			return "stream ended"
		case context.DeadlineExceeded:
			return "late"
		}
		return fmt.Sprint(err)
	}
	for first, end := range ends {
		for _, second := range ends {
			p, ctx := newPipe()
			if err := errors.Join(p.Server().Send([]byte("hello")), p.Caller().Send([]byte("hello"))); err != nil {
				t.Fatal(err)
			}
			end(p)
			second(p)
			recv := func(recv func() ([]byte, error)) string {
				if msg, err := recv(); err != nil {
					return short(err)
				} else {
					return string(msg)
				}
			}
			got := fmt.Sprintf("caller %s, %s, %v, %s; ", recv(p.Caller().Recv), recv(p.Caller().Recv), p.Status(), short(p.Caller().Send(nil)))
			got += fmt.Sprintf("server %s, %s; context %v", recv(p.Server().Recv), short(p.Server().Send(nil)), ctx.Err())
			if got != want[first] {
				t.Errorf("%s first: %s, want %s", first, got, want[first])
			}
		}
	}
}

// A sender whose messages nobody takes fails after StallTimeout, and not before; one that waits
// learns of the end at once.
func TestPipeStalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _ := newPipe()
		began := time.Now()
		var err error
		for err == nil {
			err = p.Caller().Send(make([]byte, 100))
		}
		if took := time.Since(began); err != ErrStalled || took != time.Minute {
			t.Errorf("%v after %v", err, took)
		}
		time.AfterFunc(time.Second, func() { p.End(nil) })
		began = time.Now()
		if err := p.Caller().Send(make([]byte, 100)); err != ErrStreamEnded || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		p, _ = newPipe()
		time.AfterFunc(time.Second, func() { p.Caller().Close() })
		if _, err := p.Caller().Recv(); err != context.Canceled {
			t.Errorf("Recv while the stream is closed: %v", err)
		}
		if _, err := p.Caller().Recv(); err != ErrStreamEnded {
			t.Errorf("Recv after Close: %v", err)
		}
	})
}
