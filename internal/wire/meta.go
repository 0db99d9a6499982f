package wire

import (
	"math"
	"time"
)

// Keys of the header's meta map that the protocol knows. Numbers are part of
// the protocol: append only. Trace, priority and call id (6, 7, 8) are
// reserved: they parse, and are passed over, by versions that lack them.
const (
	keyTimeout     = 1  // microseconds left of the caller's deadline
	keyPartition   = 2  // partition of the key, for keyed calls
	keyFingerprint = 3  // sender's ownership table
	keyHops        = 4  // NotOwner redirects behind this call
	keyAttempt     = 5  // 0 for the first
	keyPriority    = 7  // 0 default, 1 critical, 2 sheddable
	keyOwner       = 9  // on NotOwner replies: the owner by the sender's table; on relayed ones: who answered
	keyMessage     = 10 // on failed replies: text for people
	keyLength      = 11 // the body follows in data frames, so many bytes in all
	keyEncoding    = 12 // how the body is compressed
	keyStandIn     = 13 // why a call went past the owner, or how it was served so; see StandIn
	keyPushback    = 14 // on failed replies: milliseconds before another try makes sense
	keyLoad        = 15 // on replies: calls that the sender is serving, this one included
	keyText        = 16 // the key itself, for keyed calls; absent: the empty key
	keyCaller      = 17 // for whom the sender carries the call; see Carried
	keyCallerName  = 18 // the name of that one
	keyRefused     = 19 // on failed replies: 1: the sender itself refused the call, and no handler ran
)

// NoPartition in Meta.Partition says that the call is not keyed.
const NoPartition = -1

// StandIn says why a keyed call goes to a node that is not the first owner of
// its key, and in a reply how it was served then.
type StandIn uint8

// The values. The first three are of calls, the others of replies.
const (
	AsOwner     StandIn = 0 // to the owner, as usual
	ForFailover StandIn = 1 // the owners before the receiver cannot be reached by the caller
	ForSpill    StandIn = 2 // the owners before the receiver have more than their share of calls

	InPlace StandIn = 1 // served in the place of owners that the receiver found gone
	Relayed StandIn = 2 // an owner before the receiver answers, and did so through it
	Spilled StandIn = 3 // served for an owner that has more than its share of calls
)

// Caller says for whom a member carries a call that is not its own: Carried, and what it knows
// of that one.
type Caller uint8

// The bits of Caller.
const (
	Carried        Caller = 1 // the call is somebody else's
	CallerMember   Caller = 2 // a member of the cluster
	CallerVerified Caller = 4 // whose certificate bears the name
)

// NeverAgain in Meta.Pushback says that another try makes no sense.
const NeverAgain = 1<<32 - 1

// MaxPairs bounds the user's metadata pairs in one header.
const MaxPairs = 128

// MaxKey bounds the key of a call, in bytes: a header has other things in it.
const MaxKey = 8 << 10

// Pair is one entry of the user's metadata. Parsed pairs alias the frame.
type Pair struct{ Key, Value []byte }

// Meta is what a header carries besides identity: the protocol's own fields
// and the user's metadata. The zero value of a field is not sent, but for
// Partition, whose absence is NoPartition.
type Meta struct {
	Timeout     time.Duration // left of the caller's deadline; 0: none
	Partition   int64
	Fingerprint uint64
	Hops        uint8
	Attempt     uint8
	Owner       []byte
	Message     []byte
	Length      uint64 // bytes of a body that follows in data frames; 0: the body is in this frame
	Encoding    uint8  // of the body; 0: as it is
	Priority    uint8
	StandIn     StandIn
	Caller      Caller // 0: the sender calls for itself
	Pushback    uint32 // milliseconds; 0: the sender says nothing
	Load        uint32 // 0: the sender says nothing
	Key         []byte // the key whose partition Partition is
	CallerName  []byte // of Caller
	Refused     bool   // the sender itself refused the call; no handler ran
	User        []Pair
}

// Reset empties m for reuse; the User slice keeps its memory.
func (m *Meta) Reset() {
	*m = Meta{Partition: NoPartition, User: m.User[:0]}
}

// appendMeta appends m as a msgpack map: integer keys first.
func appendMeta(dst []byte, m *Meta) []byte {
	if m == nil {
		return append(dst, 0x80)
	}
	return appendMetaWith(dst, m, m.Timeout, m.Length)
}

// appendMetaWith appends m with another timeout and length.
func appendMetaWith(dst []byte, m *Meta, timeout time.Duration, length uint64) []byte {
	n := len(m.User) + one(timeout > 0) + one(m.Partition >= 0) + one(m.Fingerprint != 0) +
		one(m.Hops != 0) + one(m.Attempt != 0) + one(len(m.Owner) > 0) + one(len(m.Message) > 0) +
		one(length != 0) + one(m.Encoding != 0) + one(m.Priority != 0) + one(m.StandIn != 0) +
		one(m.Pushback != 0) + one(m.Load != 0) + one(len(m.Key) > 0) +
		one(m.Caller != 0) + one(len(m.CallerName) > 0) + one(m.Refused)
	dst = AppendMapHeader(dst, n)
	if timeout > 0 {
		// Rounded up: a deadline that is still open must not arrive as none.
		dst = appendField(dst, keyTimeout, uint64((timeout-1)/time.Microsecond)+1)
	}
	if m.Partition >= 0 {
		dst = appendField(dst, keyPartition, uint64(m.Partition))
	}
	if m.Fingerprint != 0 {
		dst = appendField(dst, keyFingerprint, m.Fingerprint)
	}
	if m.Hops != 0 {
		dst = appendField(dst, keyHops, uint64(m.Hops))
	}
	if m.Attempt != 0 {
		dst = appendField(dst, keyAttempt, uint64(m.Attempt))
	}
	if len(m.Owner) > 0 {
		dst = appendBytes(append(dst, keyOwner), m.Owner)
	}
	if len(m.Message) > 0 {
		dst = appendBytes(append(dst, keyMessage), m.Message)
	}
	if length != 0 {
		dst = appendField(dst, keyLength, length)
	}
	if m.Encoding != 0 {
		dst = appendField(dst, keyEncoding, uint64(m.Encoding))
	}
	if m.Priority != 0 {
		dst = appendField(dst, keyPriority, uint64(m.Priority))
	}
	if m.StandIn != 0 {
		dst = appendField(dst, keyStandIn, uint64(m.StandIn))
	}
	if m.Pushback != 0 {
		dst = appendField(dst, keyPushback, uint64(m.Pushback))
	}
	if m.Load != 0 {
		dst = appendField(dst, keyLoad, uint64(m.Load))
	}
	if len(m.Key) > 0 {
		dst = appendBytes(append(dst, keyText), m.Key)
	}
	if m.Caller != 0 {
		dst = appendField(dst, keyCaller, uint64(m.Caller))
	}
	if len(m.CallerName) > 0 {
		dst = appendBytes(append(dst, keyCallerName), m.CallerName)
	}
	if m.Refused {
		dst = appendField(dst, keyRefused, 1)
	}
	for _, p := range m.User {
		dst = appendBytes(appendBytes(dst, p.Key), p.Value)
	}
	return dst
}

func one(present bool) int {
	if present {
		return 1
	}
	return 0
}

func appendField(dst []byte, key byte, v uint64) []byte {
	return AppendUint(append(dst, key), v)
}

// appendBytes appends b as a msgpack string.
func appendBytes(dst, b []byte) []byte {
	return append(appendStrHeader(dst, len(b)), b...)
}

// meta parses a meta map into m, which it resets first. Integer keys that it
// does not know are passed over, so that newer senders are understood.
func (c *cursor) meta(m *Meta) {
	m.Reset()
	n := c.mapping()
	for ; n > 0 && c.err == nil; n-- {
		if c.isStr() {
			if len(m.User) == MaxPairs {
				c.fail(ErrHeaderTooLarge)
				return
			}
			key := c.str()
			m.User = append(m.User, Pair{Key: key, Value: c.str()})
			continue
		}
		c.metaField(m)
	}
}

func (c *cursor) metaField(m *Meta) {
	switch c.uint() {
	case keyTimeout:
		// A timeout beyond what a Duration holds is as good as the longest.
		const most = uint64(1<<63-1) / uint64(time.Microsecond)
		m.Timeout = time.Duration(min(c.uint(), most)) * time.Microsecond
	case keyPartition:
		if u := c.uint(); u < 1<<32 {
			m.Partition = int64(u)
		} else {
			c.fail(ErrMalformed)
		}
	case keyFingerprint:
		m.Fingerprint = c.uint()
	case keyHops:
		m.Hops = c.small()
	case keyAttempt:
		m.Attempt = c.small()
	case keyOwner:
		m.Owner = c.str()
	case keyMessage:
		m.Message = c.str()
	case keyLength:
		m.Length = c.uint()
	case keyEncoding:
		m.Encoding = c.small()
	case keyPriority:
		m.Priority = c.small()
	case keyStandIn:
		m.StandIn = StandIn(c.small())
	case keyPushback:
		m.Pushback = uint32(min(c.uint(), NeverAgain))
	case keyLoad:
		m.Load = uint32(min(c.uint(), math.MaxUint32))
	case keyText:
		m.Key = c.str()
	case keyCaller:
		m.Caller = Caller(c.small())
	case keyCallerName:
		m.CallerName = c.str()
	case keyRefused:
		m.Refused = c.uint() != 0
	default:
		c.skip()
	}
}

// small reads a number, and takes one above 255 for 255.
func (c *cursor) small() uint8 { return uint8(min(c.uint(), math.MaxUint8)) }
