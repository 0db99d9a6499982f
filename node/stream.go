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
func (n *Node) Open(ctx context.Context, call *rpc.Call) error { return n.Invoke(ctx, call) }

// openAt opens the stream at one peer: the counterpart of a call in exchange. A
// reply says that the peer refuses it.
func (o *outgoing) openAt(ctx context.Context, conn *transport.Conn, peer string, req *transport.Request) (*transport.Reply, error) {
	if req.Accept = time.Until(o.due); req.Accept <= 0 {
		return nil, errLate
	}
	if o.endless {
		req.Deadline, req.Left = time.Time{}, 0
	}
	s, refusal, err := conn.Open(ctx, req)
	if err != nil || refusal != nil {
		return refusal, err
	}
	o.call.AnsweredBy(peer)
	o.call.Stream = openedAt(s)
	return nil, nil
}

// openedStream is a stream as its caller has it, wherever it is served.
type openedStream struct {
	raw    rawStream
	status func() error // how it has ended, after io.EOF; nil: well
}

// rawStream is a *transport.Stream or the caller's end of a pipe.
type rawStream interface {
	Send(msg []byte) error
	Recv() ([]byte, error)
	CloseSend() error
	Close()
	MaxMessage() int
}

// Send implements rpc.RawStream.
func (s *openedStream) Send(msg []byte) error { return sendError(s.raw.Send(msg)) }

// Recv implements rpc.RawStream.
func (s *openedStream) Recv() ([]byte, error) {
	msg, err := s.raw.Recv()
	if err != io.EOF {
		return msg, recvError(err)
	}
	if err := s.status(); err != nil {
		return nil, err
	}
	return nil, io.EOF
}

// MaxMessage is how many bytes a message may have.
func (s *openedStream) MaxMessage() int { return s.raw.MaxMessage() }

// CloseSend implements rpc.RawStream.
func (s *openedStream) CloseSend() error { return s.raw.CloseSend() }

// Close implements rpc.RawStream.
func (s *openedStream) Close() { s.raw.Close() }

// openedAt is a stream that a peer serves.
func openedAt(s *transport.Stream) *openedStream {
	return &openedStream{raw: s, status: func() error {
		status, err := s.Status()
		switch {
		case err != nil:
			return recvError(err)
		case status.Code != transport.CodeOK:
			return errorOf(status)
		}
		return nil
	}}
}

// servedStream is a stream as its handler has it.
type servedStream struct {
	raw interface {
		Send(msg []byte) error
		Recv() ([]byte, error)
		MaxMessage() int
	}
}

// MaxMessage is how many bytes a message may have.
func (s *servedStream) MaxMessage() int { return s.raw.MaxMessage() }

// Send implements rpc.RawStream.
func (s *servedStream) Send(msg []byte) error { return sendError(s.raw.Send(msg)) }

// Recv implements rpc.RawStream.
func (s *servedStream) Recv() ([]byte, error) {
	msg, err := s.raw.Recv()
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
	case err == transport.ErrStreamEnded: // by this side: it was closed, or its handler has returned
		return rpc.Errorf(rpc.Canceled, "this side has ended the stream")
	case errors.Is(err, transport.ErrStopped):
		return rpc.Errorf(rpc.Unavailable, "this node stopped before the stream had ended")
	case errors.Is(err, transport.ErrShutdown):
		return rpc.Errorf(rpc.Unavailable, "the other node stopped before the stream had ended")
	case errors.Is(err, context.DeadlineExceeded):
		return rpc.Errorf(rpc.DeadlineExceeded, "the stream did not end within its deadline")
	case errors.Is(err, context.Canceled):
		return rpc.Errorf(rpc.Canceled, "the stream was canceled")
	}
	return rpc.Errorf(rpc.Unavailable, "%v", err)
}

// localStream opens a stream to this very node.
func (o *outgoing) localStream(ctx context.Context, key info, h *handler) error {
	n := o.n
	g := n.enter()
	if g == nil {
		return o.stopped()
	}
	if ctx.Err() != nil || !time.Now().Before(o.due) {
		g.leave()
		return o.over(ctx)
	}
	n.stats.add(LocalCalls)
	o.reached = true
	hctx := new(servedContext)
	due, bounded, cancel := time.Time{}, ctx, context.CancelFunc(func() {})
	if !o.endless {
		due = o.due
		bounded, cancel = context.WithDeadline(ctx, due)
	}
	hctx.init(o, key, due)
	p := transport.NewPipe(n.endpoint.Limits(), hctx.call.End)
	ends := []func() bool{
		context.AfterFunc(bounded, func() { p.Abort(bounded.Err()) }),
		context.AfterFunc(n.ctx, func() { p.Cut(transport.ErrStopped) }),
	}
	go func() {
		defer g.leave()
		n.run(hctx, h, &servedStream{p.Server()}, func(_ any, e *rpc.Error) {
			var status error
			if e != nil {
				status = carried(e, min(n.bodies.limit, transport.MaxStreamDetail))
			}
			p.End(status)
			hctx.call.End(context.Canceled)
			for _, stop := range ends { // an ended stream keeps nothing of its contexts
				stop()
			}
			cancel()
		})
	}()
	o.call.AnsweredBy(n.cfg.Name)
	o.call.Stream = &openedStream{raw: p.Caller(), status: p.Status}
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
	n.run(ctx, h, &servedStream{s}, func(_ any, e *rpc.Error) {
		if e == nil {
			_ = in.Reply(transport.CodeOK, nil, nil)
			return
		}
		_ = in.Reply(uint64(e.Code), failure(key, e), e.Detail)
	})
}

// Open implements rpc.StreamCaller: the stream is served by the node that the
// client is connected to, so its destination can only be rpc.Any.
func (c *Client) Open(ctx context.Context, call *rpc.Call) error {
	return clientError(call, c.open(ctx, call))
}

func (c *Client) open(ctx context.Context, call *rpc.Call) error {
	if call.Dest.Kind != rpc.ToAny {
		return rpc.Errorf(rpc.InvalidArgument,
			"%s: a client streams with the node that it is connected to; rpc.%s is for nodes", call.Spec.Name(), call.Dest.Kind)
	}
	if err := checkOwn(call); err != nil {
		return err
	}
	due, _, _ := dueOf(ctx, call, 0, c.started)
	req := transport.Request{Method: call.Spec.Name(), Deadline: due, Accept: c.timeout}
	req.Meta = transport.Meta{Partition: transport.NoPartition, User: pairsOf(call.Metadata)}
	conn, err := c.peer.Conn(ctx)
	if err != nil {
		return failedAt(ctx, call, err)
	}
	s, refused, err := conn.Open(ctx, &req)
	if err != nil {
		return failedAt(ctx, call, err)
	}
	call.AnsweredBy(conn.Peer().Name)
	if refused != nil {
		defer refused.Release()
		if !refused.Meta.Refused {
			call.MarkReached()
		}
		return errorOf(refused)
	}
	call.MarkReached()
	call.Stream = openedAt(s)
	return nil
}
