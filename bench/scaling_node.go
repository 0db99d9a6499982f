package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/meshnode/meshnode/internal/simnet"
	"github.com/meshnode/meshnode/internal/simtime"
	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/router"
)

// nodeRow is what so many members cost one node: the shipped one, which is told of
// them by one push/pull. The members are names, and somebody who answers probes for
// all of them.
type nodeRow struct {
	Members   int     `json:"members"`
	Bytes     float64 `json:"bytes"`      // of memory, when the news of them is spread
	SyncBytes float64 `json:"sync_bytes"` // of its answer to a push/pull
	SyncS     float64 `json:"sync_s"`     // of a push/pull with somebody who has the same members
	ChangeS   float64 `json:"change_s"`   // processor time of one member less, the table included
}

// crowd is a node and the members that it believes to have. All of them are at one
// address.
type crowd struct {
	n       *node.Node
	host    *simnet.Host  // the node's
	outside *simnet.Stack // the members'
	packets net.PacketConn
}

const (
	crowdPort    = ":7101"
	crowdTimeout = time.Minute
	gossipLabel  = 244 // before the name of the cluster, at the front of packets and streams
	pingType     = 0
	ackType      = 2
	pushPullType = 6
	compoundType = 7
	crcType      = 12
)

func newCrowd(ctx context.Context) (*crowd, error) {
	net := simnet.New(simnet.Config{Seed: 1})
	c := &crowd{host: net.Host("node", netip.MustParseAddr("10.0.0.1"))}
	c.outside = net.Host("members", netip.MustParseAddr("10.0.0.2")).Boot()
	var err error
	if c.packets, err = c.outside.ListenPacket(ctx, "10.0.0.2"+crowdPort); err != nil {
		return nil, err
	}
	c.n, err = node.New(node.Config{Name: "node", Bind: "10.0.0.1" + crowdPort, Network: c.host.Boot(), RandSeed: 1})
	if err != nil {
		return nil, err
	}
	go c.answerPings()
	return c, c.n.Start(ctx)
}

func (c *crowd) close() {
	c.n.Close()
	_ = c.packets.Close()
}

// answerPings tells the node that whomever it probes lives.
func (c *crowd) answerPings() {
	b := make([]byte, 64<<10)
	for {
		n, from, err := c.packets.ReadFrom(b)
		if err != nil {
			return
		}
		var ping struct{ SeqNo uint32 }
		body := firstMessage(b[:n])
		if len(body) == 0 || body[0] != pingType || msgpack.Unmarshal(body[1:], &ping) != nil {
			continue
		}
		ack, _ := msgpack.Marshal(map[string]any{"SeqNo": ping.SeqNo, "Payload": nil})
		_, _ = c.packets.WriteTo(append(labelled(ackType), ack...), from)
	}
}

// labelled begins a packet or a stream with one message.
func labelled(kind byte) []byte {
	label := append([]byte{gossipLabel, byte(len(node.DefaultCluster))}, node.DefaultCluster...)
	return append(label, kind)
}

// firstMessage gives the first message of a packet; a probe always is.
func firstMessage(packet []byte) []byte {
	body, _, err := memberlist.RemoveLabelHeaderFromPacket(packet)
	if err != nil {
		return nil
	}
	if len(body) > 5 && body[0] == crcType {
		body = body[5:]
	}
	if len(body) > 4 && body[0] == compoundType { // the number of messages, and their lengths in two bytes each
		if start := 2 + 2*int(body[1]); start < len(body) {
			return body[start:]
		}
	}
	return body
}

// states is a push/pull in which a member tells of so many, from the first on.
func states(first, count int, incarnation uint32, state membership.State) []byte {
	b := bytes.NewBuffer(labelled(pushPullType))
	e := msgpack.NewEncoder(b)
	e.SetSortMapKeys(true)
	put := func(fields map[string]any) { _ = e.Encode(fields) } // a buffer takes everything
	put(map[string]any{"Nodes": count, "UserStateLen": 0, "Join": false})
	params := router.Params{}.WithDefaults()
	for i := first; i < first+count; i++ {
		meta, _ := membership.Meta{
			Boot: uint64(i) + 1<<60, Zone: "zone-" + string(rune('a'+i%3)), State: state, Protocol: 1,
			Params: membership.TableParams{Partitions: params.Partitions, SlackPermille: uint16(params.SlackPermille)},
		}.Encode() // valid
		put(map[string]any{
			"Name": fmt.Sprintf("node-%06d.example.net", i), "Addr": string([]byte{10, 0, 0, 2}), "Port": 7101,
			"Meta": string(meta), "Incarnation": incarnation, "State": 0, "Vsn": string([]byte{1, 5, 2, 1, 1, 1}),
		})
	}
	return b.Bytes()
}

// sync sends a push/pull, and tells how many bytes the answer has and how long it
// took: until the node has taken in what it was told, after which it ends the stream.
func (c *crowd) sync(ctx context.Context, request []byte) (size int, took time.Duration, err error) {
	conn, err := c.outside.Dial(ctx, "10.0.0.1"+crowdPort)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(crowdTimeout))
	start := time.Now()
	if _, err := conn.Write(request); err != nil {
		return 0, 0, err
	}
	answer, err := io.Copy(io.Discard, conn)
	return int(answer), time.Since(start), err
}

// fill tells the node of its members, and waits until it routes to them.
func (c *crowd) fill(ctx context.Context, members int) error {
	if _, _, err := c.sync(ctx, states(0, members, 1, membership.StateServing)); err != nil {
		return err
	}
	return c.await(ctx, members+1)
}

// await waits until the node's table has so many owners.
func (c *crowd) await(ctx context.Context, owners int) error {
	for c.n.Table().Len() != owners {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("the table has %d owners, not %d: %w", c.n.Table().Len(), owners, ctx.Err())
		}
	}
	return nil
}

// measureNode measures a node with so many members.
func measureNode(ctx context.Context, members int) (nodeRow, error) {
	row := nodeRow{Members: members}
	if err := row.times(ctx); err != nil {
		return row, fmt.Errorf("a node with %d members: %w", members, err)
	}
	var failed error
	err := simtime.Run(func() { failed = row.memory() })
	return row, errors.Join(err, failed)
}

// times measures in real time; the least of a few counts.
func (r *nodeRow) times(ctx context.Context) error {
	const tries = 5
	ctx, cancel := context.WithTimeout(ctx, 2*crowdTimeout)
	defer cancel()
	c, err := newCrowd(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.fill(ctx, r.Members); err != nil {
		return err
	}
	known := states(0, r.Members, 1, membership.StateServing)
	for range tries {
		size, took, err := c.sync(ctx, known)
		if err != nil {
			return err
		}
		r.SyncBytes, r.SyncS = float64(size), least(r.SyncS, took)
	}
	for k := range tries {
		before, _ := cpuTime()
		if _, _, err := c.sync(ctx, states(k, 1, 2, membership.StateDraining)); err != nil {
			return err
		}
		if err := c.await(ctx, r.Members-k); err != nil {
			return err
		}
		after, ok := cpuTime()
		if ok {
			r.ChangeS = least(r.ChangeS, after-before)
		}
	}
	return nil
}

// least is the smaller of some seconds, if there were any, and of another time.
func least(seconds float64, d time.Duration) float64 {
	if seconds == 0 {
		return d.Seconds()
	}
	return min(seconds, d.Seconds())
}

// memory measures in virtual time, until the news of the members has been told as
// often as it is, and is forgotten.
func (r *nodeRow) memory() error {
	ctx, cancel := context.WithTimeout(context.Background(), 24*time.Hour)
	defer cancel()
	c, err := newCrowd(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	before := heap()
	if err := c.fill(ctx, r.Members); err != nil {
		return err
	}
	const window = 20 * time.Second
	for sent := uint64(0); ; {
		time.Sleep(window)
		now := c.host.Traffic().Packets
		if float64(now-sent) <= 1.1*window.Seconds() { // a probe a second
			break
		}
		if sent = now; ctx.Err() != nil {
			return fmt.Errorf("the news of %d members does not come to an end", r.Members)
		}
	}
	r.Bytes = heap() - before
	return nil
}
