package main

import (
	"context"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"storj.io/drpc"
	"storj.io/drpc/drpcconn"
	"storj.io/drpc/drpcmux"
	"storj.io/drpc/drpcpool"
	"storj.io/drpc/drpcserver"
)

const drpcMethod = "/bench.Echo/Unary"

// drpcService is the implementation.
type drpcService struct{}

func (drpcService) unary(_ context.Context, in *wrapperspb.BytesValue) (*wrapperspb.BytesValue, error) {
	return in, nil
}

// drpcDesc is what protoc-gen-go-drpc writes for the service.
type drpcDesc struct{}

// NumMethods implements drpc.Description.
func (drpcDesc) NumMethods() int { return 1 }

// Method implements drpc.Description.
func (drpcDesc) Method(n int) (string, drpc.Encoding, drpc.Receiver, any, bool) {
	receive := func(srv any, ctx context.Context, in, _ any) (drpc.Message, error) {
		return srv.(drpcService).unary(ctx, in.(*wrapperspb.BytesValue))
	}
	return drpcMethod, drpcProto{}, receive, drpcService.unary, n == 0
}

// drpcProto is the encoding that protoc-gen-go-drpc writes.
type drpcProto struct{}

// Marshal implements drpc.Encoding.
func (drpcProto) Marshal(msg drpc.Message) ([]byte, error) { return proto.Marshal(msg.(proto.Message)) }

// MarshalAppend spares a copy.
func (drpcProto) MarshalAppend(buf []byte, msg drpc.Message) ([]byte, error) {
	return proto.MarshalOptions{}.MarshalAppend(buf, msg.(proto.Message))
}

// Unmarshal implements drpc.Encoding.
func (drpcProto) Unmarshal(buf []byte, msg drpc.Message) error {
	return proto.Unmarshal(buf, msg.(proto.Message))
}

// drpcPeer is drpc with protobuf. One of its connections serves one call at a
// time, so concurrent callers need several: the pool that drpc ships dials one
// whenever all are busy, which makes as many as there are callers.
type drpcPeer struct {
	pool   *drpcpool.Pool[string, *drpcconn.Conn]
	conn   drpc.Conn
	cancel context.CancelFunc
	served chan struct{}
}

func startDRPC(ctx context.Context) (Peer, error) {
	ln, err := listen(ctx)
	if err != nil {
		return nil, err
	}
	mux := drpcmux.New()
	if err := mux.Register(drpcService{}, drpcDesc{}); err != nil {
		_ = ln.Close()
		return nil, err
	}
	serving, cancel := context.WithCancel(context.Background())
	p := &drpcPeer{cancel: cancel, served: make(chan struct{})}
	go func() {
		defer close(p.served)
		_ = drpcserver.New(mux).Serve(serving, ln)
	}()
	p.pool = drpcpool.New[string, *drpcconn.Conn](drpcpool.Options{})
	p.conn = p.pool.Get(ctx, "server", func(ctx context.Context, _ string) (*drpcconn.Conn, error) {
		nc, err := dial(ctx, ln)
		if err != nil {
			return nil, err
		}
		return drpcconn.New(nc), nil
	})
	return p, nil
}

// Caller implements Peer.
func (p *drpcPeer) Caller(body []byte) func() ([]byte, error) {
	ctx := context.Background()
	in := wrapperspb.Bytes(body)
	return func() ([]byte, error) {
		out := new(wrapperspb.BytesValue)
		if err := p.conn.Invoke(ctx, drpcMethod, drpcProto{}, in, out); err != nil {
			return nil, err
		}
		return out.GetValue(), nil
	}
}

// Close implements Peer.
func (p *drpcPeer) Close() {
	_ = p.conn.Close()
	_ = p.pool.Close()
	p.cancel()
	<-p.served
}
