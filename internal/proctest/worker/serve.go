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
	lost *losses

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
	s := &server{n: n, work: o.work, lost: &losses{changed: make(chan struct{})}}
	n.OnOwnership(s.lost.note, node.TablesOnly())
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
	info, _ := rpc.InfoFrom(ctx)
	owned := info.Keyed && !info.Failover && s.owns(ctx, info.Partition)
	if s.work > 0 {
		select {
		case <-time.After(s.work):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return &Reply{Node: s.n.Name(), Key: req.Key, Owned: owned, Failover: info.Failover}, nil
}

// owns tells whether this member owns a partition by its own table, or lost it
// so short a time ago that the call was admitted before.
func (s *server) owns(ctx context.Context, partition uint32) bool {
	ctx, cancel := context.WithTimeout(ctx, justMoved)
	defer cancel()
	for {
		if s.n.Table().Owner(partition) == s.n.Name() {
			return true
		}
		late, changed := s.lost.lately(partition)
		if late {
			return true
		}
		select { // the table may have changed, and the word of it be under way
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// justMoved is how long after the loss of a partition a call for it may begin to
// run that was admitted by the table before.
const justMoved = 100 * time.Millisecond

// losses remembers when this member lost a partition.
//
// Invariant: changed is closed, and replaced, with each change of the table.
type losses struct {
	mu      sync.Mutex
	at      map[uint32]time.Time
	changed chan struct{}
}

// note is a hook of the node.
func (l *losses) note(c node.OwnershipChange) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for partition, at := range l.at {
		if now.Sub(at) > justMoved {
			delete(l.at, partition)
		}
	}
	if l.at == nil {
		l.at = make(map[uint32]time.Time)
	}
	for _, m := range c.Lost {
		l.at[m.Partition] = now
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// lately tells whether a partition was lost a moment ago, and gives what is
// closed when that may have become different.
func (l *losses) lately(partition uint32) (bool, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := l.at[partition]
	return ok && time.Since(at) < justMoved, l.changed
}
