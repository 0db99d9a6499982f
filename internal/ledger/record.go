package ledger

import (
	"encoding/binary"
	"fmt"
)

// State is what a partition is to a ledger.
type State uint8

// The states of a partition. Only in Held are calls executed.
const (
	Unknown State = iota // nothing was ever recorded of it
	Held                 // this node has it
	Giving               // calls have stopped here; its state is here until the other node has it
	Given                // another node has it, as far as is known here
	Refused              // promised never to take it with this epoch or an older one
)

func (s State) String() string {
	switch s {
	case Unknown:
		return "unknown"
	case Held:
		return "held"
	case Giving:
		return "being given"
	case Given:
		return "given"
	case Refused:
		return "refused"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// Holding is what a ledger knows of a partition. To is set in Giving and Given only.
type Holding struct {
	State State
	Epoch uint64 // grows with each handover; 0 in Unknown only
	To    string // name of the node that gets it or got it
}

const holdingHead = 9 // state u8, epoch u64; then To

func encodeHolding(h Holding) []byte {
	out := make([]byte, 0, holdingHead+len(h.To))
	out = append(out, byte(h.State))
	out = binary.LittleEndian.AppendUint64(out, h.Epoch)
	return append(out, h.To...)
}

func decodeHolding(payload []byte) (Holding, error) {
	if len(payload) < holdingHead {
		return Holding{}, fmt.Errorf("holding of %d bytes", len(payload))
	}
	h := Holding{State: State(payload[0]), Epoch: binary.LittleEndian.Uint64(payload[1:]), To: string(payload[holdingHead:])}
	if h.State == Unknown || h.State > Refused {
		return h, fmt.Errorf("holding with %s", h.State)
	}
	return h, nil
}

// done is the outcome of a call, kept so that a duplicate gets it.
type done struct {
	hash    [16]byte
	expires int64 // ms since 1970
	reply   []byte
}

const doneHead = 24 // hash, expiry u64; then the reply

func encodeDone(d done) []byte {
	out := make([]byte, 0, doneHead+len(d.reply))
	out = append(out, d.hash[:]...)
	out = binary.LittleEndian.AppendUint64(out, uint64(d.expires))
	return append(out, d.reply...)
}

// decodeDone doesn't copy the reply.
func decodeDone(payload []byte) (done, error) {
	if len(payload) < doneHead {
		return done{}, fmt.Errorf("outcome of %d bytes", len(payload))
	}
	d := done{expires: int64(binary.LittleEndian.Uint64(payload[16:])), reply: payload[doneHead:]}
	copy(d.hash[:], payload)
	if d.expires < 0 {
		return d, fmt.Errorf("outcome that expires before 1970")
	}
	return d, nil
}

// expiryOf returns when the call expires whose outcome or crashes a pair has, in ms since 1970.
func expiryOf(key, payload []byte) (int64, error) {
	if accuses(key) {
		c, err := decodeCrash(payload)
		return c.expires, err
	}
	d, err := decodeDone(payload)
	return d.expires, err
}

func doneKey(id string) []byte { return append([]byte{kindDone}, id...) }

// stage is how far a partition that arrives has come.
type stage struct {
	epoch uint64
	at    []byte // Next of the latest chunk
}

func encodeStage(s stage) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, s.epoch), s.at...)
}

func decodeStage(payload []byte) (stage, error) {
	if len(payload) < 8 {
		return stage{}, fmt.Errorf("stage of %d bytes", len(payload))
	}
	return stage{epoch: binary.LittleEndian.Uint64(payload), at: payload[8:]}, nil
}

func encodeFollow(f FollowUp) []byte {
	out := make([]byte, 0, 5+len(f.Data))
	out = binary.LittleEndian.AppendUint32(out, f.Partition)
	out = append(out, f.Kind)
	return append(out, f.Data...)
}

// decodeFollow doesn't copy the data.
func decodeFollow(key, payload []byte) (FollowUp, error) {
	if len(key) != 8 || len(payload) < 5 {
		return FollowUp{}, fmt.Errorf("follow-up of %d bytes under a key of %d", len(payload), len(key))
	}
	return FollowUp{
		Seq: binary.BigEndian.Uint64(key), Partition: binary.LittleEndian.Uint32(payload), Kind: payload[4], Data: payload[5:],
	}, nil
}
