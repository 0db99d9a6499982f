package transport

import (
	"context"
	"errors"
	"testing"
	"time"
)

// Who asks whether a process answers now is not told that it did not a while ago.
func TestAskHeedsNoBackoff(t *testing.T) {
	_, n, _, p := peerLab(t, newMemNet(1000), echo{})
	broken := errors.New("no route")
	n.set(func(context.Context, string) error { return broken })
	for try := range int32(8) {
		_, err := p.Ask(context.Background())
		is(t, "dial", err, broken, true)
		isNot(t, "dial", err, ErrBackoff)
		same(t, "dials", n.dials.Load(), try+1)
	}
	n.set(nil)
	c, err := p.Ask(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	call(t, c, "echo", nil)
	same(t, "connection", p.Current(), c)
	again, err := p.Ask(context.Background())
	same(t, "second answer", again, c)
	same(t, "error", err, nil)
}

// A dial that hangs is not waited for, and takes nobody's place when it succeeds
// after all.
func TestAskWhileADialHangs(t *testing.T) {
	for name, network := range networks(t) {
		t.Run(name, func(t *testing.T) {
			_, n, h, p := peerLab(t, network(), echo{})
			hanging, release := make(chan struct{}, 1), make(chan struct{})
			n.set(func(context.Context, string) error {
				select {
				case hanging <- struct{}{}: // the first one
					<-release
				default:
				}
				return nil
			})
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
			defer cancel()
			_, err := p.Ask(ctx)
			is(t, "first answer", err, context.DeadlineExceeded, true)
			c, err := p.Ask(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			close(release)
			eventually(t, "end of the other dial", func() bool {
				p.mu.Lock()
				defer p.mu.Unlock()
				return p.dialling == nil
			})
			same(t, "connection", p.Current(), c)
			eventually(t, "one connection", func() bool { return h.Conns() == 1 && p.ep.Conns() == 1 })
			call(t, c, "echo", nil)
		})
	}
}

// Close ends the dial of who asks, too.
func TestAskEndsWithThePeer(t *testing.T) {
	_, n, _, p := peerLab(t, newMemNet(1000), echo{})
	dialling := make(chan struct{}, 10)
	n.set(func(ctx context.Context, _ string) error {
		dialling <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	asked := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := p.Ask(context.Background())
			asked <- err
		}()
		receive(t, "dial", dialling)
	}
	p.Close()
	for range 2 {
		is(t, "answer", receive(t, "end", asked), ErrClosed, true)
	}
	_, err := p.Ask(context.Background())
	is(t, "after Close", err, ErrClosed, true)
}
