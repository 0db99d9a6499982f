package node

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// Open opens a stream; it implements rpc.StreamCaller. Use the methods of
// rpc.Stream instead.
func (n *Node) Open(ctx context.Context, call *rpc.Call) error { return n.invoker(ctx, call) }

// openAt opens the stream at one peer: the counterpart of a call in exchange. A
// reply says that the peer refuses it.
func (o *outgoing) openAt(ctx context.Context, conn *transport.Conn, peer string, req *transport.Request) (*transport.Reply, error) {
	if req.Accept = time.Until(o.due); req.Accept <= 0 {
		return nil, context.DeadlineExceeded
	}
	if o.endless {
		req.Deadline, req.Left = time.Time{}, 0
	}
	s, refusal, err := conn.Open(ctx, req)
	if err != nil || refusal != nil {
		return refusal, err
	}
	o.call.AnsweredBy(peer)
	o.call.Stream = &remoteStream{s}
	return nil, nil
}

// remoteStream is a stream to a peer, as rpc wants it.
type remoteStream struct{ *transport.Stream }

// Send implements rpc.RawStream.
func (s *remoteStream) Send(msg []byte) error { return sendError(s.Stream.Send(msg)) }

// Recv implements rpc.RawStream.
func (s *remoteStream) Recv() ([]byte, error) {
	msg, err := s.Stream.Recv()
	if err != io.EOF {
		return msg, recvError(err)
	}
	status, err := s.Status()
	if err != nil {
		return nil, recvError(err)
	}
	if status.Code != transport.CodeOK {
		return nil, errorOf(status)
	}
	return nil, io.EOF
}

// servedStream is a stream that a peer has opened.
type servedStream struct{ *transport.Stream }

// Send implements rpc.RawStream.
func (s *servedStream) Send(msg []byte) error { return sendError(s.Stream.Send(msg)) }

// Recv implements rpc.RawStream.
func (s *servedStream) Recv() ([]byte, error) {
	msg, err := s.Stream.Recv()
	return msg, recvError(err)
}

// CloseSend implements rpc.RawStream; a server ends by returning.
func (s *servedStream) CloseSend() error { return nil }

// Close implements rpc.RawStream.
func (s *servedStream) Close() {}

// sendError gives a transport's error in the terms of rpc.
func sendError(err error) error {
	switch err {
	case nil:
		return nil
	case transport.ErrStreamEnded:
		return io.EOF
	case transport.ErrSendClosed:
		return rpc.Errorf(rpc.FailedPrecondition, "a message was sent behind CloseSend")
	}
	return recvError(err)
}

func recvError(err error) error {
	switch {
	case err == nil || err == io.EOF:
		return err
	case err == transport.ErrBodyTooLarge:
		return rpc.Errorf(rpc.ResourceExhausted, "a message exceeds what one of the nodes accepts")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return rpc.AsError(err)
	}
	return rpc.Errorf(rpc.Unavailable, "%v", err)
}

// localContext is the context of a handler that serves a stream of this very node.
type localContext struct{ rpc.ServerContext }

func (c *localContext) about() *rpc.Info { return &c.Info }

// localStream opens a stream to this very node.
func (o *outgoing) localStream(ctx context.Context, key info, h *handler) error {
	n := o.n
	g := n.enter()
	if g == nil {
		return o.stopped()
	}
	n.stats.add(LocalCalls)
	bounded, cancel := ctx, context.CancelFunc(func() {})
	if !o.endless {
		bounded, cancel = context.WithDeadline(ctx, o.due)
	}
	caller, server, serverCtx, end := rpc.Pipe(bounded)
	hctx, stop := context.WithCancel(serverCtx)
	unwatch := context.AfterFunc(n.ctx, stop)
	about := o.about(key)
	go func() {
		defer g.leave()
		defer cancel()
		defer stop()
		defer unwatch()
		_, err := n.run(&localContext{rpc.ServerContext{Context: hctx, Info: about}}, h, server)
		if err != nil {
			err = rpc.AsError(err)
		}
		end(err)
	}()
	o.call.AnsweredBy(n.cfg.Name)
	o.call.Stream = caller
	return nil
}

// serveStream serves a stream that a peer opened.
func (n *Node) serveStream(in *transport.Incoming, h *handler, key info) {
	ctx := n.contextOf(in, h, key)
	if g := n.enter(); g != nil {
		defer g.leave()
	}
	s := in.Stream()
	s.Accept()
	_, err := n.run(ctx, h, &servedStream{s})
	if err == nil {
		_ = in.Reply(transport.CodeOK, nil, nil)
		return
	}
	e := rpc.AsError(err)
	_ = in.Reply(uint64(e.Code), said("%s", e.Message), e.Detail)
}

// Open implements rpc.StreamCaller: the stream is served by the node that the
// client is connected to, so its destination can only be rpc.Any.
func (c *Client) Open(ctx context.Context, call *rpc.Call) error {
	if call.Dest.Kind != rpc.ToAny {
		return rpc.Errorf(rpc.InvalidArgument,
			"%s: a client streams with the node that it is connected to; rpc.%s is for nodes", call.Spec.Name(), call.Dest.Kind)
	}
	if err := checkMetadata(call); err != nil {
		return err
	}
	due, _, _ := dueOf(ctx, call, 0, c.started)
	req := transport.Request{Method: call.Spec.Name(), Deadline: due, Accept: c.timeout}
	req.Meta = transport.Meta{Partition: transport.NoPartition, User: pairsOf(call.Metadata)}
	conn, err := c.peer.Conn(ctx)
	if err != nil {
		return asError(ctx, err)
	}
	s, refusal, err := conn.Open(ctx, &req)
	if err != nil {
		return asError(ctx, err)
	}
	call.AnsweredBy(conn.Peer().Name)
	if refusal != nil {
		defer refusal.Release()
		return errorOf(refusal)
	}
	call.Stream = &remoteStream{s}
	return nil
}
