package outbox

import (
	"context"
	"path/filepath"

	"github.com/meshnode/meshnode/internal/ledger"
	"github.com/meshnode/meshnode/rpc"
)

// openSuspects counts the calls that were under way when the process before this one
// died, and opens the file for those of this one.
func (b *Box) openSuspects() error {
	i, calls, err := openInflight(filepath.Join(b.dir, inflightFile), b.cfg.Logger)
	if err != nil {
		return err
	}
	b.running.file = i
	if len(calls) == 0 {
		return nil
	}
	crashes, err := b.ledger.Accuse(b.ctx, calls)
	if err != nil {
		return err
	}
	for n, c := range calls {
		if crashes[n] > 0 {
			b.cfg.Logger.Warn().Str("id", c.ID).Uint32("partition", c.Partition).Int("crashes", crashes[n]).
				Msg("a durable call was being executed when this node's process died")
		}
	}
	return i.clear()
}

// suspect looks whether the process has died with a call before. If so, it is executed
// beside no other such call, so that the innocent clear themselves: release is to be
// called when it has ended, with its error. If it has died too often the call is
// refused for good.
func (b *Box) suspect(ctx context.Context, c ledger.Call) (release func(error), err error) {
	n, err := b.ledger.Crashes(c)
	switch {
	case err != nil:
		return nil, b.served(err)
	case n == 0:
		return noRelease, nil
	case b.cfg.MaxCrashes >= 0 && n > b.cfg.MaxCrashes:
		b.count(func(c *Counts) { c.Poisonous++ })
		return nil, rpc.Errorf(rpc.Internal, "the call was being executed %d times when the process of its node died: it is not executed again",
			n).After(rpc.NeverRetry)
	}
	select {
	case b.running.suspects <- struct{}{}:
	case <-ctx.Done():
		return nil, rpc.AsError(ctx.Err())
	}
	return func(err error) {
		<-b.running.suspects
		if err != nil { // else it is known as executed
			if aerr := b.ledger.Acquit(b.ctx, c); aerr != nil && b.ctx.Err() == nil {
				b.cfg.Logger.Warn().Err(aerr).Str("id", c.ID).Msg("the crashes of a durable call cannot be forgotten")
			}
		}
	}, nil
}

func noRelease(error) {}
