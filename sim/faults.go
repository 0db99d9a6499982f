package sim

import (
	"context"
	"time"

	"github.com/meshnode/meshnode/internal/simnet"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

// Crash kills a node's process, as kill -9 does: no goodbye, and the kernel resets
// its connections. A node that is down stays so.
func (c *Cluster) Crash(i int) { c.end(i, (*simnet.Host).Kill) }

// PowerOff ends a node's machine: nobody is told, not even who sends to it.
func (c *Cluster) PowerOff(i int) { c.end(i, (*simnet.Host).PowerOff) }

func (c *Cluster) end(i int, how func(*simnet.Host)) {
	m := c.Member(i)
	c.mu.Lock()
	n := m.node
	m.node, m.ready = nil, false
	c.mu.Unlock()
	how(m.host)
	if n == nil {
		return
	}
	c.mu.Lock()
	c.buryLocked(m, n)
	c.mu.Unlock()
}

// buryLocked ends what is left of a process that has no network any more.
func (c *Cluster) buryLocked(m *Member, n *node.Node) {
	process := m.labelLocked()
	c.tasks.Go(func() {
		n.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.ended = append(c.ended, remainsOf(process, n, time.Now()))
	})
}

// Stop has a node leave gracefully, and ends its process. It waits for that,
// within the node's drain timeout.
func (c *Cluster) Stop(i int) error {
	m := c.Member(i)
	n := c.Node(i)
	if n == nil {
		return ErrDown
	}
	ctx, cancel := context.WithTimeout(context.Background(), node.DefaultDrainTimeout)
	defer cancel()
	err := n.Stop(ctx)
	c.mu.Lock()
	ours := m.node == n
	if ours {
		m.node, m.ready = nil, false
		c.ended = append(c.ended, remainsOf(m.labelLocked(), n, time.Now()))
	}
	c.mu.Unlock()
	if ours {
		m.host.Kill()
	}
	return err
}

// Restart starts a node that is down again, under its name and address; one that
// runs is crashed before.
func (c *Cluster) Restart(i int) error {
	c.Crash(i)
	return c.Boot(i)
}

// RestartElsewhere is Restart on a machine with another address.
func (c *Cluster) RestartElsewhere(i int) error {
	c.Crash(i)
	m := c.Member(i)
	c.mu.Lock()
	m.generation++
	addr := hostAddr(m.Index, m.generation)
	c.mu.Unlock()
	m.host.Move(addr)
	return c.Boot(i)
}

// Pause freezes a node's process, as a long garbage collection or SIGSTOP does: at
// its next use of the network, or before its next handler. Resume ends that.
func (c *Cluster) Pause(i int) { c.Member(i).host.Pause() }

// Resume lets a paused node go on.
func (c *Cluster) Resume(i int) { c.Member(i).host.Resume() }

// Slow has a node work for so long on each packet and segment that reaches it, and
// as long before each handler. 0 ends that.
func (c *Cluster) Slow(i int, work time.Duration) { c.Member(i).host.SetSlow(work) }

// frozen is the server interceptor that keeps handlers of a frozen or slow node
// from running.
func (m *Member) frozen(ctx context.Context, _ *rpc.Info, req any, next rpc.ServerHandler) (any, error) {
	m.host.Work()
	return next(ctx, req)
}

// Alive tells whether a node's process runs, frozen or not.
func (m *Member) Alive() bool {
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	return m.node != nil
}

// observes tells whether the node owns nothing.
func (m *Member) observes() bool {
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	return m.observer
}

// Ready tells whether a node has joined, and since when.
func (m *Member) Ready() (bool, time.Time) {
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	return m.ready, m.readyAt
}

// Paused tells whether a node is frozen.
func (m *Member) Paused() bool { return m.host.Paused() }

// Addr is where the node listens.
func (m *Member) Addr() string { return hostPort(m.host.Addr()) }

// Reaches tells whether what this node sends now gets to another, which runs.
func (m *Member) Reaches(other *Member) bool { return m.cluster.net.Reaches(m.host, other.host) }

// Traffic is what a host has sent.
type Traffic = simnet.Traffic

// Traffic gives what the node has sent so far, over all its processes.
func (m *Member) Traffic() Traffic { return m.host.Traffic() }
