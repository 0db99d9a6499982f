package membership

import (
	"fmt"
	"sync"
	"time"
)

// ownMeta is what this node tells about itself.
type ownMeta struct {
	turn chan struct{} // one slot: who holds it may gossip new metadata

	mu      sync.Mutex
	meta    Meta
	encoded []byte
}

func (o *ownMeta) init(meta Meta) error {
	o.turn = make(chan struct{}, 1)
	return o.set(meta)
}

func (o *ownMeta) set(meta Meta) error {
	encoded, err := meta.Encode()
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.meta, o.encoded = meta, encoded
	return nil
}

func (o *ownMeta) get() Meta {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.meta
}

// bytes gives the encoded metadata, which nobody writes to.
func (o *ownMeta) bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.encoded
}

// SetState changes what this node says about itself, for example that it
// drains. See UpdateMeta.
func (c *Cluster) SetState(s State) error {
	return c.UpdateMeta(func(m *Meta) { m.State = s })
}

// UpdateMeta changes this node's zone, weight, state or services and gossips that; the
// boot id, the protocol and the table parameters stay. It does not wait for
// the news to spread. Before Start it changes what Start tells. Errors:
// ErrBadMeta, ErrMetaTooLarge, ErrLeft, ErrNotRunning after Stop.
func (c *Cluster) UpdateMeta(edit func(*Meta)) error {
	// One at a time, so that the last one to gossip is the last one to change.
	// A channel, because memberlist waits, if only for a moment.
	c.own.turn <- struct{}{}
	defer func() { <-c.own.turn }()
	c.mu.Lock()
	phase, left := c.life.phase, c.life.leaving != nil
	c.mu.Unlock()
	switch {
	case phase == phaseStopped:
		return ErrNotRunning
	case left:
		return ErrLeft
	}
	old := c.own.get()
	meta := old
	edit(&meta)
	meta.Boot, meta.Protocol, meta.Params = old.Boot, old.Protocol, old.Params
	if meta == old {
		return nil
	}
	if err := c.own.set(meta); err != nil {
		return fmt.Errorf("membership: update: %w", err)
	}
	c.gossipMeta()
	return nil
}

// announce gossips the metadata again, under a new incarnation.
func (c *Cluster) announce() {
	c.own.turn <- struct{}{}
	defer func() { <-c.own.turn }()
	c.gossipMeta()
}

// gossipMeta queues the metadata for gossip. The caller has the turn.
func (c *Cluster) gossipMeta() {
	// Some time after a leave, memberlist forgets this node and could not update it.
	if _, list, err := c.running(); err == nil && !c.hasLeft() {
		// The timeout is for the wait until the news is out, which nobody here
		// needs; the error says only that it is not out yet.
		_ = list.UpdateNode(time.Nanosecond)
	}
}
