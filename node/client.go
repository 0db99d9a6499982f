package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// ClientConfig says how a Client connects. The zero value will do.
type ClientConfig struct {
	Cluster string            // refuse nodes of any other; empty: take any
	Network transport.Network // nil: the operating system
	Timeout time.Duration     // of calls that have no deadline; 0: DefaultCallTimeout
	TLS     *transport.TLS    // nil: a plain stream, which clusters with TLS refuse
	Limits  transport.Limits  // zero fields: the transport's defaults
	Logger  zerolog.Logger    // zero: nothing is logged
}

// Client makes calls from outside of the mesh, through one node: it is no
// member and owns nothing. Calls to rpc.Any reach that very node; what goes to
// a key, a peer or all is forwarded by it.
//
// Methods must be idempotent to be tried again by the node when an outcome is
// unknown; the client itself never sends a call twice.
type Client struct {
	endpoint *transport.Endpoint
	peer     *transport.Peer
	timeout  time.Duration
	bodies   bodies
	started  time.Time
}

// Dial connects to the node at addr ("ip:port" or "host:port").
func Dial(ctx context.Context, addr string, cfg ClientConfig) (*Client, error) {
	if cfg.Network == nil {
		cfg.Network = transport.System()
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultCallTimeout
	}
	resolved, err := resolve(ctx, cfg.Network, addr)
	if err != nil {
		return nil, err
	}
	ep, err := transport.NewEndpoint(transport.Config{
		Network: cfg.Network, Cluster: cfg.Cluster, TLS: cfg.TLS, Limits: cfg.Limits, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	c := &Client{endpoint: ep, peer: ep.Peer("", resolved), timeout: cfg.Timeout, started: time.Now()}
	c.bodies.limit = ep.Limits().MaxBody
	if _, err := c.peer.Conn(ctx); err != nil {
		ep.Close()
		return nil, fmt.Errorf("cannot reach a node at %s: %w", addr, cause(err))
	}
	return c, nil
}

// cause strips what says whether a call was sent: none was.
func cause(err error) error {
	var ce *transport.CallError
	if errors.As(err, &ce) {
		return ce.Err
	}
	return err
}

// Close ends the connection.
func (c *Client) Close() { c.endpoint.Close() }

// Invoke implements rpc.Caller.
func (c *Client) Invoke(ctx context.Context, call *rpc.Call) error {
	return clientError(call, c.invoke(ctx, call))
}

// clientError returns the error of a call in its final form.
func clientError(call *rpc.Call, err error) error {
	if err == nil {
		return nil
	}
	return rpc.AsError(err).MarkNotExecuted(!call.Reached())
}

func (c *Client) invoke(ctx context.Context, call *rpc.Call) error {
	if err := ctx.Err(); err != nil {
		return endOf(ctx, call)
	}
	if err := checkOwn(call); err != nil {
		return err
	}
	switch call.Dest.Kind {
	case rpc.ToAny:
		return c.direct(ctx, call)
	case rpc.ToKey, rpc.ToPeer:
		return c.forwarded(ctx, call)
	}
	return rpc.Errorf(rpc.InvalidArgument, "a call to rpc.%s has many destinations; use Gather", call.Dest.Kind)
}

// direct calls the node that the client is connected to.
func (c *Client) direct(ctx context.Context, call *rpc.Call) error {
	body, err := call.Spec.EncodeRequest(nil, call.Req, c.bodies.guard())
	if err != nil {
		return err
	}
	req := transport.Request{Method: call.Spec.Name(), Body: body, Deadline: c.due(ctx, call), Into: call.Into}
	req.Meta = transport.Meta{
		Partition: transport.NoPartition, Priority: uint8(priorityOf(call)), User: pairsOf(call.Metadata),
	}
	bounded, cancel := context.WithDeadline(ctx, req.Deadline)
	defer cancel()
	conn, err := c.peer.Conn(bounded)
	if err != nil {
		return failedAt(bounded, call, err)
	}
	limit := conn.MaxBody()
	if len(body) <= limit { // else it is refused as it is
		req.Body, _, req.Meta.Encoding = c.bodies.shrink(nil, body, call.Spec.Compression())
	}
	var reply *transport.Reply
	if call.OneWay {
		limit = min(limit, transport.MaxOneWay)
		err = conn.Notify(&req)
	} else {
		reply, err = conn.Call(ctx, &req)
	}
	if err != nil || call.OneWay {
		failed := failedAt(ctx, call, err)
		if tooLarge(err) {
			failed = tooLong(call.Spec, len(body), limit, conn.Peer().Name)
		}
		return failed
	}
	defer reply.Release()
	call.AnsweredBy(conn.Peer().Name)
	if !reply.Meta.Refused {
		call.MarkReached()
	}
	if reply.Code != transport.CodeOK {
		return errorOf(reply)
	}
	if call.Reply, err = c.bodies.decodeReply(call, reply); err != nil {
		return rpc.Errorf(rpc.Internal, "reply of %s: %v", call.Spec.Name(), err)
	}
	return nil
}

func (c *Client) due(ctx context.Context, call *rpc.Call) time.Time {
	due, _, _ := dueOf(ctx, call, c.timeout, c.started)
	return due
}

// failedAt puts a transport's error in the terms of a caller, and notes whether the call may have
// been executed; nil stays nil.
func failedAt(ctx context.Context, call *rpc.Call, err error) error {
	if err == nil {
		return nil
	}
	if !transport.IsUnsent(err) {
		call.MarkReached()
	}
	switch {
	case ctx.Err() != nil:
		return endOf(ctx, call)
	case isLate(err):
		return rpc.Errorf(rpc.DeadlineExceeded, "no answer to %s within the deadline", call.Spec.Name())
	}
	return rpc.Errorf(rpc.Unavailable, "%v", err)
}

// endOf is the error of a call whose context has ended.
func endOf(ctx context.Context, call *rpc.Call) *rpc.Error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return rpc.Errorf(rpc.DeadlineExceeded, "no answer to %s within the deadline", call.Spec.Name())
	}
	return rpc.Errorf(rpc.Canceled, "the call of %s was canceled", call.Spec.Name())
}

// isLate reports whether err says that the call's own time was up. It compares and does not
// unwrap: a dial that timed out is no deadline of the call.
func isLate(err error) bool {
	var ce *transport.CallError
	return err == context.DeadlineExceeded || errors.As(err, &ce) && ce.Err == context.DeadlineExceeded
}

// errorOf is the error that a reply carries.
func errorOf(reply *transport.Reply) *rpc.Error {
	e := &rpc.Error{Code: rpc.Code(reply.Code), Message: string(reply.Meta.Message)}
	if len(reply.Body) > 0 {
		e.Detail = append([]byte(nil), reply.Body...)
	}
	e.RetryAfter = rpc.RetryAfterOf(reply.Meta.Pushback)
	return e
}

// forwarded has the node carry the call.
func (c *Client) forwarded(ctx context.Context, call *rpc.Call) error {
	body, err := call.Spec.EncodeRequest(nil, call.Req, c.bodies.guard())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithDeadline(ctx, c.due(ctx, call))
	defer cancel()
	reply, err := Forward.Call(ctx, c, forwardRequest(call, body))
	if err != nil {
		if !rpc.NotExecuted(err) {
			call.MarkReached()
		}
		return err
	}
	if len(reply.Answers) != 1 {
		return rpc.Errorf(rpc.Internal, "%d answers to a call that went to one node", len(reply.Answers))
	}
	a := &reply.Answers[0]
	if a.Node != "" {
		call.AnsweredBy(a.Node)
	}
	if !a.NotExecuted {
		call.MarkReached()
	}
	if err := a.Err(); err != nil {
		return err
	}
	if call.OneWay {
		return nil
	}
	if call.Reply, err = call.Spec.DecodeReply(a.Body); err != nil {
		return rpc.Errorf(rpc.Internal, "reply of %s: %v", call.Spec.Name(), err)
	}
	return nil
}

// Targets implements rpc.Caller: it asks the node.
func (c *Client) Targets(ctx context.Context, dest rpc.Dest) ([]string, error) {
	switch dest.Kind {
	case rpc.ToAll:
		return c.liveMembers(ctx)
	case rpc.ToOwners:
		reply, err := Owner.Call(ctx, c, &OwnerRequest{Keys: []string{dest.Key}, N: dest.N})
		if err != nil {
			return nil, err
		}
		if len(reply.Owners) != 1 || len(reply.Owners[0].Owners) == 0 {
			return nil, rpc.Errorf(rpc.Unavailable, "the node knows no owner of the key")
		}
		return reply.Owners[0].Owners, nil
	}
	return nil, rpc.Errorf(rpc.InvalidArgument, "rpc.%s is not a destination of many", dest.Kind)
}

func (c *Client) liveMembers(ctx context.Context) ([]string, error) {
	reply, err := Members.Call(ctx, c, &MembersRequest{})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, m := range reply.Members {
		if m.State == "alive" || m.State == "suspect" {
			names = append(names, m.Name)
		}
	}
	return names, nil
}
