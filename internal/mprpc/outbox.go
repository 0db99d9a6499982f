package mprpc

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

const (
	// smallFlush is the flush that first yields, in bytes, so that answers
	// about to be ready get into the same write.
	smallFlush = 16 << 10
	// piece is the most that one write deadline covers, in bytes.
	piece = 256 << 10
	// keepOut is the largest buffer kept for answers to come.
	keepOut = 64 << 10
)

// outbox gathers answers for one writer. Two buffers swap: one takes answers
// while the other is written. queuedHeld and writingHeld are the bytes that
// they count for.
type outbox struct {
	queue, spare            []byte
	queuedHeld, writingHeld int
}

func (o *outbox) bytes() int  { return o.queuedHeld + o.writingHeld }
func (o *outbox) empty() bool { return o.bytes() == 0 }

// answer queues the answer to a request. One that there is no memory for becomes
// ResourceExhausted.
func (c *conn) answer(id uint64, r reply) {
	if r.err != nil {
		r.err = presentable(r.err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	if !c.holdLocked(r.size()) {
		c.g.stats.add(overLimit)
		r = reply{err: rpc.Errorf(rpc.ResourceExhausted, "the answer does not fit beside those that the client has not read yet")}
		c.forceLocked(r.size())
	}
	c.out.queue = r.append(c.out.queue, id)
	c.out.queuedHeld += r.size()
	c.changed.Broadcast()
}

// writeLoop writes what gathers until the stream fails.
func (c *conn) writeLoop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for len(c.out.queue) == 0 && c.err == nil {
			c.changed.Wait()
		}
		if c.err == nil && len(c.out.queue) < smallFlush {
			c.mu.Unlock()
			runtime.Gosched()
			c.mu.Lock()
		}
		if c.err != nil {
			return
		}
		if err := c.writeLocked(); err != nil {
			c.mu.Unlock()
			c.fail(err)
			c.mu.Lock()
		}
	}
}

// writeLocked writes the whole queue. It gives mu up meanwhile.
func (c *conn) writeLocked() error {
	o := &c.out
	out := o.queue
	o.queue, o.spare = o.spare[:0], nil
	o.writingHeld, o.queuedHeld = o.queuedHeld, 0
	c.mu.Unlock()
	err := c.write(out)
	c.mu.Lock()
	c.releaseLocked(o.writingHeld)
	o.writingHeld = 0
	if cap(out) <= keepOut {
		o.spare = out
	}
	c.changed.Broadcast()
	return err
}

func (c *conn) write(out []byte) error {
	for len(out) > 0 {
		_ = c.nc.SetWriteDeadline(time.Now().Add(c.g.cfg.Limits.WriteTimeout))
		n, err := c.nc.Write(out[:min(len(out), piece)])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("%w: %w", errSlowReader, err)
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errGone, err)
		}
		out = out[n:]
	}
	return nil
}
