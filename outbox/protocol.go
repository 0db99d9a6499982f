package outbox

import (
	"github.com/meshnode/meshnode/internal/ledger"
	"github.com/meshnode/meshnode/rpc"
)

// What boxes ask each other when partitions change their owner. Where finds who
// holds a partition; Take moves it, in as many calls as it needs: the reply to each
// is bounded, and the next one says what of it is on the asker's disk.
var (
	whereMethod = rpc.NewMethod[whereRequest, whereReply]("outbox.Where", rpc.Idempotent(), rpc.Unlimited())
	takeMethod  = rpc.NewMethod[takeRequest, takeReply]("outbox.Take", rpc.Idempotent(), rpc.Unlimited())
)

type (
	// whereRequest asks for partitions that From wants to hold.
	whereRequest struct {
		From       string   `json:"from"`
		Partitions []uint32 `json:"partitions"`
	}
	// whereReply has an answer for each partition of which the box knows anything.
	whereReply struct {
		Answers []whereAnswer `json:"answers"`
		// Known are the nodes of which the box knows that they have boxes.
		Known []string `json:"known"`
	}
	whereAnswer struct {
		Partition uint32     `json:"partition"`
		State     whereState `json:"state"`
		Epoch     uint64     `json:"epoch"`
		To        string     `json:"to,omitempty"` // giving
	}
	whereState uint8
)

// What a box can know of a partition, besides nothing.
const (
	holdsIt   whereState = iota + 1 // it is held here
	givesIt                         // it is on its way to To, who may have it already
	wantsIt                         // this node looks for it as well: it owns it by its table
	importsIt                       // it is on its way here
)

type (
	// takeRequest asks for partitions, and tells which ones that the box gave are on
	// the asker's disk.
	takeRequest struct {
		From       string         `json:"from"`
		Partitions []uint32       `json:"partitions"` // the first one from After on
		After      []byte         `json:"after,omitempty"`
		Have       []ledger.Epoch `json:"have,omitempty"`
	}
	// takeReply is some of it. Partitions that are in neither list come later.
	takeReply struct {
		Chunks  []ledger.Chunk `json:"chunks"`
		Refused []uint32       `json:"refused"` // not here, or not the asker's by this node's table: ask again
		After   []byte         `json:"after,omitempty"` // where to go on in the last chunk's partition; nil: it is whole
	}
)

// chunkBytes is about how much one reply carries.
const chunkBytes = 1 << 20
