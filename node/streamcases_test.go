package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshnode/meshnode/rpc"
)

type rawServer = rpc.ServerStream[[]byte, []byte]

// observeEnd waits for the end of a handler's context and tells what its stream is then.
func observeEnd(ctx context.Context, s *rawServer, told chan<- string) error {
	_, err := s.Recv()
	<-ctx.Done()
	told <- fmt.Sprintf("%s, %s, %v, %v", ending(err), untilSendFails(s.Send), ctx.Err(), context.Cause(ctx))
	return ctx.Err()
}

// streamDeadlines is what a deadline does, whoever gave it.
func streamDeadlines() []streamCase {
	const soon = 80 * time.Millisecond
	const late = "DeadlineExceeded: the stream did not end within its deadline"
	var all []streamCase
	for name, how := range map[string]struct {
		opts []rpc.MethodOption
		call []rpc.CallOption
		ctx  bool
	}{
		"method": {opts: []rpc.MethodOption{rpc.DefaultTimeout(soon)}}, "call": {call: []rpc.CallOption{rpc.Timeout(soon)}}, "context": {ctx: true},
	} {
		read := func(t *testing.T, open opener) string {
			ctx, cancel := context.WithCancel(t.Context())
			if how.ctx {
				ctx, cancel = context.WithTimeout(t.Context(), soon)
			}
			defer cancel()
			s := open(ctx, how.call...)
			_, err := s.Recv()
			return ending(err) + ", " + untilSendFails(s.Send)
		}
		all = append(
			all,
			streamCase{name: "deadline of the " + name, opts: how.opts, call: func(t *testing.T, open opener) string {
				got := read(t, open)
				code, _, _ := strings.Cut(got, ":") // what the handler makes of it may arrive first
				return code
			}, serve: observeEnd, want: "DeadlineExceeded | " + late + ", " + late + ", context deadline exceeded, context deadline exceeded"},
			streamCase{
				name: "deadline of the " + name + ", ignored", opts: how.opts, call: read, want: late + ", " + late + " | gone on",
				serve: func(ctx context.Context, s *rawServer, told chan<- string) error {
					for { // until the caller's end is known here, too, but never because of ctx
						if _, err := s.Recv(); err != nil {
							break
						}
					}
					<-time.After(soon / 2)
					told <- "gone on"
					return nil
				},
			},
		)
	}
	return append(all, streamCase{
		name: "unread behind the deadline", opts: []rpc.MethodOption{rpc.DefaultTimeout(soon)},
		want: "[0 1 2 3 4 5 6 7 8 9] EOF, EOF | fine",
		serve: func(_ context.Context, s *rawServer, told chan<- string) error {
			told <- ending(sendTen(s.Send))
			return nil
		},
		call: func(t *testing.T, open opener) string {
			s := open(t.Context())
			untilSendFails(s.Send) // the handler's end is known here
			<-time.After(soon + soon/2)
			return drain(s.Recv)
		},
	})
}

// streamCancels is what the end of either side does to the other.
func streamCancels() []streamCase {
	const canceled = "Canceled: the stream was canceled"
	const told = canceled + ", " + canceled + ", context canceled, context canceled"
	return []streamCase{
		{name: "the caller's context", serve: observeEnd, want: canceled + ", " + canceled + " | " + told, call: func(t *testing.T, open opener) string {
			ctx, cancel := context.WithCancelCause(t.Context())
			s := open(ctx)
			cancel(errors.New("a cause"))
			_, err := s.Recv()
			return ending(err) + ", " + untilSendFails(s.Send)
		}},
		{name: "Close", serve: observeEnd, want: "Canceled: this side has ended the stream, " + canceled + " | " + told, call: func(t *testing.T, open opener) string {
			s := open(t.Context())
			s.Close()
			_, err := s.Recv()
			return ending(err) + ", " + untilSendFails(s.Send)
		}},
		{name: "Close while both wait", serve: func(ctx context.Context, s *rawServer, told chan<- string) error {
			<-ctx.Done()
			told <- "done"
			return nil
		}, want: canceled + ", " + canceled + " | done", call: func(t *testing.T, open opener) string {
			s := open(t.Context())
			received, sent := make(chan string), make(chan string)
			go func() { _, err := s.Recv(); received <- ending(err) }()
			go func() { sent <- untilSendFails(s.Send) }() // fills the window
			s.Close()
			got := await(t, "Recv", received)
			if got == "Canceled: this side has ended the stream" { // it began after Close
				got = canceled
			}
			return got + ", " + await(t, "Send", sent)
		}},
		{name: "the handler returns while the caller sends", serve: func(_ context.Context, s *rawServer, told chan<- string) error {
			_, err := s.Recv()
			told <- ending(err)
			return rpc.Errorf(rpc.PermissionDenied, "enough")
		}, want: "EOF [] PermissionDenied: enough, PermissionDenied: enough | fine", call: func(t *testing.T, open opener) string {
			s := open(t.Context())
			return untilSendFails(s.Send) + " " + drain(s.Recv)
		}},
	}
}

// streamLimits is how much goes through.
func streamLimits() []streamCase {
	const tooLong = "ResourceExhausted: a message exceeds what one of the nodes accepts"
	lengths := func(recv func() (*[]byte, error)) (all string) {
		for {
			msg, err := recv()
			if err != nil {
				return all + ending(err)
			}
			all += fmt.Sprint(len(*msg), " ")
		}
	}
	sizes := []int{0, streamBody, streamBody + 1, 1, streamWindow, 1 << 20}
	send := func(send func(*[]byte) error) (all string) {
		for _, size := range sizes {
			b := make([]byte, size)
			all += ending(send(&b)) + ", "
		}
		return all
	}
	takes := make(map[string]chan struct{}) // by path: the handler that holds back may go on
	for _, path := range []string{"local", "tcp", "tls", "simulated"} {
		takes[path] = make(chan struct{})
	}
	const sent = "fine, fine, " + tooLong + ", fine, fine, " + tooLong + ", "
	const arrived = "0 40960 1 8192 EOF"
	return []streamCase{
		{name: "messages to the handler", want: sent + "| " + arrived, serve: func(_ context.Context, s *rawServer, told chan<- string) error {
			told <- lengths(s.Recv)
			return nil
		}, call: func(t *testing.T, open opener) string {
			s := open(t.Context())
			all := send(s.Send)
			if err := s.CloseSend(); err != nil {
				return ending(err)
			}
			return strings.TrimSuffix(all, " ")
		}},
		{name: "messages to the caller", want: arrived + " | " + sent, serve: func(_ context.Context, s *rawServer, told chan<- string) error {
			told <- send(s.Send)
			return nil
		}, call: func(t *testing.T, open opener) string { return lengths(open(t.Context()).Recv) }},
		{
			name: "detail of an error", serve: func(_ context.Context, _ *rawServer, told chan<- string) error {
				told <- "returned"
				return &rpc.Error{Code: rpc.Internal, Detail: make([]byte, streamBody+1)}
			}, want: `ResourceExhausted, message "the reply (40961 bytes) exceeds the caller's limit of 40960 bytes", detail [], retry after -1ns | returned`,
			call: func(t *testing.T, open opener) string { _, err := open(t.Context()).Recv(); return ending(err) },
		},
		{name: "back-pressure", want: "62 then 100 | 100 EOF", serve: func(ctx context.Context, s *rawServer, told chan<- string) error {
			if err := s.Send(text("I take nothing yet")); err != nil {
				return err
			}
			<-takes[pathOf(ctx)]
			n := 0
			for {
				if _, err := s.Recv(); err != nil {
					told <- fmt.Sprint(n, " ", ending(err))
					return nil
				}
				n++
			}
		}, call: func(t *testing.T, open opener) string {
			s := open(t.Context())
			if _, err := s.Recv(); err != nil {
				return ending(err)
			}
			var sent atomic.Int64
			done := make(chan error)
			go func() {
				msg := make([]byte, 100) // which costs 132 of the window
				for range 100 {
					if err := s.Send(&msg); err != nil {
						done <- err
						return
					}
					sent.Add(1)
				}
				done <- s.CloseSend()
			}()
			eventually(t, "a full window", func() error {
				if sent.Load() < streamWindow/132 {
					return errors.New("it is not")
				}
				return nil
			})
			full := sent.Load()
			takes[strings.Split(t.Name(), "/")[1]] <- struct{}{}
			if err := await(t, "all sent", done); err != nil {
				return ending(err)
			}
			return fmt.Sprint(full, " then ", sent.Load())
		}},
	}
}

// streamStalls is what becomes of a sender whose messages nobody takes.
func streamStalls() []streamCase {
	const stalled = "Unavailable: transport: the other side has stopped taking data"
	long := make([]byte, streamBody)
	return []streamCase{
		{name: "between messages", want: stalled + ", " + stalled + " | " + stalled, serve: func(ctx context.Context, s *rawServer, told chan<- string) error {
			told <- untilSendFails(s.Send)
			<-ctx.Done()
			return nil
		}, call: func(t *testing.T, open opener) string {
			s := open(t.Context())
			return untilSendFails(s.Send) + ", " + untilSendFails(s.Send)
		}},
		{name: "within a message", want: stalled + ", " + stalled + " | gone", serve: func(ctx context.Context, s *rawServer, told chan<- string) error {
			<-ctx.Done()
			told <- "gone"
			return nil
		}, call: func(t *testing.T, open opener) string {
			s := open(t.Context())
			defer s.Close()
			return ending(s.Send(&long)) + ", " + ending(s.Send(text("x")))
		}},
	}
}

// streamContexts is what a handler knows of its stream, and who owns messages.
func streamContexts() []streamCase {
	return []streamCase{
		{name: "context and metadata", want: "[] EOF, EOF | <nil> false M v", serve: func(ctx context.Context, _ *rawServer, told chan<- string) error {
			_, bounded := ctx.Deadline()
			info, _ := rpc.InfoFrom(ctx)
			told <- fmt.Sprint(ctx.Value(valueKey{}), " ", bounded, " ", info.Method, " ", info.Metadata["k"])
			info.Metadata["k"] = "changed"
			return nil
		}, call: func(t *testing.T, open opener) string {
			ctx := context.WithValue(t.Context(), valueKey{}, 1)
			return drain(open(ctx, rpc.WithMetadata("k", "v")).Recv)
		}},
		{name: "messages are nobody else's", want: "[one two] EOF, EOF | [one two] EOF, EOF", serve: func(_ context.Context, s *rawServer, told chan<- string) error {
			var kept []*[]byte
			for msg, err := range s.All() {
				if err != nil {
					return err
				}
				kept = append(kept, msg)
				buf := append([]byte(nil), *msg...)
				if err := s.Send(&buf); err != nil {
					return err
				}
				copy(buf, "XXXXX")
			}
			var all []string
			for _, msg := range kept {
				all = append(all, string(*msg))
			}
			told <- fmt.Sprint(all, " EOF, EOF")
			return nil
		}, call: func(t *testing.T, open opener) string {
			s := open(t.Context())
			for _, word := range []string{"one", "two"} {
				buf := []byte(word)
				if err := s.Send(&buf); err != nil {
					return ending(err)
				}
				copy(buf, "YYYYY")
			}
			if err := s.CloseSend(); err != nil {
				return ending(err)
			}
			return drain(s.Recv)
		}},
	}
}
