package sim

import (
	"context"
	"fmt"
	"time"

	"github.com/meshnode/meshnode/node"
)

// Impostor starts a second process under a node's name, at an address of its own,
// and gives the error of its start, which should be membership.ErrNameTaken. It is
// ended before Impostor returns, whatever came of it.
func (c *Cluster) Impostor(ctx context.Context, i int) error {
	m := c.Member(i)
	k := int(c.clientCount.Add(1)) - 1
	host := c.net.Host(fmt.Sprintf("%s-again%d", m.Name, k), clientAddr(k))
	defer host.Kill()
	c.mu.Lock()
	seeds := c.seedsLocked(&Member{Index: i, process: 2})
	c.mu.Unlock()
	cfg := node.Config{
		Name: m.Name, Bind: hostPort(host.Addr()), Seeds: seeds, Zone: m.Zone, Profile: c.cfg.Profile,
		Table: c.cfg.Table, Network: host.Boot(), Logger: c.cfg.Logger,
		RandSeed: c.cfg.Seed*1_000_003 + uint64(k)*7919 + 500_000_009, Sim: c.hooks(m),
	}
	cfg.Sim.Published = nil
	n, err := node.New(cfg)
	if err != nil {
		return err
	}
	err = n.Start(ctx)
	n.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = append(c.ended, remainsOf(fmt.Sprintf("%s-again%d", m.Name, k), n, time.Now()))
	return err
}
