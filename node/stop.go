package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/rpc"
)

// Stop leaves gracefully: it tells the cluster, waits until the others route
// past this node, lets calls under way finish, and closes everything. When ctx
// ends first, or Close is called, the rest is cut short, and the error says so.
// Further calls wait for the first one. A handler that calls Stop waits for
// itself until ctx ends; Leave is for handlers.
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
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()
	if cluster := n.cluster.Load(); running && cluster != nil {
		n.leave(ctx, cluster)
	}
	err := ctx.Err()
	n.shut()
	if err != nil {
		return fmt.Errorf("node %s stopped before all calls had finished: %w", n.cfg.Name, err)
	}
	return nil
}

// leave does what others should see of a graceful end.
func (n *Node) leave(ctx context.Context, cluster *membership.Cluster) {
	n.log.Info().Msg("leaving")
	if err := cluster.SetState(membership.StateDraining); err != nil {
		n.log.Warn().Err(err).Msg("could not announce that this node drains")
	} else {
		n.waitForgotten(ctx)
	}
	n.settle(ctx)
	n.waitHooks(ctx)     // they are told that this node has lost everything
	n.waitTaken(ctx)     // and those of others fetch it
	n.foreign.Drain(ctx) // first: its calls are calls of this process
	calls, handlers := n.calls.close(), n.running.Load().close()
	n.endpoint.Drain(ctx)
	for _, left := range []<-chan struct{}{calls, handlers} {
		select {
		case <-left:
		case <-ctx.Done():
		}
	}
	if err := cluster.Leave(ctx); err != nil {
		n.log.Warn().Err(err).Msg("left without word")
	}
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
// ended.
const handlerGrace = time.Second

// shut closes everything and waits for every goroutine but handlers that do
// not heed their context.
func (n *Node) shut() {
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
	locals := n.running.Load().close()
	if cluster := n.cluster.Load(); cluster != nil {
		cluster.Stop()
	}
	handlers := make(chan struct{})
	go func() {
		defer close(handlers)
		n.endpoint.Close()
		<-locals
		n.hooksRun.Wait()
	}()
	n.foreign.Close()
	if port := n.port.Load(); port != nil {
		if err := port.Close(); err != nil {
			n.log.Warn().Err(err).Msg("closing the port")
		}
	}
	n.tasks.Wait()
	select {
	case <-handlers:
	case <-time.After(handlerGrace):
		n.log.Warn().Msg("stopped while handlers still run that do not heed their context")
	}
	close(n.life.stopped)
	n.log.Info().Msg("stopped")
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
		// Who cannot be reached cannot be waited for; who is slow can.
		if errors.Is(r.Err, rpc.DeadlineExceeded) || r.Err == nil && r.Reply.Fingerprint != mine {
			return false
		}
	}
	return true
}
