package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
)

// The limit is the least that a multiplexed echo over one connection can do: a
// head of a length and an id, a body, and nothing else: no routing, deadline,
// cancel, handler or codec. One flusher on each side writes what has gathered;
// a caller that is alone writes by itself. Replies are copied to memory of the
// caller.

const (
	limitHead   = 8         // bytes: length of the body, id; big endian
	limitRead   = 64 << 10  // bytes of the read buffers; a longer frame makes its buffer grow
	limitGather = 512 << 10 // bytes that gather before senders wait for the flusher
	limitBody   = 64 << 20  // bytes of the longest body
)

var (
	errLimitClosed = errors.New("limit: connection closed")
	errLimitFrame  = errors.New("limit: bad frame")
)

// limitPeer is both sides.
type limitPeer struct {
	near, far net.Conn
	out       *limitWriter
	running   sync.WaitGroup

	mu    sync.Mutex
	calls []*limitCall // under way, by id; nil: the id is free
	free  []uint32     // ids to use again
	err   error        // why no call can be made any more
}

// limitCall is one call under way, used again by its caller. From the send to
// done, reply belongs to the reader.
type limitCall struct {
	reply []byte
	err   error
	done  chan struct{} // one slot
}

func startLimit(ctx context.Context) (Peer, error) {
	near, far, err := pair(ctx)
	if err != nil {
		return nil, err
	}
	p := &limitPeer{near: near, far: far, out: newLimitWriter(near)}
	p.running.Go(p.out.flushAll)
	p.running.Go(func() { echoLimit(far) })
	p.running.Go(p.receive)
	return p, nil
}

// Close implements Peer.
func (p *limitPeer) Close() {
	p.out.stop()
	_ = p.near.Close()
	_ = p.far.Close()
	p.running.Wait()
}

// Caller implements Peer.
func (p *limitPeer) Caller(body []byte) func() ([]byte, error) {
	c := &limitCall{done: make(chan struct{}, 1)}
	return func() ([]byte, error) {
		id, alone, err := p.register(c)
		if err != nil {
			return nil, err
		}
		p.out.send(id, body, alone)
		<-c.done
		return c.reply, c.err
	}
}

// register gives c an id, and tells whether no other call is under way.
func (p *limitPeer) register(c *limitCall) (id uint32, alone bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return 0, false, p.err
	}
	if n := len(p.free); n > 0 {
		id, p.free = p.free[n-1], p.free[:n-1]
	} else {
		id, p.calls = uint32(len(p.calls)), append(p.calls, nil)
	}
	p.calls[id] = c
	return id, len(p.calls)-len(p.free) == 1, nil
}

// receive hands replies to their callers until the connection ends; then all
// that wait get the error.
func (p *limitPeer) receive() {
	type answer struct {
		call *limitCall
		body []byte
	}
	var batch []answer
	err := readLimit(p.near, func(frames []byte) error {
		batch = batch[:0]
		p.mu.Lock()
		for len(frames) > 0 {
			id, body, rest := cutLimit(frames)
			if int(id) >= len(p.calls) || p.calls[id] == nil {
				p.mu.Unlock()
				return fmt.Errorf("%w: nobody waits for id %d", errLimitFrame, id)
			}
			batch = append(batch, answer{p.calls[id], body})
			p.calls[id], p.free, frames = nil, append(p.free, id), rest
		}
		p.mu.Unlock()
		for _, a := range batch {
			a.call.reply = append(a.call.reply[:0], a.body...)
			a.call.done <- struct{}{}
		}
		return nil
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = errors.Join(errLimitClosed, err)
	for _, c := range p.calls {
		if c != nil {
			c.err = p.err
			c.done <- struct{}{}
		}
	}
	p.calls = nil
}

// echoLimit is the server: it echoes on its reader, into a writer whose flusher
// answers with one write what one read brought. Writing on the reader instead
// is no faster with many callers, and slower with one.
func echoLimit(nc net.Conn) {
	w := newLimitWriter(nc)
	var flusher sync.WaitGroup
	flusher.Go(w.flushAll)
	_ = readLimit(nc, func(frames []byte) error {
		for len(frames) > 0 {
			id, body, rest := cutLimit(frames)
			w.send(id, body, false)
			frames = rest
		}
		return nil
	})
	_ = nc.Close()
	w.stop()
	flusher.Wait()
}

// readLimit gives batch all whole frames of each read, until the connection
// ends.
func readLimit(nc net.Conn, batch func(frames []byte) error) error {
	buf := make([]byte, limitRead)
	have := 0
	for {
		n, err := nc.Read(buf[have:])
		if err != nil {
			return err
		}
		have += n
		whole := 0
		need := limitHead
		for have-whole >= limitHead {
			size := binary.BigEndian.Uint32(buf[whole:])
			if size > limitBody {
				return fmt.Errorf("%w: %d bytes", errLimitFrame, size)
			}
			need = limitHead + int(size)
			if have-whole < need {
				break
			}
			whole += need
		}
		if whole > 0 {
			if err := batch(buf[:whole]); err != nil {
				return err
			}
		}
		rest := buf[whole:have]
		if need > len(buf) {
			buf = make([]byte, need)
		}
		have = copy(buf, rest)
	}
}

// cutLimit takes the first of whole frames.
func cutLimit(frames []byte) (id uint32, body, rest []byte) {
	end := limitHead + binary.BigEndian.Uint32(frames)
	return binary.BigEndian.Uint32(frames[4:]), frames[limitHead:end:end], frames[end:]
}

// appendLimit appends a frame to dst.
func appendLimit(dst []byte, id uint32, body []byte) []byte {
	return append(appendHead(dst, id, len(body)), body...)
}

func appendHead(dst []byte, id uint32, size int) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(dst, uint32(size)), id)
}

// limitWriter gathers frames; one flusher writes together what has gathered.
// What gathers is bounded, so that large bodies stay in the caches: without
// that, 512 callers with 64 KiB each are served slower than by arpc.
type limitWriter struct {
	nc   net.Conn
	wake chan struct{} // one slot; closed by stop

	mu         sync.Mutex
	buf, spare []byte
	flushing   bool // the flusher is awake or woken, and will see buf
	stopped    bool
	waiting    int       // senders that wait for room
	room       sync.Cond // signalled by whoever leaves room, one sender at a time
}

func newLimitWriter(nc net.Conn) *limitWriter {
	w := &limitWriter{nc: nc, wake: make(chan struct{}, 1)}
	w.room.L = &w.mu
	return w
}

// send queues a frame. A caller that is alone writes it by itself, which spares
// a wake-up. Errors show on the reader.
func (w *limitWriter) send(id uint32, body []byte, alone bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.buf) >= limitGather && !w.stopped {
		w.waiting++
		w.room.Wait()
		w.waiting--
	}
	w.buf = appendLimit(w.buf, id, body)
	if w.waiting > 0 && len(w.buf) < limitGather {
		w.room.Signal()
	}
	switch {
	case w.flushing || w.stopped:
	case alone:
		_, _ = w.nc.Write(w.buf)
		w.buf = w.buf[:0]
	default:
		w.flushing = true
		w.wake <- struct{}{}
	}
}

// flushAll writes what gathers. It yields once before it writes, so that
// callers who are about to send get into the same write.
func (w *limitWriter) flushAll() {
	for range w.wake {
		for w.flush() {
		}
	}
}

// flush is false when nothing was left to write.
func (w *limitWriter) flush() bool {
	runtime.Gosched()
	w.mu.Lock()
	out := w.buf
	w.buf, w.spare = w.spare[:0], out
	w.flushing = len(out) > 0
	if w.waiting > 0 {
		w.room.Signal()
	}
	w.mu.Unlock()
	if len(out) == 0 {
		return false
	}
	_, err := w.nc.Write(out)
	return err == nil
}

func (w *limitWriter) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	w.room.Broadcast()
	close(w.wake)
}
