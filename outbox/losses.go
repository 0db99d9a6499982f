package outbox

import (
	"slices"
	"strings"

	"github.com/meshnode/meshnode/rpc"
)

// losses is which nodes went down with a call. The nodes themselves count how often they
// do, in the state of the partition; where that is begun anew without the state
// (Config.Orphans), the call could take one node after the other with it. So then the
// sender counts them, too.
type losses struct {
	at   string   // the node that an attempt went to, of which nobody heard how it ended
	lost []string // those that were no members any more when the next attempt was made
}

// wentTo notes that nobody heard how an attempt at a node ended.
func (b *Box) wentTo(e *entry, owner string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ls := b.losses[e.seq]
	if ls == nil {
		ls = &losses{}
		b.losses[e.seq] = ls
	}
	ls.at = owner
}

// carriedOn is the error of a call that has taken too many nodes with it to be carried to
// another, or nil.
func (b *Box) carriedOn(e *entry, k *keeper) *rpc.Error {
	b.mu.Lock()
	defer b.mu.Unlock()
	ls := b.losses[e.seq]
	if ls == nil {
		return nil
	}
	if ls.at != "" && !k.live(ls.at) {
		if !slices.Contains(ls.lost, ls.at) {
			ls.lost = append(ls.lost, ls.at)
		}
		ls.at = ""
	}
	if b.cfg.MaxCrashes < 0 || len(ls.lost) <= b.cfg.MaxCrashes {
		return nil
	}
	return rpc.Errorf(rpc.Internal, "%d nodes went down while they may have been executing the call (%s): it is not carried to another",
		len(ls.lost), strings.Join(ls.lost, ", ")).After(rpc.NeverRetry)
}

// live tells whether a node is a member.
func (k *keeper) live(name string) bool {
	for _, m := range k.n.Members().Members {
		if m.Name == name {
			return true
		}
	}
	return false
}
