package rpc

import (
	"context"
	"io"
	"sync"
)

// pipeDepth is how many messages wait in a pipe, each way.
const pipeDepth = 64

// pipe is a stream within one process. Messages are copied: both sides may use
// their buffers again.
//
// Invariant: down is closed by the caller alone, once; status is set before
// ended is closed, and nothing is sent to up after that.
type pipe struct {
	down chan []byte // to the server
	up   chan []byte // to the caller

	closing sync.Once
	ended   chan struct{} // the handler has returned
	status  error
	gone    context.Context // ends when the caller has closed, or its context
	leave   context.CancelFunc
}

// Pipe gives the two ends of a stream in this process. ctx is the caller's and
// bounds the stream; serverCtx, which ends with it, is for the handler; end says
// how the handler has ended.
func Pipe(ctx context.Context) (caller, server RawStream, serverCtx context.Context, end func(error)) {
	p := &pipe{down: make(chan []byte, pipeDepth), up: make(chan []byte, pipeDepth), ended: make(chan struct{})}
	p.gone, p.leave = context.WithCancel(ctx)
	return (*pipeCaller)(p), (*pipeServer)(p), p.gone, func(err error) {
		p.status = err
		close(p.ended)
	}
}

// push hands a copy of msg over.
func (p *pipe) push(to chan<- []byte, msg []byte) error {
	msg = append([]byte(nil), msg...)
	select {
	case to <- msg:
		return nil
	case <-p.ended:
		return io.EOF
	case <-p.gone.Done():
		return p.gone.Err()
	}
}

type pipeCaller pipe

// Send implements RawStream.
func (c *pipeCaller) Send(msg []byte) error { return (*pipe)(c).push(c.down, msg) }

// Recv implements RawStream.
func (c *pipeCaller) Recv() ([]byte, error) {
	select {
	case msg := <-c.up:
		return msg, nil
	case <-c.ended:
	case <-c.gone.Done():
		return nil, c.gone.Err()
	}
	select { // what was sent before the end
	case msg := <-c.up:
		return msg, nil
	default:
	}
	if c.status != nil {
		return nil, c.status
	}
	return nil, io.EOF
}

// CloseSend implements RawStream.
func (c *pipeCaller) CloseSend() error {
	c.closing.Do(func() { close(c.down) })
	return nil
}

// Close implements RawStream.
func (c *pipeCaller) Close() { c.leave() }

type pipeServer pipe

// Send implements RawStream.
func (s *pipeServer) Send(msg []byte) error { return (*pipe)(s).push(s.up, msg) }

// Recv implements RawStream.
func (s *pipeServer) Recv() ([]byte, error) {
	select {
	case msg, more := <-s.down:
		if !more {
			return nil, io.EOF
		}
		return msg, nil
	case <-s.gone.Done():
		return nil, s.gone.Err()
	}
}

// CloseSend implements RawStream; a server ends by returning.
func (s *pipeServer) CloseSend() error { return nil }

// Close implements RawStream.
func (s *pipeServer) Close() {}
