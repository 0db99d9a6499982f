package transport

import (
	"context"
	"encoding/binary"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// Pipe is a stream with both ends in this process. It keeps the windows, limits and errors of a
// stream over a connection, so that neither end can find out which of the two it has.
//
// Invariant: it ends once, by the first of End, Abort and Cut. After End the caller's end still
// returns what was sent before, then io.EOF. After Abort and Cut neither end returns anything more.
type Pipe struct {
	down pipeHalf // to the server
	up   pipeHalf // to the caller

	ending func(why error) // ends the handler's context

	mu     sync.Mutex
	ended  bool
	status error // of End
}

// NewPipe returns a stream within the limits l, whose defaults are filled in, as Endpoint.Limits
// returns them. Abort and Cut call ending once, with context.Canceled or
// context.DeadlineExceeded; it ends the handler's context and must not block.
func NewPipe(l Limits, ending func(why error)) *Pipe {
	p := &Pipe{ending: ending}
	p.down.init(&l)
	p.up.init(&l)
	return p
}

// End ends the stream as the return of its handler does. status is nil for success and is what
// Status returns.
func (p *Pipe) End(status error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.ended, p.status = true, status
		p.up.finish()
	}
	p.down.stopSending(ErrStreamEnded)
	p.down.stopReceiving(ErrStreamEnded)
	p.up.stopSending(ErrStreamEnded)
}

// Abort ends the stream as the caller's cancel or deadline does; why is the error of its context.
// It does nothing to a stream that has ended.
func (p *Pipe) Abort(why error) { p.cut(why, why) }

// Cut ends the stream as the loss of a connection does: both ends fail with why.
func (p *Pipe) Cut(why error) { p.cut(why, context.Canceled) }

func (p *Pipe) cut(why, ctxErr error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	p.ended = true
	for _, h := range []*pipeHalf{&p.down, &p.up} {
		h.stopSending(why)
		h.stopReceiving(why)
	}
	p.ending(ctxErr)
}

// Status returns what End was told, once the caller's Recv has returned io.EOF.
func (p *Pipe) Status() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

// Caller returns the end of the stream's caller.
func (p *Pipe) Caller() *PipeCaller { return &PipeCaller{p} }

// Server returns the end of the stream's handler.
func (p *Pipe) Server() *PipeServer { return &PipeServer{p} }

// PipeCaller is the caller's end of a Pipe. Its methods are those of a Stream that was opened.
type PipeCaller struct{ p *Pipe }

// Send sends a message, as Stream.Send.
func (c *PipeCaller) Send(msg []byte) error { return c.p.down.send(msg) }

// Recv returns the next message, as Stream.Recv.
func (c *PipeCaller) Recv() ([]byte, error) { return c.p.up.recv() }

// CloseSend says that no more messages come, as Stream.CloseSend.
func (c *PipeCaller) CloseSend() error {
	if c.p.down.stopSending(ErrSendClosed) {
		c.p.down.finish()
	}
	return nil
}

// Close lets go of the stream, as Stream.Close.
func (c *PipeCaller) Close() {
	c.p.Abort(context.Canceled)
	c.p.up.close()
}

// PipeServer is the handler's end of a Pipe. Its methods are those of a Stream that was accepted.
type PipeServer struct{ p *Pipe }

// Send sends a message, as Stream.Send.
func (s *PipeServer) Send(msg []byte) error { return s.p.up.send(msg) }

// Recv returns the next message, as Stream.Recv.
func (s *PipeServer) Recv() ([]byte, error) { return s.p.down.recv() }

// pipeHalf is one direction of a Pipe: a queue of parts under the credit of a window. Two buffers
// swap, as in recvQueue.
//
// Invariant: credit, takenCost and the cost of what lies in both buffers are the window together,
// so memory is bounded by it.
type pipeHalf struct {
	limits Limits
	window int64
	part   int           // the largest part, in bytes
	sender chan struct{} // capacity 1: credit or sendErr has changed
	taker  chan struct{} // capacity 1: something to take, or the end
	closed atomic.Bool   // by close: nothing is received from here on

	mu       sync.Mutex
	fresh    []byte // parts, as in recvQueue
	credit   int64  // bytes that may still be sent
	sendErr  error  // why nothing more is sent
	finished bool   // nothing more comes after what is there
	recvErr  error  // why nothing more is received

	// Of the one who receives.
	taking, spare []byte
	takenCost     int64
	whole         []byte
	midway        bool
}

func (h *pipeHalf) init(l *Limits) {
	h.limits = *l
	h.window = int64(l.Window)
	h.credit = h.window
	h.part = largestPart(h.window, int64(l.ConnWindow))
	h.sender, h.taker = make(chan struct{}, 1), make(chan struct{}, 1)
}

// largestPart returns the longest body of a data frame that the windows let through, in bytes.
func largestPart(window, connWindow int64) int {
	return int(min(window, connWindow, 2*(wire.Chunk+frameCost)))/2 - frameCost
}

// MaxMessage is how many bytes a message may have.
func (c *PipeCaller) MaxMessage() int { return c.p.down.limits.MaxBody }

// MaxMessage is how many bytes a message may have.
func (s *PipeServer) MaxMessage() int { return s.p.up.limits.MaxBody }

// send sends a message in parts and waits while the window is full.
func (h *pipeHalf) send(msg []byte) error {
	if len(msg) > h.limits.MaxBody {
		return ErrBodyTooLarge
	}
	for whole := len(msg); ; {
		n := min(len(msg), h.part)
		if err := h.sendPart(msg[:n], n < len(msg)); err != nil {
			if len(msg) < whole {
				h.stopSending(err) // the next message would be taken for the rest
			}
			return err
		}
		if msg = msg[n:]; len(msg) == 0 {
			return nil
		}
	}
}

func (h *pipeHalf) sendPart(part []byte, more bool) error {
	cost := int64(len(part) + frameCost)
	for {
		h.mu.Lock()
		switch {
		case h.sendErr != nil:
			defer h.mu.Unlock()
			return h.sendErr
		case h.credit >= cost:
			h.credit -= cost
			h.fresh = appendPart(h.fresh, part, more)
			h.mu.Unlock()
			poke(h.taker)
			return nil
		}
		h.mu.Unlock()
		if !awaitPoke(h.sender, h.limits.StallTimeout) {
			return ErrStalled
		}
	}
}

// stopSending has the sender fail with why. It reports whether nothing had stopped it before.
func (h *pipeHalf) stopSending(why error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sendErr != nil {
		return false
	}
	h.sendErr = why
	poke(h.sender)
	return true
}

// finish says that nothing more comes after what is there.
func (h *pipeHalf) finish() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.finished = true
	poke(h.taker)
}

// stopReceiving has the receiver fail with why, whatever lies unread; the first reason counts.
func (h *pipeHalf) stopReceiving(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.recvErr == nil {
		h.recvErr = why
	}
	h.fresh = nil
	poke(h.taker)
}

// close drops what is unread.
func (h *pipeHalf) close() {
	h.closed.Store(true)
	h.stopReceiving(ErrStreamEnded)
}

// recv returns the next message, valid until the following call.
func (h *pipeHalf) recv() ([]byte, error) {
	if h.closed.Load() {
		return nil, ErrStreamEnded
	}
	if !h.midway {
		h.whole = h.whole[:0]
	}
	for {
		if err := h.await(); err != nil {
			if err == io.EOF && h.midway {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		var part []byte
		var more bool
		part, more, h.taking = cutPart(h.taking)
		h.took(int64(len(part) + frameCost))
		if !more && !h.midway {
			return part, nil
		}
		h.whole = append(h.whole, part...)
		if h.midway = more; !more {
			msg := h.whole
			if cap(h.whole) > wholeKept {
				h.whole = nil
			}
			return msg, nil
		}
	}
}

// await waits until there is a part to take. An error says that there is none, and why.
func (h *pipeHalf) await() error {
	for {
		h.mu.Lock()
		switch {
		case h.recvErr != nil:
			defer h.mu.Unlock()
			h.taking, h.spare = nil, nil
			return h.recvErr
		case len(h.taking) > 0:
			h.mu.Unlock()
			return nil
		case len(h.fresh) > 0:
			h.taking, h.fresh, h.spare = h.fresh, h.spare[:0], h.fresh
			h.mu.Unlock()
			return nil
		case h.finished:
			defer h.mu.Unlock()
			h.spare = nil
			return io.EOF
		}
		h.mu.Unlock()
		<-h.taker
	}
}

// took grants the sender again what was taken, once it is half a window.
func (h *pipeHalf) took(cost int64) {
	if h.takenCost += cost; h.takenCost < h.window/2 {
		return
	}
	h.mu.Lock()
	h.credit += h.takenCost
	h.mu.Unlock()
	h.takenCost = 0
	poke(h.sender)
}

// appendPart appends a part to a queue of them: 4 bytes of length and whether more follow, then
// its bytes.
func appendPart(queue, part []byte, more bool) []byte {
	head := uint32(len(part)) << 1
	if more {
		head |= 1
	}
	return append(binary.LittleEndian.AppendUint32(queue, head), part...)
}

// cutPart returns the first part of a queue that is not empty, and the rest of the queue.
func cutPart(queue []byte) (part []byte, more bool, rest []byte) {
	head := binary.LittleEndian.Uint32(queue)
	end := partHead + int(head>>1)
	return queue[partHead:end], head&1 != 0, queue[end:]
}

// poke wakes whoever waits for a channel of capacity 1.
func poke(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// awaitPoke waits until it is poked and reports whether that was within d.
func awaitPoke(wake <-chan struct{}, d time.Duration) bool {
	select { // mostly it is not long
	case <-wake:
		return true
	default:
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-wake:
		return true
	case <-timer.C:
		return false
	}
}
