package membership

import (
	"encoding/binary"
	"hash/crc32"
	"hash/maphash"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// News spreads by being told often: in a cluster of 1,000 each node hears of each
// join some thirty times, and memberlist decodes each telling before it finds that
// it knows. repeats drops those that are, byte for byte, what was handed to
// memberlist a moment ago.
//
// Only news of members that are alive are dropped: telling them again changes
// nothing as long as nobody dies, leaves or contests a name, after which forget
// starts anew. (A member that moved to another address is refused until its former
// process is dead, and must be heard again then.)
//
// Invariant: what is in now and before was handed to memberlist since the last
// forget, at most 2*repeatWindow ago.
type repeats struct {
	seed maphash.Seed

	mu     sync.Mutex
	now    map[uint64]struct{}
	before map[uint64]struct{}
	turned time.Time // when now was begun
}

const (
	repeatWindow = 15 * time.Second
	repeatMost   = 8192 // messages in one window; more turn it early
)

// memberlist's message types that are looked into.
const (
	aliveMessage    = 4
	compoundMessage = 7
	crcMessage      = 12
	crcHeader       = 5 // type and checksum
)

func newRepeats() *repeats {
	return &repeats{seed: maphash.MakeSeed(), now: map[uint64]struct{}{}}
}

// forget lets everything be heard again.
func (r *repeats) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.now)
	r.before = nil
}

// strip takes from a plain packet what repeats news. It gives what is left, which
// may be the packet itself, and nil if nothing is. What it does not understand
// stays as it is, for memberlist to judge.
func (r *repeats) strip(packet []byte, now time.Time) []byte {
	body, _, err := memberlist.RemoveLabelHeaderFromPacket(packet)
	if err != nil {
		return packet
	}
	label := packet[:len(packet)-len(body)]
	if len(body) > crcHeader && body[0] == crcMessage {
		if crc32.ChecksumIEEE(body[crcHeader:]) != binary.BigEndian.Uint32(body[1:crcHeader]) {
			return packet
		}
		body = body[crcHeader:]
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turnLocked(now)
	switch {
	case len(body) > 0 && body[0] == aliveMessage:
		if r.knownLocked(body) {
			return nil
		}
	case len(body) > 2 && body[0] == compoundMessage:
		return r.stripCompoundLocked(packet, label, body)
	}
	return packet
}

// stripCompoundLocked is strip for several messages in one: 7, their number, the
// lengths in two bytes each, the messages.
func (r *repeats) stripCompoundLocked(packet, label, body []byte) []byte {
	count := int(body[1])
	lengths := body[2:]
	if len(lengths) < 2*count {
		return packet
	}
	rest := lengths[2*count:]
	kept := make([][]byte, 0, count)
	for i := range count {
		size := int(binary.BigEndian.Uint16(lengths[2*i:]))
		if size > len(rest) {
			return packet
		}
		message := rest[:size]
		rest = rest[size:]
		if size == 0 || message[0] != aliveMessage || !r.knownLocked(message) {
			kept = append(kept, message)
		}
	}
	switch len(kept) {
	case count:
		return packet
	case 0:
		return nil
	}
	out := append(make([]byte, 0, len(packet)), label...)
	out = append(out, compoundMessage, byte(len(kept)))
	for _, m := range kept {
		out = binary.BigEndian.AppendUint16(out, uint16(len(m)))
	}
	for _, m := range kept {
		out = append(out, m...)
	}
	return out
}

// knownLocked tells whether a message was handed on lately, and notes that it is now
// if not: what memberlist had no room for is heard again two windows later.
func (r *repeats) knownLocked(message []byte) bool {
	sum := maphash.Bytes(r.seed, message)
	if _, ok := r.now[sum]; ok {
		return true
	}
	if _, ok := r.before[sum]; ok {
		return true // for the rest of this window: a repeat renews nothing
	}
	r.now[sum] = struct{}{}
	return false
}

// turnLocked begins another window when it is time.
func (r *repeats) turnLocked(now time.Time) {
	if now.Sub(r.turned) < repeatWindow && len(r.now) < repeatMost {
		return
	}
	r.before, r.now, r.turned = r.now, make(map[uint64]struct{}, len(r.now)/2), now
}
