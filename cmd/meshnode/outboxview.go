package main

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/outbox"
	"github.com/meshnode/meshnode/rpc"
)

// outboxDir is where a node keeps its outbox, in its data directory.
const outboxDir = "outbox"

// boxView is an outbox as the commands see it: a running node's, or a directory.
type boxView interface {
	status(ctx context.Context) (outbox.Status, error)
	list(ctx context.Context, state string, limit int) ([]outbox.Letter, error)
	show(ctx context.Context, id string) (outbox.Letter, error)
	decide(ctx context.Context, id string, retry bool) error
	cancel(ctx context.Context, id string) (outbox.Letter, error)
	close() error
}

// viewBox gives what the flags name.
func (a *app) viewBox(ctx context.Context, f *outboxFlags, writes bool) (boxView, error) {
	if f.dir == "" {
		c, err := a.dial(ctx)
		if err != nil {
			return nil, err
		}
		return &remoteBox{c: c, addr: a.addr}, nil
	}
	dir, err := boxIn(f.dir)
	if err != nil {
		return nil, err
	}
	box, err := outbox.Open(dir, outbox.Config{ReadOnly: !writes})
	if errors.Is(err, outbox.ErrInUse) {
		return nil, failf(rpc.FailedPrecondition, "%v: ask the process itself with --addr, or stop it", err)
	}
	if err != nil {
		return nil, err
	}
	return &localBox{box}, nil
}

// boxIn returns where the outbox is that --dir means: in the data directory of a node of the
// daemon, or, for one of a program that embeds a node, dir itself.
func boxIn(dir string) (string, error) {
	below := filepath.Join(dir, outboxDir)
	for _, place := range []string{below, dir} {
		if outbox.IsDir(place) {
			return place, nil
		}
	}
	return "", failf(rpc.NotFound, "--dir %s: no outbox there, nor in %s; want the --data-dir of a node, or the directory that a program has given to outbox.Open", dir, below)
}

type localBox struct{ box *outbox.Box }

func (l *localBox) status(context.Context) (outbox.Status, error) { return l.box.Status(), nil }

func (l *localBox) list(_ context.Context, state string, limit int) ([]outbox.Letter, error) {
	return l.box.List(limit, func(one outbox.Letter) bool { return state == "" || one.State == state }), nil
}

func (l *localBox) show(_ context.Context, id string) (outbox.Letter, error) { return l.box.Show(id) }

func (l *localBox) decide(_ context.Context, id string, retry bool) error {
	if retry {
		return l.box.Retry(id)
	}
	return l.box.Drop(id)
}

func (l *localBox) cancel(ctx context.Context, id string) (outbox.Letter, error) {
	return l.box.Cancel(ctx, id)
}

func (l *localBox) close() error { return l.box.Close() }

type remoteBox struct {
	c    *node.Client
	addr string
}

// none says in words that a node without an outbox was asked.
func (r *remoteBox) none(err error) error {
	if errors.Is(err, rpc.Unimplemented) {
		return failf(rpc.Unimplemented, "the node at %s has no outbox: run it with --data-dir", r.addr)
	}
	return err
}

func (r *remoteBox) status(ctx context.Context) (outbox.Status, error) {
	s, err := outbox.StatusMethod.Call(ctx, r.c, &outbox.StatusRequest{})
	if err != nil {
		return outbox.Status{}, r.none(err)
	}
	return *s, nil
}

func (r *remoteBox) list(ctx context.Context, state string, limit int) ([]outbox.Letter, error) {
	reply, err := outbox.ListMethod.Call(ctx, r.c, &outbox.ListRequest{State: state, Limit: limit})
	if err != nil {
		return nil, r.none(err)
	}
	return reply.Calls, nil
}

func (r *remoteBox) show(ctx context.Context, id string) (outbox.Letter, error) {
	l, err := outbox.ShowMethod.Call(ctx, r.c, &outbox.ShowRequest{ID: id})
	if err != nil {
		return outbox.Letter{}, r.none(err)
	}
	return *l, nil
}

func (r *remoteBox) decide(ctx context.Context, id string, retry bool) error {
	_, err := outbox.DecideMethod.Call(ctx, r.c, &outbox.DecideRequest{ID: id, Retry: retry, Drop: !retry})
	return r.none(err)
}

func (r *remoteBox) cancel(ctx context.Context, id string) (outbox.Letter, error) {
	reply, err := outbox.DecideMethod.Call(ctx, r.c, &outbox.DecideRequest{ID: id, Cancel: true})
	if err != nil {
		return outbox.Letter{}, r.none(err)
	}
	if reply.Canceled == nil {
		return outbox.Letter{}, failf(rpc.Internal, "the node at %s does not say what it has cancelled", r.addr)
	}
	return *reply.Canceled, nil
}

func (r *remoteBox) close() error {
	r.c.Close()
	return nil
}
