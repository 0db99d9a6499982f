package membership

import (
	"bytes"
	"crypto/rand"
	mathrand "math/rand/v2"
	"net"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/vmihailenco/msgpack/v5"
)

// suspectByte is the type of memberlist's message that somebody is suspect.
const suspectByte = 3

// suspicionBacklog is how many suspicions wait to be told; more are dropped,
// because the next probe finds out as well.
const suspicionBacklog = 64

// suspicionFanout is how many others are told directly.
const suspicionFanout = 3

// suspicion is a process that does not answer.
type suspicion struct {
	name string
	boot uint64
}

// Suspect tells gossip that the process of that name and boot id does not
// answer, so that suspicion starts now and not with the next probe. It is no
// verdict: the process can refute it, as after a probe, and what a second node
// says confirms the suspicion and shortens it. It never waits. A process that is
// not a live member, and this one itself, are passed over, and the same process
// again within a probe interval.
func (c *Cluster) Suspect(name string, boot uint64) {
	select {
	case c.suspicions <- suspicion{name, boot}:
	default:
	}
}

// suspectLoop tells memberlist of suspicions, as a peer would.
func (c *Cluster) suspectLoop() {
	told := make(map[suspicion]time.Time)
	random := mathrand.New(mathrand.NewPCG(c.cfg.RandSeed, 2<<16|uint64(c.cfg.Advertise.Port())))
	for {
		select {
		case s := <-c.suspicions:
			now := time.Now()
			for old, at := range told {
				if now.Sub(at) >= c.tune.probeInterval {
					delete(told, old)
				}
			}
			m, live := c.roster.get(s.name)
			if _, again := told[s]; again || !live || m.Boot != s.boot || s.name == c.cfg.Name {
				continue
			}
			told[s] = now
			c.inject(s, random)
		case <-c.ctx.Done():
			return
		}
	}
}

// inject hands memberlist the message that s is suspect, for the incarnation
// that it knows: it passes over older ones. Some others are told directly, too,
// each time anew: of what is said of one member memberlist passes on only what it
// heard last, so that where all say it at once, which is how a silent machine is
// found, most of what would confirm the suspicion gets lost.
func (c *Cluster) inject(s suspicion, random *mathrand.Rand) {
	g, _, err := c.running()
	if err != nil {
		return
	}
	states, err := c.localStates(c.ctx)
	if err != nil {
		return
	}
	i := slices.IndexFunc(states, func(n nodeState) bool { return n.Name == s.name && n.live() })
	if i < 0 {
		return
	}
	message, err := c.sealPacket(suspectMessage(states[i].Incarnation, s.name, c.cfg.Name))
	if err != nil {
		c.log.Error().Err(err).Msg("a suspicion cannot be told")
		return
	}
	c.log.Info().Str("member", s.name).Msg("member does not answer: telling gossip to suspect it")
	g.deliver(message)
	others := slices.DeleteFunc(c.roster.members(), func(m Member) bool { return m.Name == s.name || m.Name == c.cfg.Name })
	random.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	for _, m := range others[:min(len(others), suspicionFanout)] {
		_, _ = g.WriteTo(message, m.Addr.String()) // the next one, or gossip, gets through
	}
}

// suspectMessage is memberlist's message that node is suspect, said by from.
func suspectMessage(incarnation uint32, node, from string) []byte {
	var buf bytes.Buffer // never fails a write
	buf.WriteByte(suspectByte)
	enc := msgpack.NewEncoder(&buf)
	_ = enc.EncodeMapLen(3)
	_ = enc.EncodeString("Incarnation")
	_ = enc.EncodeUint(uint64(incarnation))
	_ = enc.EncodeString("Node")
	_ = enc.EncodeString(node)
	_ = enc.EncodeString("From")
	_ = enc.EncodeString(from)
	return buf.Bytes()
}

// sealPacket makes a packet of a message: the label, and the message, encrypted
// if gossip is. Unlike a stream's, its encryption has no header.
func (c *Cluster) sealPacket(message []byte) ([]byte, error) {
	packet := append([]byte{labelByte, byte(len(c.cfg.Cluster))}, c.cfg.Cluster...)
	if c.cfg.GossipKey == nil {
		return append(packet, message...), nil
	}
	aead, err := newAEAD(c.cfg.GossipKey)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce) // never fails
	packet = append(append(packet, encryptFormat), nonce...)
	return aead.Seal(packet, nonce, message, []byte(c.cfg.Cluster)), nil
}

// deliver hands memberlist a packet as though it had arrived from this node
// itself, unless many wait already.
func (g *gossip) deliver(packet []byte) {
	from := net.UDPAddrFromAddrPort(g.advertise)
	select {
	case g.packetCh <- &memberlist.Packet{Buf: packet, From: from, Timestamp: time.Now()}:
	default:
	}
}
