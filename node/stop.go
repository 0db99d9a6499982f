package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/rpc"
)

// Stop leaves gracefully: it tells the cluster, waits until the others route past this node, lets
// calls and streams under way finish, and closes everything. When ctx or Limits.DrainTimeout ends
// first, or Close is called, the rest is cut short, and the error says so: calls fail as their
// connection has ended, and both ends of a stream get Unavailable. Whatever is open, Stop returns
// within the drain timeout and a second or two. Further calls wait for the first one. A handler
// that calls Stop waits for itself until then; Leave is for handlers.
func (n *Node) Stop(ctx context.Context) error {
	first, running := n.life.stop()
	if !first {
		select {
		case <-n.life.stopped:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	due := time.Now().Add(n.cfg.Limits.DrainTimeout)
	bounded, cancel := context.WithDeadline(ctx, due)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()
	handlers := make([]<-chan struct{}, 0, 2)
	if cluster := n.cluster.Load(); running && cluster != nil {
		handlers = append(handlers, n.leave(bounded, cluster))
	}
	err := bounded.Err()
	n.shut(handlers...)
	switch {
	case err == nil:
		return nil
	case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("node %s stopped before all calls had finished, by its drain timeout of %v: %w",
			n.cfg.Name, n.cfg.Limits.DrainTimeout, err)
	}
	return fmt.Errorf("node %s stopped before all calls had finished: %w", n.cfg.Name, err)
}

const (
	// partingShare is the last part of the time to drain in which connections are told to take no
	// new calls, however long the handlers that run already may take.
	partingShare = 10
	// leaveTimeout bounds how long the word that this node leaves may take to go out, after all
	// else has ended.
	leaveTimeout = time.Second
)

// leave does what others should see of a graceful end. The channel that it returns is closed when
// the handlers that ran at its beginning have returned, which may be later.
func (n *Node) leave(ctx context.Context, cluster *membership.Cluster) (handlers <-chan struct{}) {
	n.log.Info().Msg("leaving")
	if err := cluster.SetState(membership.StateDraining); err != nil {
		n.log.Warn().Err(err).Msg("could not announce that this node drains")
	} else {
		n.waitForgotten(ctx)
	}
	early, cancel := sooner(ctx, partingShare)
	defer cancel()
	handlers = n.settle()
	awaitAll(early, handlers)
	n.waitHooks(early)     // they are told that this node has lost everything
	n.waitTaken(early)     // and those of others fetch it
	n.foreign.Drain(early) // first: its calls are calls of this process
	calls, late := n.calls.close(), n.running.Load().close()
	n.endpoint.Drain(ctx)
	n.waitHooks(ctx)
	n.foreign.Drain(ctx)
	awaitAll(ctx, handlers, late, calls)
	if ctx.Err() != nil {
		n.log.Warn().Dur("drain_timeout", n.cfg.Limits.DrainTimeout).Msg("ending calls and streams that have not finished")
	}
	word, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()
	if err := cluster.Leave(word); err != nil {
		n.log.Warn().Err(err).Msg("left without word")
	}
	return handlers
}

// awaitAll waits until all channels are closed, or ctx ends.
func awaitAll(ctx context.Context, all ...<-chan struct{}) {
	for _, c := range all {
		select {
		case <-c:
		case <-ctx.Done():
			return
		}
	}
}

// sooner is ctx without the last of so many parts of the time that it has left.
func sooner(ctx context.Context, parts int) (context.Context, context.CancelFunc) {
	due, bounded := ctx.Deadline()
	if !bounded {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, due.Add(-time.Until(due)/time.Duration(parts)))
}

// Close ends the node at once, as a crash would: the others are not told. It
// cuts a Stop short that is under way.
func (n *Node) Close() {
	if first, _ := n.life.stop(); !first {
		n.cancel()
		<-n.life.stopped
		return
	}
	n.shut()
}

// handlerGrace is how long shut waits for handlers, whose contexts it has
// ended, and for whatever else of the program's own runs.
const handlerGrace = time.Second

// shut closes everything and waits for every goroutine but those in code of the program's own
// that do not heed their context: handlers, among them those whose end the channels tell,
// interceptors, hooks.
func (n *Node) shut(handlers ...<-chan struct{}) {
	n.cancel()
	n.life.opening.Lock()
	defer n.life.opening.Unlock()
	n.viewMu.Lock() // from here on nothing is held, and no hook begins
	held := n.view.Load().held
	n.viewMu.Unlock()
	for _, h := range held {
		h.end()
	}
	n.calls.close()
	handlers = append(handlers, n.running.Load().close())
	if cluster := n.cluster.Load(); cluster != nil {
		cluster.Stop()
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var all sync.WaitGroup
		all.Go(n.endpoint.Close)
		all.Go(n.foreign.Close)
		all.Go(n.closePort)
		all.Go(func() { awaitAll(context.Background(), handlers...) })
		all.Go(n.hooksRun.Wait)
		all.Wait()
	}()
	select {
	case <-ended:
	case <-time.After(handlerGrace):
		n.log.Warn().Msg("stopped while handlers still run that do not heed their context")
	}
	n.awaitTasks()
	close(n.life.stopped)
	n.log.Info().Msg("stopped")
}

func (n *Node) closePort() {
	if port := n.port.Load(); port != nil {
		if err := port.Close(); err != nil {
			n.log.Warn().Err(err).Msg("closing the port")
		}
	}
}

// awaitTasks waits for the goroutines of this node's own. Only one of them can take long: the
// program's Memory, which may wait for a disk.
func (n *Node) awaitTasks() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.tasks.Wait()
	}()
	select {
	case <-done:
	case <-time.After(n.cfg.Limits.DrainTimeout):
		n.log.Error().Msg("stopped while the peers of this node are still being remembered")
	}
}

const (
	forgetPoll    = 20 * time.Millisecond
	forgetPing    = 500 * time.Millisecond
	forgetTimeout = 3 * time.Second
)

// waitForgotten waits until every other member's table is the same as this
// node's, which lacks this node, so that no call finds it gone.
func (n *Node) waitForgotten(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, forgetTimeout)
	defer cancel()
	out := func(v *view) bool { return !v.table.Has(n.cfg.Name) }
	if n.waitView(ctx, out) != nil {
		return
	}
	for !n.othersAgree(ctx) {
		select {
		case <-time.After(forgetPoll):
		case <-ctx.Done():
			n.log.Warn().Msg("some members may still route to this node")
			return
		}
	}
}

// othersAgree asks every other member for its fingerprint.
func (n *Node) othersAgree(ctx context.Context) bool {
	results, err := Ping.Gather(ctx, n, &PingRequest{}, rpc.Timeout(forgetPing))
	if err != nil {
		return false
	}
	mine := n.Table().Fingerprint().String()
	for _, r := range results {
		// Who cannot be reached cannot be waited for; who is slow can. A node that joins
		// routes by no table yet.
		if errors.Is(r.Err, rpc.DeadlineExceeded) || r.Err == nil && r.Reply.Ready && r.Reply.Fingerprint != mine {
			return false
		}
	}
	return true
}
