package outbox

import (
	"github.com/meshnode/meshnode/internal/ledger"
	"github.com/meshnode/meshnode/rpc"
)

// What boxes ask each other when partitions change their owner. Where finds who
// holds a partition. Take moves it, in as many calls as it needs: each reply is
// bounded, and the next request says what of it is on the asker's disk. Refuse has a
// box promise that it will not take what it was to be given.
var (
	whereMethod  = rpc.NewMethod[whereRequest, whereReply]("outbox.Where", rpc.Idempotent(), rpc.Unlimited())
	takeMethod   = rpc.NewMethod[takeRequest, takeReply]("outbox.Take", rpc.Idempotent(), rpc.Unlimited())
	refuseMethod = rpc.NewMethod[moving, refuseReply]("outbox.Refuse", rpc.Idempotent(), rpc.Unlimited())
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
		To        string     `json:"to,omitempty"` // who gets it, or got it
	}
	whereState uint8

	// moving is a partition with the epoch that its next holder has it with.
	moving struct {
		Partition uint32 `json:"partition"`
		Epoch     uint64 `json:"epoch"`
	}
	// refuseReply says whether the partition was refused, or is here.
	refuseReply struct {
		Here bool `json:"here"`
	}

	// takeRequest asks for partitions, and tells which ones that the box gave are on
	// the asker's disk.
	takeRequest struct {
		From       string   `json:"from"`
		Partitions []uint32 `json:"partitions"`
		After      []byte   `json:"after,omitempty"` // what of the first one is here
		Have       []moving `json:"have,omitempty"`
	}
	// takeReply is some of it. Partitions that are in neither list come later.
	takeReply struct {
		Chunks  []chunk  `json:"chunks"`
		Refused []uint32 `json:"refused"` // not here, or not the asker's by this node's table: ask around again
	}
	chunk struct {
		moving
		Chunk ledger.Chunk `json:"chunk"`
	}
)

// What a box can know of a partition, besides nothing.
const (
	holdsIt whereState = iota + 1 // it is held here
	givesIt                       // it is on its way to somebody, and may be given to another if that one refuses it
	wantsIt                       // this node looks for it as well
	hadIt                         // it was here, and went on
)

const (
	chunkBytes = 1 << 20 // about how much one reply carries
	takeMost   = 256     // partitions that are given at a time: what was given cannot be served until it has arrived
)
