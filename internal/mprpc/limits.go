package mprpc

import "github.com/meshnode/meshnode/rpc"

// begin waits until more may be read from this client and counts r, which is
// refused when a limit is reached. The error says that the stream is ending.
func (c *conn) begin(r *request) (refused *rpc.Error, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.err == nil && !c.draining && c.out.bytes() > pauseAt {
		c.changed.Wait()
	}
	limits := &c.g.cfg.Limits
	switch {
	case c.err != nil:
		return nil, c.err
	case c.draining:
		return nil, errStopping
	case c.calls >= limits.MaxCalls:
		return rpc.Errorf(rpc.ResourceExhausted, "%d calls are in flight on this connection, as many as may be", c.calls), nil
	case c.g.inFlight.Add(1) > int64(limits.MaxAllCalls):
		c.g.inFlight.Add(-1)
		return rpc.Errorf(rpc.ResourceExhausted, "too many calls of MessagePack-RPC clients are in flight"), nil
	case !c.holdLocked(r.size):
		c.g.inFlight.Add(-1)
		return rpc.Errorf(rpc.ResourceExhausted, "too many bytes of MessagePack-RPC clients are held"), nil
	}
	c.calls++
	return nil, nil
}

// end uncounts a request that began.
func (c *conn) end(r *request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls--
	c.releaseLocked(r.size)
	c.g.inFlight.Add(-1)
	c.changed.Broadcast()
}

// hold is holdLocked for the inbox.
func (c *conn) hold(bytes int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.holdLocked(bytes)
}

// holdLocked takes bytes of what the gateway may hold, or gives them back if
// negative; false says that there are too few.
func (c *conn) holdLocked(bytes int) bool {
	most := c.g.cfg.Limits.MaxHeld
	if bytes > 0 {
		if c.held+bytes > most/4 || c.g.held.Load()+int64(bytes) > int64(most) {
			return false
		}
	}
	c.forceLocked(bytes)
	return true
}

// forceLocked takes bytes for what is small and must go out.
func (c *conn) forceLocked(bytes int) {
	c.held += bytes
	c.g.held.Add(int64(bytes))
}

func (c *conn) releaseLocked(bytes int) { c.forceLocked(-bytes) }
