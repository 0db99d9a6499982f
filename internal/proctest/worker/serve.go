package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

// server is one member with the service.
type server struct {
	n    *node.Node
	work time.Duration

	mu  sync.Mutex
	out *os.File // ids of calls that are not idempotent, as they are executed
}

// serve runs a member until SIGTERM.
func serve(cfg node.Config, o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	n, err := node.New(cfg)
	if err != nil {
		return err
	}
	s := &server{n: n, work: o.work}
	if o.executed != "" {
		if s.out, err = os.OpenFile(o.executed, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
			return err
		}
		defer s.out.Close()
	}
	safe, once := methods(0)
	safe.Handle(n, s.handle)
	once.Handle(n, func(ctx context.Context, req *Request) (*Reply, error) {
		if err := s.note(req.ID); err != nil {
			return nil, err
		}
		return s.handle(ctx, req)
	})
	return n.Run(ctx)
}

// note writes that a call was executed, before its effect.
func (s *server) note(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := fmt.Fprintln(s.out, id)
	return err
}

func (s *server) handle(ctx context.Context, req *Request) (*Reply, error) {
	owned := s.owns(ctx)
	if s.work > 0 {
		select {
		case <-time.After(s.work):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	info, _ := rpc.InfoFrom(ctx)
	return &Reply{Node: s.n.Name(), Key: req.Key, Owned: owned, Failover: info.Failover}, nil
}

// justMoved is how long after a change of the table a call may still run that
// was admitted by the one before.
const justMoved = 100 * time.Millisecond

// owns tells whether this member owns the partition of the call by its own table,
// or did so a moment ago.
func (s *server) owns(ctx context.Context) bool {
	info, _ := rpc.InfoFrom(ctx)
	if !info.Keyed {
		return false
	}
	if s.n.Table().Owner(info.Partition) == s.n.Name() {
		return true
	}
	history := s.n.History()
	return len(history) > 0 && time.Since(history[len(history)-1].At) < justMoved
}
