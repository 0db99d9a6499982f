package outbox

import (
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// followBatch is how many calls of handlers are moved at a time.
const followBatch = 256

// follow moves the calls that handlers enqueued in their transactions to the redo
// log. A crash in between moves one a second time: its id says that it is the same.
func (b *Box) follow() {
	for {
		n, err := b.moveFollowing()
		if err != nil && b.ctx.Err() == nil {
			b.cfg.Logger.Error().Err(err).Msg("calls that handlers enqueued cannot be taken; they stay where they are")
		}
		if n > 0 && err == nil {
			continue
		}
		var again <-chan time.Time
		if err != nil {
			again = time.After(time.Second)
		}
		select {
		case <-b.ledger.Follow():
		case <-again:
		case <-b.ctx.Done():
			return
		}
	}
}

// moveFollowing moves a batch. Calls of different keys share one fsync.
func (b *Box) moveFollowing() (n int, err error) {
	items, err := b.ledger.NextFollow(0, followBatch)
	if err != nil || len(items) == 0 {
		return 0, err
	}
	byKey, seqs := map[string][]callRecord{}, make([]uint64, 0, len(items))
	for _, item := range items {
		r, err := decodeCall(item.Data)
		if err != nil {
			return 0, err
		}
		byKey[r.key] = append(byKey[r.key], r)
		seqs = append(seqs, item.Seq)
	}
	results := make(chan error, len(byKey))
	for _, calls := range byKey {
		go func() {
			var err error
			for i := range calls { // one after the other: those of a key keep their order
				if err = b.takeFollowing(&calls[i]); err != nil {
					break
				}
			}
			results <- err
		}()
	}
	for range byKey {
		if rerr := <-results; rerr != nil {
			err = rerr
		}
	}
	if err != nil {
		return 0, err
	}
	return len(items), b.ledger.DoneFollow(b.ctx, seqs...)
}

func (b *Box) takeFollowing(r *callRecord) error {
	_, err := b.Add(b.ctx, rpc.DurableCall{
		ID: r.id, Method: r.method, Key: r.key, Body: r.body, Timeout: time.Duration(r.expires), Metadata: r.metadata,
		For: r.caller,
	})
	if rpc.CodeOf(err) == rpc.FailedPrecondition || rpc.CodeOf(err) == rpc.InvalidArgument { // it will never be taken
		b.cfg.Logger.Error().Err(err).Str("id", r.id).Msg("a call that a handler enqueued is refused, and dropped")
		b.count(func(c *Counts) { c.Refused++ })
		return nil
	}
	return err
}
