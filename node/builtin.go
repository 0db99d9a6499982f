package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/router"
	"github.com/meshnode/meshnode/rpc"
)

// The methods that every node serves. The daemon's commands are made of them.
var (
	// Ping asks a node how it is. It is answered by who reads the connection, so
	// that it tells whether a process lives though it has much to do.
	Ping = rpc.NewMethod[PingRequest, PingReply]("mesh.Ping", rpc.Idempotent(), rpc.Inline())
	// Echo gives back what it gets and tells who answered.
	Echo = rpc.NewMethod[EchoRequest, EchoReply]("mesh.Echo", rpc.Idempotent())
	// Members lists the members that a node knows, dead ones too.
	Members = rpc.NewMethod[MembersRequest, MembersReply]("mesh.Members", rpc.Idempotent())
	// Owner tells who owns keys by a node's table.
	Owner = rpc.NewMethod[OwnerRequest, OwnerReply]("mesh.Owner", rpc.Idempotent())
	// Leave makes a node leave gracefully; it answers before it does.
	Leave = rpc.NewMethod[LeaveRequest, LeaveReply]("mesh.Leave", rpc.Idempotent())
	// Forward makes a node carry a call into the mesh.
	Forward = rpc.NewMethod[ForwardRequest, ForwardReply]("mesh.Forward")
	// Statistics gives a node's counters.
	Statistics = rpc.NewMethod[StatisticsRequest, StatisticsReply]("mesh.Stats", rpc.Idempotent())
)

type (
	// PingRequest is empty.
	PingRequest struct{}
	// PingReply is how a node is.
	PingReply struct {
		Node        string `json:"node"`
		Boot        string `json:"boot"` // of its process, 16 hex digits
		Cluster     string `json:"cluster"`
		Ready       bool   `json:"ready"`
		Why         string `json:"why,omitempty"` // not ready: what it waits for
		Members     int    `json:"members"`       // live ones
		Owners      int    `json:"owners"`        // members of its table
		Fingerprint string `json:"fingerprint"`   // of its table, 16 hex digits
		// MembersDigest is that of the snapshot of the live members, 16 hex digits.
		// Nodes that are ready and have the same one and the same fingerprint route
		// to the same processes: a fingerprint alone does not tell a member from its
		// former life.
		MembersDigest string `json:"members_digest"`
	}
	// EchoRequest carries anything.
	EchoRequest struct {
		Data []byte `json:"data"`
	}
	// EchoReply carries it back.
	EchoReply struct {
		Node string `json:"node"`
		Data []byte `json:"data"`
		// Failover reports that the node answered in the place of the key's owner; see
		// rpc.Info.
		Failover bool `json:"failover,omitempty"`
	}
	// MembersRequest is empty.
	MembersRequest struct{}
	// MembersReply lists members, sorted by name.
	MembersReply struct {
		Members []MemberInfo `json:"members"`
	}
	// MemberInfo is one member as the asked node knows it.
	MemberInfo struct {
		Name        string  `json:"name"`
		Addr        string  `json:"addr"`
		State       string  `json:"state"`   // alive, suspect, dead or left
		Serving     string  `json:"serving"` // what it says itself: joining, serving or draining; empty: dead or left
		Zone        string  `json:"zone"`
		Weight      float64 `json:"weight"`
		Share       float64 `json:"share"` // of all partitions, 0 to 1
		Incarnation uint32  `json:"incarnation"`
		Boot        uint64  `json:"boot"`
		AgeSeconds  float64 `json:"age_s"` // since its process started
		// Identity is, with TLS, whether the asked node knows the member to be
		// who it says: proven, pending, refused or expired (its certificate is good
		// no more). Only who is proven owns keys. Of the asked node itself it is
		// empty or expired.
		Identity string `json:"identity,omitempty"`
		// Doubt says why the member is not proven.
		Doubt string `json:"doubt,omitempty"`
	}
	// OwnerRequest asks for the owners of keys.
	OwnerRequest struct {
		Keys []string `json:"keys"`
		N    int      `json:"n"` // owners of each; 0: 3
	}
	// OwnerReply answers in the order of the keys.
	OwnerReply struct {
		Owners []KeyOwner `json:"owners"`
	}
	// KeyOwner is who owns one key.
	KeyOwner struct {
		Key         string   `json:"key"`
		Partition   uint32   `json:"partition"`
		Owners      []string `json:"owners"` // primary first
		Fingerprint string   `json:"fingerprint"`
	}
	// LeaveRequest is empty.
	LeaveRequest struct{}
	// LeaveReply names the node that leaves.
	LeaveReply struct {
		Node string `json:"node"`
	}
	// StatisticsRequest is empty.
	StatisticsRequest struct{}
	// StatisticsReply has every counter by name.
	StatisticsReply struct {
		Counters map[string]uint64 `json:"counters"`
	}
)

func (n *Node) registerBuiltins() {
	n.registerExplaining()
	Ping.Handle(n, n.ping)
	Echo.Handle(n, n.echo)
	Members.Handle(n, n.listMembers)
	Owner.Handle(n, n.ownersOfKeys)
	Leave.Handle(n, n.leaveOnRequest)
	Forward.Handle(n, n.forward)
	Claim.Handle(n, n.claim)
	Statistics.Handle(n, func(context.Context, *StatisticsRequest) (*StatisticsReply, error) {
		return &StatisticsReply{Counters: n.Stats()}, nil
	})
}

func (n *Node) ping(context.Context, *PingRequest) (*PingReply, error) {
	v := n.view.Load()
	reply := &PingReply{
		Node: n.cfg.Name, Boot: fmt.Sprintf("%016x", n.boot), Cluster: n.cfg.Cluster, Members: len(v.members.Members),
		Owners: v.table.Len(), Fingerprint: v.table.Fingerprint().String(),
		MembersDigest: router.Fingerprint(v.members.Digest).String(),
	}
	reply.Ready, reply.Why = n.readyBy(v)
	return reply, nil
}

func (n *Node) echo(ctx context.Context, req *EchoRequest) (*EchoReply, error) {
	info, _ := rpc.InfoFrom(ctx)
	return &EchoReply{Node: n.cfg.Name, Data: req.Data, Failover: info.Failover}, nil
}

func (n *Node) listMembers(ctx context.Context, _ *MembersRequest) (*MembersReply, error) {
	cluster := n.cluster.Load()
	if cluster == nil {
		return nil, rpc.Errorf(rpc.Unavailable, "node %s was not started", n.cfg.Name)
	}
	known, err := cluster.Members(ctx)
	if err != nil {
		return nil, rpc.Errorf(rpc.Unavailable, "%v", err)
	}
	shares, v := make(map[string]float64), n.view.Load()
	for _, s := range v.table.Shares() {
		shares[s.Name] = s.Fraction
	}
	reply := &MembersReply{Members: make([]MemberInfo, 0, len(known))}
	for _, m := range known {
		one := MemberInfo{
			Name: m.Name, Addr: m.Addr.String(), State: m.Health.String(),
			Zone: m.Zone, Weight: m.Weight, Incarnation: m.Incarnation, Boot: m.Boot,
			AgeSeconds: time.Since(membership.BootTime(m.Boot)).Seconds(),
		}
		if p := v.peers[m.Name]; p != nil && n.cfg.TLS != nil && p.boot == m.Boot {
			one.Identity, one.Doubt = p.proof.String(), p.doubt
		}
		if own := n.prover.own.Load(); own != nil && m.Name == n.cfg.Name {
			one.Identity, one.Doubt = lapsed.String(), (*own).Error()
		}
		if m.Health == membership.HealthAlive || m.Health == membership.HealthSuspect {
			one.Serving, one.Share = m.State.String(), shares[m.Name]
		}
		reply.Members = append(reply.Members, one)
	}
	return reply, nil
}

// Bounds of OwnerRequest.
const (
	defaultOwners = 3
	maxOwnerKeys  = 10_000
)

func (n *Node) ownersOfKeys(_ context.Context, req *OwnerRequest) (*OwnerReply, error) {
	if len(req.Keys) > maxOwnerKeys {
		return nil, rpc.Errorf(rpc.InvalidArgument, "%d keys asked for; want at most %d", len(req.Keys), maxOwnerKeys)
	}
	table := n.Table()
	count := req.N
	if count <= 0 {
		count = defaultOwners
	}
	count = min(count, table.Len())
	reply := &OwnerReply{Owners: make([]KeyOwner, len(req.Keys))}
	for i, key := range req.Keys {
		partition := table.Partition(key)
		reply.Owners[i] = KeyOwner{
			Key: key, Partition: partition, Fingerprint: table.Fingerprint().String(),
			Owners: slices.Clip(table.Owners(partition, count, nil)),
		}
	}
	return reply, nil
}

// leaveOnRequest answers first: the drain waits for this call like for any.
func (n *Node) leaveOnRequest(context.Context, *LeaveRequest) (*LeaveReply, error) {
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), n.cfg.Limits.DrainTimeout)
		defer cancel()
		if err := n.Stop(ctx); err != nil {
			n.log.Warn().Err(err).Msg("leave asked for by a peer")
		}
	}()
	return &LeaveReply{Node: n.cfg.Name}, nil
}
