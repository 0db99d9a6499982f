package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/meshnode/meshnode/internal/simnet"
	"github.com/meshnode/meshnode/rpc"
)

// streamCase is something that the two ends of a stream observe. What the caller returns and what
// the handler tells, parted by " | ", must be want wherever the stream is served.
type streamCase struct {
	name string
	opts []rpc.MethodOption
	want string
	// serve is the handler. Its last word to told is what it has observed.
	serve func(ctx context.Context, s *rpc.ServerStream[[]byte, []byte], told chan<- string) error
	call  func(t *testing.T, open opener) string
}

type (
	rawClient = rpc.ClientStream[[]byte, []byte]
	// opener opens the stream of a case.
	opener func(ctx context.Context, opts ...rpc.CallOption) *rawClient
)

const (
	streamBody   = 40 << 10 // MaxBody of the nodes, in bytes
	streamWindow = 8 << 10  // bytes
)

// streamPaths are the ways that a stream can take.
func streamPaths(t *testing.T, edit func(*Config)) map[string][2]*Node {
	build := func(name string, with func(l *lab)) []*Node {
		l := newLab(t)
		l.name += name
		with(l)
		more := l.edit
		l.edit = func(cfg *Config) {
			cfg.Limits.Transport.MaxBody, cfg.Limits.Transport.Window = streamBody, streamWindow
			if more != nil {
				more(cfg)
			}
			edit(cfg)
		}
		return l.cluster("a", "b")
	}
	tcp := build("tcp", func(*lab) {})
	tls := build("tls", func(l *lab) { l.secure() })
	simulated := build("sim", func(l *lab) {
		network, hosts := simnet.New(simnet.Config{Seed: 1}), byte(0)
		l.edit = func(cfg *Config) {
			hosts++
			addr := netip.AddrFrom4([4]byte{10, 0, 0, hosts})
			cfg.Network, cfg.Bind = network.Host(cfg.Name, addr).Boot(), netip.AddrPortFrom(addr, 7101).String()
		}
	})
	return map[string][2]*Node{ // who opens, who serves
		"local": {tcp[1], tcp[1]}, "tcp": {tcp[0], tcp[1]}, "tls": {tls[0], tls[1]}, "simulated": {simulated[0], simulated[1]},
	}
}

// Neither end of a stream can observe whether it is within one process, nor what network it takes.
func TestStreamsConform(t *testing.T) {
	t.Parallel()
	var cases []streamCase
	for _, some := range [][]streamCase{streamEnds(), streamDeadlines(), streamCancels(), streamLimits(), streamContexts()} {
		cases = append(cases, some...)
	}
	conformStreams(t, streamPaths(t, func(*Config) {}), cases)
}

// The other side takes nothing for long: whoever sends learns of it, and a message that was cut
// short is not continued.
func TestStreamsStallAlike(t *testing.T) {
	t.Parallel()
	const stall = 50 * time.Millisecond
	conformStreams(t, streamPaths(t, func(cfg *Config) { cfg.Limits.Transport.StallTimeout = stall }), streamStalls())
}

func conformStreams(t *testing.T, paths map[string][2]*Node, cases []streamCase) {
	told := make(map[string]chan string)
	for path := range paths {
		told[path] = make(chan string, 1)
	}
	var streams []rpc.Stream[[]byte, []byte]
	for i, c := range cases {
		m := rpc.NewStream[[]byte, []byte](fmt.Sprint("conform.S", i), c.opts...)
		streams = append(streams, m)
		for path, nodes := range paths {
			if path != "local" { // which the node of tcp serves
				m.Handle(nodes[1], func(ctx context.Context, s *rpc.ServerStream[[]byte, []byte]) error {
					return c.serve(ctx, s, told[pathOf(ctx)])
				})
			}
		}
	}
	for path, nodes := range paths {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			for i, c := range cases {
				t.Run(c.name, func(t *testing.T) {
					open := func(ctx context.Context, opts ...rpc.CallOption) *rawClient {
						s, err := streams[i].Open(ctx, nodes[0], append(opts, rpc.Peer("b"), rpc.WithMetadata("path", path))...)
						if err != nil {
							t.Fatal(err)
						}
						t.Cleanup(s.Close)
						return s
					}
					got := c.call(t, open) + " | " + await(t, "the handler's end", told[path])
					if got = strings.ReplaceAll(got, streams[i].Name(), "M"); got != c.want {
						t.Errorf("observed %q, want %q", got, c.want)
					}
				})
			}
		})
	}
}

// pathOf is the path of the stream that a handler serves.
func pathOf(ctx context.Context) string {
	info, _ := rpc.InfoFrom(ctx)
	return info.Metadata["path"]
}

// drain receives all messages and says what they were and how the stream ended, twice.
func drain(recv func() (*[]byte, error)) string {
	var all []string
	for {
		msg, err := recv()
		if err != nil {
			_, again := recv()
			return fmt.Sprintf("%v %s, %s", all, ending(err), ending(again))
		}
		all = append(all, string(*msg))
	}
}

// ending says how an operation on a stream has failed.
func ending(err error) string {
	var e *rpc.Error
	switch {
	case err == nil:
		return "fine"
	case err == io.EOF:
		return "EOF"
	case errors.As(err, &e) && len(e.Detail) == 0 && e.RetryAfter == 0:
		return e.Error()
	}
	return told(err)
}

// untilSendFails sends until the end of the stream is known on this side.
func untilSendFails(send func(*[]byte) error) string {
	for {
		if err := send(&[]byte{'x'}); err != nil {
			return ending(err)
		}
	}
}

func text(s string) *[]byte { b := []byte(s); return &b }

// sendTen sends 0 to 9.
func sendTen(send func(*[]byte) error) error {
	for i := range 10 {
		if err := send(text(fmt.Sprint(i))); err != nil {
			return err
		}
	}
	return nil
}

// streamEnds is what arrives before the handler's end, and what becomes of both sides after it.
func streamEnds() []streamCase {
	const ten = "[0 1 2 3 4 5 6 7 8 9] "
	failed := &rpc.Error{Code: rpc.AlreadyExists, Message: "m", Detail: []byte{7}, RetryAfter: 2 * time.Second}
	end := func(result func() error) func(context.Context, *rpc.ServerStream[[]byte, []byte], chan<- string) error {
		return func(_ context.Context, s *rpc.ServerStream[[]byte, []byte], told chan<- string) error {
			err := sendTen(s.Send)
			told <- ending(err)
			if err != nil {
				return err
			}
			return result()
		}
	}
	var all []streamCase
	for name, how := range map[string]struct {
		opts []rpc.MethodOption
		call []rpc.CallOption
		ctx  bool
	}{
		"no deadline": {}, "deadline of the method": {opts: []rpc.MethodOption{rpc.DefaultTimeout(patience)}},
		"deadline of the call": {call: []rpc.CallOption{rpc.Timeout(patience)}}, "deadline of the context": {ctx: true},
	} {
		read := func(t *testing.T, open opener) string {
			ctx, cancel := context.WithCancel(t.Context())
			if how.ctx {
				ctx, cancel = context.WithTimeout(t.Context(), patience)
			}
			defer cancel()
			return drain(open(ctx, how.call...).Recv)
		}
		failure := `AlreadyExists, message "m", detail [7], retry after 2s`
		all = append(
			all,
			streamCase{name: "success, " + name, opts: how.opts, call: read, serve: end(func() error { return nil }), want: ten + "EOF, EOF | fine"},
			streamCase{
				name: "error, " + name, opts: how.opts, call: read, serve: end(func() error { return failed }),
				want: ten + failure + ", " + failure + " | fine",
			},
			streamCase{
				name: "panic, " + name, opts: how.opts, call: read, serve: end(func() error { panic("x") }),
				want: ten + "Internal: the handler of M panicked; the log of node b has the stack, " +
					"Internal: the handler of M panicked; the log of node b has the stack | fine",
			},
		)
	}
	return append(all, []streamCase{
		{
			name: "after the end", want: "[] EOF, EOF EOF then Canceled: this side has ended the stream EOF fine | EOF Canceled: this side has ended the stream",
			serve: func(_ context.Context, s *rpc.ServerStream[[]byte, []byte], told chan<- string) error {
				go func() { // a goroutine that outlives its handler
					sent := untilSendFails(func(*[]byte) error { return s.Send(text("")) })
					_, err := s.Recv()
					told <- sent + " " + ending(err)
				}()
				return nil
			},
			call: func(t *testing.T, open opener) string {
				s := open(t.Context())
				for msg, err := s.Recv(); err == nil && len(*msg) == 0; msg, err = s.Recv() {
				}
				all := drain(s.Recv) + " " + untilSendFails(s.Send)
				s.Close()
				_, err := s.Recv()
				return all + " then " + ending(err) + " " + ending(s.Send(text("x"))) + " " + ending(s.CloseSend())
			},
		},
		{
			name: "the caller closes its half", want: "[0 1 2] EOF, EOF FailedPrecondition: a message was sent behind CloseSend fine | [0 1 2] EOF, EOF",
			serve: func(_ context.Context, s *rpc.ServerStream[[]byte, []byte], told chan<- string) error {
				told <- drain(func() (*[]byte, error) {
					msg, err := s.Recv()
					if err == nil {
						err = s.Send(msg)
					}
					return msg, err
				})
				return nil
			},
			call: func(t *testing.T, open opener) string {
				s := open(t.Context())
				for i := range 3 {
					if err := s.Send(text(fmt.Sprint(i))); err != nil {
						return ending(err)
					}
				}
				if err := s.CloseSend(); err != nil {
					return ending(err)
				}
				late := ending(s.Send(text("late")))
				return drain(s.Recv) + " " + late + " " + ending(s.CloseSend())
			},
		},
	}...)
}
