package main

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	grpcUnary  = "/bench.Echo/Unary"
	grpcStream = "/bench.Echo/Stream"
)

// grpcEcho is what protoc would call EchoServer.
type grpcEcho interface {
	unary(ctx context.Context, in *wrapperspb.BytesValue) (*wrapperspb.BytesValue, error)
	stream(stream grpc.ServerStream) error
}

// grpcService is the implementation.
type grpcService struct{}

func (grpcService) unary(_ context.Context, in *wrapperspb.BytesValue) (*wrapperspb.BytesValue, error) {
	return in, nil
}

func (grpcService) stream(stream grpc.ServerStream) error {
	for {
		in := new(wrapperspb.BytesValue)
		if err := stream.RecvMsg(in); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := stream.SendMsg(in); err != nil {
			return err
		}
	}
}

// grpcDesc is the description that protoc-gen-go-grpc writes for
//
//	service Echo {
//	  rpc Unary(google.protobuf.BytesValue) returns (google.protobuf.BytesValue);
//	  rpc Stream(stream google.protobuf.BytesValue) returns (stream google.protobuf.BytesValue);
//	}
func grpcDesc() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: "bench.Echo",
		HandlerType: (*grpcEcho)(nil),
		Methods: []grpc.MethodDesc{{
			MethodName: "Unary",
			Handler: func(srv any, ctx context.Context, dec func(any) error, between grpc.UnaryServerInterceptor) (any, error) {
				in := new(wrapperspb.BytesValue)
				if err := dec(in); err != nil {
					return nil, err
				}
				if between == nil {
					return srv.(grpcEcho).unary(ctx, in)
				}
				info := &grpc.UnaryServerInfo{Server: srv, FullMethod: grpcUnary}
				return between(ctx, in, info, func(ctx context.Context, req any) (any, error) {
					return srv.(grpcEcho).unary(ctx, req.(*wrapperspb.BytesValue))
				})
			},
		}},
		Streams: []grpc.StreamDesc{{
			StreamName: "Stream", ServerStreams: true, ClientStreams: true,
			Handler: func(srv any, stream grpc.ServerStream) error { return srv.(grpcEcho).stream(stream) },
		}},
	}
}

// grpcPeer is grpc-go with protobuf and everything else as it comes: the
// default windows, buffers and goroutine per call, no TLS.
type grpcPeer struct {
	server *grpc.Server
	conn   *grpc.ClientConn
	served chan struct{}
}

func dialGRPC(ctx context.Context) (*grpcPeer, error) {
	ln, err := listen(ctx)
	if err != nil {
		return nil, err
	}
	p := &grpcPeer{server: grpc.NewServer(), served: make(chan struct{})}
	p.server.RegisterService(grpcDesc(), grpcService{})
	go func() {
		defer close(p.served)
		_ = p.server.Serve(ln)
	}()
	p.conn, err = grpc.NewClient(ln.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func startGRPC(ctx context.Context) (Peer, error) { return dialGRPC(ctx) }

// Caller implements Peer.
func (p *grpcPeer) Caller(body []byte) func() ([]byte, error) {
	ctx := context.Background()
	in := wrapperspb.Bytes(body)
	return func() ([]byte, error) {
		out := new(wrapperspb.BytesValue)
		if err := p.conn.Invoke(ctx, grpcUnary, in, out); err != nil {
			return nil, err
		}
		return out.GetValue(), nil
	}
}

// Close implements Peer.
func (p *grpcPeer) Close() {
	if p.conn != nil {
		_ = p.conn.Close()
	}
	p.server.Stop()
	<-p.served
}

// grpcStreamPeer is one bidirectional stream.
type grpcStreamPeer struct {
	*grpcPeer
	stream grpc.ClientStream
	cancel context.CancelFunc
}

func startGRPCStream(ctx context.Context) (Stream, error) {
	peer, err := dialGRPC(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := peer.conn.NewStream(ctx, &grpcDesc().Streams[0], grpcStream)
	if err != nil {
		cancel()
		peer.Close()
		return nil, err
	}
	return &grpcStreamPeer{grpcPeer: peer, stream: stream, cancel: cancel}, nil
}

// Send implements Stream.
func (p *grpcStreamPeer) Send(body []byte) error { return p.stream.SendMsg(wrapperspb.Bytes(body)) }

// CloseSend implements Stream.
func (p *grpcStreamPeer) CloseSend() error { return p.stream.CloseSend() }

// Recv implements Stream.
func (p *grpcStreamPeer) Recv() ([]byte, error) {
	out := new(wrapperspb.BytesValue)
	if err := p.stream.RecvMsg(out); err != nil {
		return nil, err
	}
	return out.GetValue(), nil
}

// Close implements Stream.
func (p *grpcStreamPeer) Close() {
	p.cancel()
	p.grpcPeer.Close()
}
