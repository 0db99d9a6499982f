package sim

import (
	"context"
	"fmt"

	"github.com/meshnode/meshnode/internal/simnet"
	"github.com/meshnode/meshnode/node"
)

// client is a connection from outside of the mesh.
type client struct {
	*node.Client
	host *simnet.Host
}

func (c client) close() {
	c.Client.Close()
	c.host.Kill()
}

// Client connects to a node from a host of its own, as a program that is no member
// does. Close of the cluster ends it.
func (c *Cluster) Client(ctx context.Context, i int) (*node.Client, error) {
	k := int(c.clientCount.Add(1)) - 1
	host := c.net.Host(fmt.Sprintf("client%d", k), clientAddr(k))
	cl, err := node.Dial(ctx, c.Member(i).Addr(), node.ClientConfig{Network: host.Boot(), Logger: c.cfg.Logger})
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		host.Kill()
		return nil, err
	}
	c.clients = append(c.clients, client{cl, host})
	return cl, nil
}
