package node

import (
	"bytes"
	"context"
	"time"

	"github.com/meshnode/meshnode/router"
	"github.com/meshnode/meshnode/rpc"
)

// The methods that explain where keys go.
var (
	// Explain tells how a node sees one key.
	Explain = rpc.NewMethod[ExplainRequest, ExplainReply]("mesh.Explain", rpc.Idempotent())
	// Ring tells how a node's table divides the keys, and how it came to be.
	Ring = rpc.NewMethod[RingRequest, RingReply]("mesh.Ring", rpc.Idempotent())
	// Metrics gives everything that a node counts and times as Prometheus's text.
	Metrics = rpc.NewMethod[MetricsRequest, MetricsReply]("mesh.Metrics", rpc.Idempotent())
)

type (
	// ExplainRequest names a key.
	ExplainRequest struct {
		Key string `json:"key"`
	}
	// ExplainReply is one node's view of it.
	ExplainReply struct {
		Node        string      `json:"node"`
		Ready       bool        `json:"ready"`
		Why         string      `json:"why,omitempty"` // not ready: what it waits for
		Key         string      `json:"key"`
		Partition   uint32      `json:"partition"`
		Owners      []OwnerInfo `json:"owners"` // the first is the owner; the others would take over in this order
		Held        bool        `json:"held"`   // this node owns the key and does not serve it yet
		Fingerprint string      `json:"fingerprint"`
		Members     int         `json:"members"` // live ones
		InTable     int         `json:"in_table"`
		Partitions  uint32      `json:"partitions"`
		Slack       int         `json:"slack_permille"`
		// LastChange is the latest change of the table, AgeSeconds ago; nil: none.
		LastChange *TableChange `json:"last_change,omitempty"`
		AgeSeconds float64      `json:"age_s"`
	}
	// OwnerInfo is an owner as the asked node knows it.
	OwnerInfo struct {
		Name   string `json:"name"`
		Zone   string `json:"zone,omitempty"`
		Passed bool   `json:"passed,omitempty"` // calls of the asked node go past it now: it could not be reached
	}
	// RingRequest is empty.
	RingRequest struct{}
	// RingReply is a node's table.
	RingReply struct {
		Node        string        `json:"node"`
		Fingerprint string        `json:"fingerprint"`
		Partitions  uint32        `json:"partitions"`
		Slack       int           `json:"slack_permille"`
		Spread      float64       `json:"spread"`  // the largest load of all: 1 is perfect balance
		Bytes       int           `json:"bytes"`   // that the table takes
		Shares      []ShareInfo   `json:"shares"`  // by name
		Changes     []TableChange `json:"changes"` // the latest last
	}
	// ShareInfo is what one member holds.
	ShareInfo struct {
		Name       string  `json:"name"`
		Zone       string  `json:"zone"`
		Weight     float64 `json:"weight"`
		Partitions int     `json:"partitions"`
		Capacity   int     `json:"capacity"`
		Fraction   float64 `json:"fraction"` // of all partitions
		Load       float64 `json:"load"`     // relative to the fair share
	}
	// MetricsRequest is empty.
	MetricsRequest struct{}
	// MetricsReply holds the text.
	MetricsReply struct {
		Text string `json:"text"`
	}
)

func (n *Node) registerExplaining() {
	Explain.Handle(n, n.explain)
	Ring.Handle(n, n.ring)
	Metrics.Handle(n, func(context.Context, *MetricsRequest) (*MetricsReply, error) {
		var text bytes.Buffer
		if err := n.WriteMetrics(&text); err != nil {
			return nil, err
		}
		return &MetricsReply{Text: text.String()}, nil
	})
}

func (n *Node) explain(_ context.Context, req *ExplainRequest) (*ExplainReply, error) {
	v := n.view.Load()
	params := v.table.Params()
	reply := &ExplainReply{
		Node: n.cfg.Name, Key: req.Key, Partition: v.table.Partition(req.Key),
		Fingerprint: v.table.Fingerprint().String(), Members: len(v.members.Members), InTable: v.table.Len(),
		Partitions: params.Partitions, Slack: params.SlackPermille, Owners: []OwnerInfo{},
	}
	reply.Ready, reply.Why = n.readyBy(v)
	now := n.since()
	for _, name := range v.table.Owners(reply.Partition, maxOwners, nil) {
		m, _ := v.table.Member(name)
		p := v.peers[name]
		reply.Owners = append(reply.Owners, OwnerInfo{Name: name, Zone: m.Zone, Passed: p != nil && p.link.passed(now)})
	}
	reply.Held = v.holds(reply.Partition) != nil
	if history := n.History(); len(history) > 0 {
		last := history[len(history)-1]
		reply.LastChange, reply.AgeSeconds = &last, time.Since(last.At).Seconds()
	}
	return reply, nil
}

func (n *Node) ring(context.Context, *RingRequest) (*RingReply, error) {
	table := n.Table()
	params := table.Params()
	reply := &RingReply{
		Node: n.cfg.Name, Fingerprint: table.Fingerprint().String(), Partitions: params.Partitions,
		Slack: params.SlackPermille, Spread: table.Spread(), Bytes: table.Memory(),
		Shares: make([]ShareInfo, 0, table.Len()), Changes: n.History(),
	}
	for _, s := range table.Shares() {
		reply.Shares = append(reply.Shares, shareInfo(&s))
	}
	return reply, nil
}

func shareInfo(s *router.Share) ShareInfo {
	return ShareInfo{
		Name: s.Name, Zone: s.Zone, Weight: s.Weight, Partitions: s.Partitions, Capacity: s.Capacity,
		Fraction: s.Fraction, Load: s.Load,
	}
}
