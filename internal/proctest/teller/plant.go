package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

// The faults that can be planted.
const (
	// noDedup makes receivers forget what they have executed: a delivery arrives
	// without the metadata that says which call it is, and so counts as another one.
	noDedup = "no-dedup"
	// earlyReceipt has calls acknowledged a moment before they are written.
	earlyReceipt = "early-receipt"
)

// lateWrite is how long after its early receipt a call is written.
const lateWrite = 20 * time.Millisecond

var errPlant = errors.New("no such fault can be planted")

// plantIn prepares the node's configuration for the fault, if there is one.
func (t *teller) plantIn(cfg *node.Config) error {
	switch t.o.plant {
	case "", earlyReceipt:
	case noDedup:
		cfg.Server = append(cfg.Server, func(ctx context.Context, info *rpc.Info, req any, next rpc.ServerHandler) (any, error) {
			info.Metadata = nil
			return next(ctx, req)
		})
	default:
		return fmt.Errorf("%w: %s", errPlant, t.o.plant)
	}
	return nil
}
