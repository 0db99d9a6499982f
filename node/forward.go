package node

import (
	"context"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

// ForwardRequest is a call that a node is to carry into the mesh for someone
// who is not part of it. At most one of Key, Peer and All says where to;
// without any the call goes to any node.
type ForwardRequest struct {
	Method     string            `json:"method"`
	Body       []byte            `json:"body"` // the encoded request
	Keyed      bool              `json:"keyed,omitempty"`
	Key        string            `json:"key,omitempty"`
	Peer       string            `json:"peer,omitempty"`
	All        bool              `json:"all,omitempty"`
	Owners     int               `json:"owners,omitempty"` // with Key: to this many owners
	Idempotent bool              `json:"idempotent,omitempty"`
	OneWay     bool              `json:"one_way,omitempty"`
	Metadata   map[string]string `json:"metadata,omitempty"`
	// Policy picks the node of a call to any, one of rpc.Policies; with Keyed it
	// may be rpc.Bounded.
	Policy    rpc.Policy   `json:"policy,omitempty"`
	OwnerOnly bool         `json:"owner_only,omitempty"` // with Keyed: no other owner stands in
	Priority  rpc.Priority `json:"priority,omitempty"`
	// Retries, HedgeUS (microseconds, or rpc.HedgeP95) and Spill are the fields
	// of rpc.CallPolicy; 0: the forwarding node's.
	Retries int     `json:"retries,omitempty"`
	HedgeUS int64   `json:"hedge_us,omitempty"`
	Spill   float64 `json:"spill,omitempty"`
}

// forwardRequest is what a client asks for its call.
func forwardRequest(call *rpc.Call, body []byte) *ForwardRequest {
	policy := call.Spec.Policy()
	req := &ForwardRequest{
		Method: call.Spec.Name(), Body: body, Idempotent: call.Spec.Idempotent(),
		OneWay: call.OneWay, Metadata: call.Metadata,
		Keyed: call.Dest.Kind == rpc.ToKey, Key: call.Dest.Key, Peer: call.Dest.Peer,
		Policy: call.Dest.Policy, OwnerOnly: call.OwnerOnly, Priority: priorityOf(call),
		Retries: policy.Retries, HedgeUS: int64(policy.Hedge), Spill: policy.Spill,
	}
	if policy.Hedge > 0 {
		req.HedgeUS = max(policy.Hedge.Microseconds(), 1)
	}
	return req
}

// options are the method options that the request stands for.
func (r *ForwardRequest) options() []rpc.MethodOption {
	policy := rpc.CallPolicy{Retries: r.Retries, Hedge: time.Duration(r.HedgeUS), Spill: r.Spill}
	if r.HedgeUS > 0 {
		policy.Hedge = time.Duration(r.HedgeUS) * time.Microsecond
	}
	opts := []rpc.MethodOption{rpc.WithPolicy(policy), rpc.WithPriority(r.Priority)}
	if r.Idempotent {
		opts = append(opts, rpc.Idempotent())
	}
	return opts
}

// ForwardReply has one answer for each node that was called.
type ForwardReply struct {
	Answers []ForwardAnswer `json:"answers"`
}

// ForwardAnswer is one node's answer.
type ForwardAnswer struct {
	Node        string   `json:"node"`
	Body        []byte   `json:"body"` // the encoded reply, if Code is OK
	Code        rpc.Code `json:"code"`
	Message     string   `json:"message,omitempty"`
	Detail      []byte   `json:"detail,omitempty"`
	Pushback    uint32   `json:"pushback,omitempty"`     // rpc.Error.Pushback
	NotExecuted bool     `json:"not_executed,omitempty"` // see rpc.NotExecuted
	ElapsedUS   int64    `json:"elapsed_us"`             // as seen by the node that forwarded
}

// Err is the error that the answer carries, an *rpc.Error; nil if it has a reply.
func (a *ForwardAnswer) Err() error {
	if a.Code == rpc.OK {
		return nil
	}
	e := &rpc.Error{Code: a.Code, Message: a.Message, Detail: a.Detail, RetryAfter: rpc.RetryAfterOf(a.Pushback)}
	return e.MarkNotExecuted(a.NotExecuted)
}

// dest is where the call goes.
func (r *ForwardRequest) dest() (rpc.Dest, error) {
	where := 0
	for _, given := range []bool{r.Keyed, r.Peer != "", r.All} {
		if given {
			where++
		}
	}
	if where > 1 {
		return rpc.Dest{}, rpc.Errorf(rpc.InvalidArgument, "a forwarded call goes to a key, a peer or all: one of them")
	}
	switch {
	case r.Keyed && r.Owners > 0:
		return rpc.Dest{Kind: rpc.ToOwners, Key: r.Key, N: r.Owners}, nil
	case r.Keyed:
		return rpc.Dest{Kind: rpc.ToKey, Key: r.Key, Policy: r.Policy}, nil
	case r.Peer != "":
		return rpc.Dest{Kind: rpc.ToPeer, Peer: r.Peer}, nil
	case r.All:
		return rpc.Dest{Kind: rpc.ToAll}, nil
	}
	return rpc.Dest{Kind: rpc.ToAny, Policy: r.Policy}, nil
}

// forward serves Forward.
func (n *Node) forward(ctx context.Context, req *ForwardRequest) (*ForwardReply, error) {
	spec, err := rpc.Untyped(req.Method, req.options()...)
	if err != nil {
		return unforwarded(err), nil
	}
	dest, err := req.dest()
	if err != nil {
		return unforwarded(err), nil
	}
	if err := req.checkMetadata(); err != nil {
		return unforwarded(err), nil
	}
	call := rpc.Call{
		Spec: spec, Dest: dest, Req: &req.Body, OneWay: req.OneWay, Metadata: req.Metadata,
		Timeout: forwardTimeout(ctx), OwnerOnly: req.OwnerOnly,
	}
	if about, ok := rpc.InfoFrom(ctx); ok && about.Caller != n.identity() {
		call.For = &about.Caller
	}
	if dest.Kind == rpc.ToAll || dest.Kind == rpc.ToOwners {
		return n.forwardMany(ctx, &call)
	}
	return &ForwardReply{Answers: []ForwardAnswer{n.forwardOne(ctx, &call)}}, nil
}

// unforwarded is the reply to a request that was not forwarded.
func unforwarded(err error) *ForwardReply {
	e := rpc.AsError(err)
	return &ForwardReply{Answers: []ForwardAnswer{{Code: e.Code, Message: e.Message, NotExecuted: true}}}
}

// ownMetadata begins the keys of metadata by which members tell each other things.
const ownMetadata = "mesh-"

// checkMetadata refuses metadata that are the mesh's own.
func (r *ForwardRequest) checkMetadata() error {
	for k := range r.Metadata {
		if strings.HasPrefix(k, ownMetadata) {
			return rpc.Errorf(rpc.InvalidArgument, "the metadata %.64q: what begins with %s is the mesh's own", k, ownMetadata)
		}
	}
	return nil
}

// forwardTimeout leaves a forwarded call a little less time than its caller
// has, so that the reason of a failure gets back before the caller gives up. 0
// means no bound.
func forwardTimeout(ctx context.Context) time.Duration {
	const most = 50 * time.Millisecond
	due, bounded := ctx.Deadline()
	if !bounded {
		return 0
	}
	left := time.Until(due)
	return max(left-min(left/10, most), time.Nanosecond)
}

func (n *Node) forwardOne(ctx context.Context, call *rpc.Call) ForwardAnswer {
	start := time.Now()
	err := n.Invoke(ctx, call)
	a := ForwardAnswer{Node: call.Peer, ElapsedUS: time.Since(start).Microseconds()}
	if err != nil {
		e := rpc.AsError(err)
		a.Code, a.Message, a.Detail = e.Code, e.Message, e.Detail
		a.Pushback, a.NotExecuted = e.Pushback(), rpc.NotExecuted(e)
		return a
	}
	if reply, ok := call.Reply.(*[]byte); ok {
		a.Body = *reply
	}
	return a
}

func (n *Node) forwardMany(ctx context.Context, call *rpc.Call) (*ForwardReply, error) {
	peers, err := n.Targets(ctx, call.Dest)
	if err != nil {
		return nil, err
	}
	reply := &ForwardReply{Answers: make([]ForwardAnswer, len(peers))}
	var wg sync.WaitGroup
	for i, peer := range peers {
		one := *call
		one.Metadata = maps.Clone(call.Metadata)
		one.Dest = rpc.Dest{Kind: rpc.ToPeer, Peer: peer}
		wg.Go(func() {
			// This stands if an interceptor ends the goroutine.
			reply.Answers[i] = ForwardAnswer{Node: peer, Code: rpc.Internal, Message: "the call was cut short"}
			a := n.forwardOne(ctx, &one)
			a.Node = peer
			reply.Answers[i] = a
		})
	}
	wg.Wait()
	return reply, nil
}
