package node

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// limits is how much goes through.
func limits() []behaviour {
	sizes := func(c *conform, send, reply int) observe {
		m := serves(c, func(context.Context, *[]byte) (*[]byte, error) { b := make([]byte, reply); return &b, nil })
		return func(from *Node, to rpc.CallOption) string {
			req := make([]byte, send)
			got, err := m.Call(c.t.Context(), from, &req, to)
			if err != nil {
				return strings.ReplaceAll(told(err), c.name, "M")
			}
			return fmt.Sprint(len(*got))
		}
	}
	metadata := func(pairs, size int) func(c *conform) observe {
		return func(c *conform) observe {
			m := serves(c, func(ctx context.Context, _ *int) (*int, error) {
				info, _ := rpc.InfoFrom(ctx)
				n := len(info.Metadata)
				return &n, nil
			})
			return func(from *Node, to rpc.CallOption) string {
				opts := []rpc.CallOption{to}
				for i := range pairs {
					opts = append(opts, rpc.WithMetadata(fmt.Sprintf("%03d", i), strings.Repeat("x", size-3)))
				}
				got, err := m.Call(c.t.Context(), from, new(int), opts...)
				if err != nil {
					return strings.ReplaceAll(told(err), c.name, "M")
				}
				return fmt.Sprint(*got)
			}
		}
	}
	tooLong := `ResourceExhausted, message "%s", detail [], retry after -1ns`
	return []behaviour{
		{name: "longest", want: fmt.Sprint(conformLimit), make: func(c *conform) observe { return sizes(c, conformLimit, conformLimit) }},
		{
			name: "request too long", make: func(c *conform) observe { return sizes(c, conformLimit+1, 0) },
			want: fmt.Sprintf(tooLong, "the request of M (102401 bytes) exceeds the limit of 102400 bytes for calls to b"),
		},
		{
			name: "reply too long", make: func(c *conform) observe { return sizes(c, 0, conformLimit+1) },
			want: fmt.Sprintf(tooLong, "the reply (102401 bytes) exceeds the caller's limit of 102400 bytes"),
		},
		{name: "most pairs", want: fmt.Sprint(rpc.MaxMetadata), make: metadata(rpc.MaxMetadata, 3)},
		{
			name: "too many pairs", make: metadata(rpc.MaxMetadata+1, 3),
			want: `InvalidArgument, message "M: 129 pairs of metadata; want at most 128", detail [], retry after 0s`,
		},
		{name: "most metadata", want: "1", make: metadata(1, rpc.MaxMetadataBytes)},
		{
			name: "too much metadata", make: metadata(2, rpc.MaxMetadataBytes/2+1),
			want: fmt.Sprintf(tooLong, "the metadata of M (53250 bytes) exceed the limit of 53248 bytes for a call"),
		},
		{name: "too deep", make: func(c *conform) observe {
			serves(c, func(_ context.Context, req *any) (*any, error) { return req, nil })
			raw := rpc.NewMethod[[]byte, []byte](c.name)
			return func(from *Node, to rpc.CallOption) string {
				deep := []byte(strings.Repeat("\x91", rpc.MaxDepth+1) + "\xc0")
				_, err := raw.Call(c.t.Context(), from, &deep, to)
				return told(err)
			}
		}},
	}
}

// rare is an error of a type of its own.
type rare struct{ text string }

func (e *rare) Error() string { return e.text }

// failures is what arrives of errors.
func failures() []behaviour {
	sentinel := errors.New("sentinel")
	shared := rpc.Errorf(rpc.NotFound, "shared")
	shared.Detail = []byte("d")
	var all []behaviour
	for name, failed := range map[string]error{
		"plain": errors.New("plain"), "wrapped": fmt.Errorf("wrapped: %w", sentinel), "typed": &rare{"typed"},
		"code": rpc.NotFound, "unknown code": rpc.Errorf(rpc.Code(math.MaxUint32), "new"), "OK": rpc.OK,
		"canceled": context.Canceled, "late": context.DeadlineExceeded, "shared": shared,
		"detail": &rpc.Error{Code: rpc.AlreadyExists, Message: "m", Detail: []byte{1, 2}}, "empty detail": &rpc.Error{Code: rpc.Internal, Detail: []byte{}},
		"retry": rpc.Errorf(rpc.InvalidArgument, "r").After(1500 * time.Microsecond), "never": rpc.Errorf(rpc.Internal, "r").After(rpc.NeverRetry),
		"long": errors.New(strings.Repeat("x", rpc.MaxMessage+1)), "not owner": rpc.NotOwner, "unimplemented": rpc.Unimplemented,
		"long detail": &rpc.Error{Code: rpc.Internal, Detail: make([]byte, conformLimit+1)},
	} {
		all = append(all, behaviour{name: "error " + name, make: func(c *conform) observe {
			m := serves(c, func(context.Context, *int) (*int, error) { return nil, failed })
			return func(from *Node, to rpc.CallOption) string {
				_, err := m.Call(c.t.Context(), from, nil, to)
				var mine *rare
				text := fmt.Sprint(told(err), errors.Is(err, sentinel), errors.As(err, &mine), err == failed)
				var e *rpc.Error
				if errors.As(err, &e) && len(e.Detail) > 0 {
					e.Message, e.Detail[0] = "changed by the caller", 'X'
				}
				return text
			}
		}})
	}
	return append(all, []behaviour{
		{name: "panic", make: func(c *conform) observe {
			m := serves(c, func(context.Context, *int) (*int, error) { panic("x") })
			return func(from *Node, to rpc.CallOption) string {
				_, err := m.Call(c.t.Context(), from, nil, to)
				return told(err)
			}
		}},
		{name: "a reply that cannot be encoded", make: func(c *conform) observe {
			m := serves(c, func(context.Context, *int) (*any, error) { v := any(make(chan int)); return &v, nil })
			return func(from *Node, to rpc.CallOption) string {
				_, err := m.Call(c.t.Context(), from, nil, to)
				return told(err)
			}
		}},
		{name: "a reply of another type", make: func(c *conform) observe {
			serves(c, func(context.Context, *int) (*string, error) { s := "text"; return &s, nil })
			other := rpc.NewMethod[int, map[string]int](c.name)
			return func(from *Node, to rpc.CallOption) string {
				_, err := other.Call(c.t.Context(), from, nil, to)
				return told(err)
			}
		}},
		{name: "no such method", make: func(c *conform) observe {
			m := rpc.NewMethod[int, int](c.name, c.opts...)
			return func(from *Node, to rpc.CallOption) string {
				_, err := m.Call(c.t.Context(), from, nil, to)
				return told(err)
			}
		}},
	}...)
}

type valueKey struct{}

// contexts is what a handler learns from its context, and when it ends.
func contexts() []behaviour {
	return []behaviour{
		{name: "values stay with the caller", want: "<nil> true true", make: func(c *conform) observe {
			m := serves(c, func(ctx context.Context, _ *int) (*string, error) {
				due, bounded := ctx.Deadline()
				s := fmt.Sprint(ctx.Value(valueKey{}), bounded, time.Until(due) > patience/2)
				return &s, nil
			})
			return func(from *Node, to rpc.CallOption) string {
				s, err := m.Call(context.WithValue(c.t.Context(), valueKey{}, 1), from, nil, to, rpc.Timeout(patience))
				if err != nil {
					return told(err)
				}
				return *s
			}
		}},
		{name: "info", make: func(c *conform) observe {
			m := serves(c, func(ctx context.Context, _ *int) (*string, error) {
				info, _ := rpc.InfoFrom(ctx)
				s := fmt.Sprint(info.Method == c.name, len(info.Metadata), info.Metadata == nil, info.Attempt, info.Priority, info.Failover, info.Spilled)
				if info.Metadata != nil {
					info.Metadata["by"] = "the handler"
				}
				return &s, nil
			})
			return func(from *Node, to rpc.CallOption) (all string) {
				for _, opts := range [][]rpc.CallOption{{to}, {to, rpc.WithMetadata("k", "v"), rpc.AtPriority(rpc.Critical)}} {
					s, err := m.Call(c.t.Context(), from, nil, opts...)
					if err != nil {
						return told(err)
					}
					all += *s
				}
				return all
			}
		}},
		{name: "the context ends with the call", want: "context canceled", make: func(c *conform) observe {
			kept := make(chan context.Context, 9)
			m := serves(c, func(ctx context.Context, _ *int) (*int, error) { ctx.Done(); kept <- ctx; return nil, nil })
			return func(from *Node, to rpc.CallOption) string {
				if _, err := m.Call(c.t.Context(), from, nil, to); err != nil {
					return told(err)
				}
				ctx := <-kept
				await(c.t, "the end of the handler's context", ctx.Done())
				return fmt.Sprint(context.Cause(ctx))
			}
		}},
		{name: "a handler that ignores its context", blocks: true, make: func(c *conform) observe {
			release := make(chan struct{})
			c.t.Cleanup(func() { close(release) })
			m := serves(c, func(context.Context, *int) (*int, error) { <-release; return nil, nil })
			return func(from *Node, to rpc.CallOption) string {
				_, err := m.Call(c.t.Context(), from, nil, to, rpc.Timeout(30*time.Millisecond))
				return told(err)
			}
		}},
		{name: "cancel with a cause", blocks: true, want: "context canceled context canceled", make: func(c *conform) observe {
			began, ended := make(chan struct{}, 9), make(chan string, 9)
			m := serves(c, func(ctx context.Context, _ *int) (*int, error) {
				began <- struct{}{}
				<-ctx.Done()
				ended <- fmt.Sprint(ctx.Err(), " ", context.Cause(ctx))
				return nil, nil
			})
			return func(from *Node, to rpc.CallOption) string {
				ctx, cancel := context.WithCancelCause(c.t.Context())
				go func() { <-began; cancel(errors.New("a cause")) }()
				_, err := m.Call(ctx, from, nil, to)
				wantCode(c.t, err, rpc.Canceled)
				return await(c.t, "the end of the handler", ended)
			}
		}},
	}
}

// oneWays is what becomes of calls that nobody answers.
func oneWays() []behaviour {
	refused := func(wrong bool, size int) func(c *conform) observe {
		return func(c *conform) observe {
			if wrong {
				serves(c, func(context.Context, *[]int) (*int, error) { c.t.Error("a bad request was served"); return nil, nil })
			}
			m := rpc.NewMethod[[]byte, int](c.name)
			return func(from *Node, to rpc.CallOption) string {
				who, body := "nobody", make([]byte, size)
				return told(m.Send(c.t.Context(), from, &body, to, rpc.Answered(&who))) + " by " + who
			}
		}
	}
	return []behaviour{
		{name: "one-way, unknown", want: "<nil> by nobody", make: refused(false, 1)},
		{name: "one-way, no request", want: "<nil> by nobody", make: refused(true, 1)},
		{name: "one-way, too long", make: refused(false, transport.MaxOneWay+1)},
		{name: "one-way, far too long", make: refused(false, conformLimit+1)},
		{name: "one-way, the caller has gone", want: "<nil> true", make: func(c *conform) observe {
			release, seen := make(chan struct{}, 1), make(chan string, 1)
			m := serves(c, func(ctx context.Context, _ *[]int) (*int, error) {
				if !c.inline() {
					<-release
				}
				_, bounded := ctx.Deadline()
				seen <- fmt.Sprint(ctx.Err(), bounded)
				return nil, nil
			})
			return func(from *Node, to rpc.CallOption) string {
				ctx, cancel := context.WithCancel(c.t.Context())
				req := []int{1}
				err := m.Send(ctx, from, &req, to)
				cancel()
				if !c.inline() {
					release <- struct{}{}
				}
				if err != nil {
					return told(err)
				}
				return await(c.t, "the handler", seen)
			}
		}},
	}
}

func (c *conform) inline() bool { return strings.Contains(c.name, ".inline") }

// Gather encodes its request while the handler of this very node runs, which may change it.
func TestGatherAndALocalHandlerThatChangesItsRequest(t *testing.T) {
	t.Parallel()
	nodes := newLab(t).cluster("a", "b", "c")
	sorts := rpc.NewMethod[[]int, int]("test.Sorts")
	var ran atomic.Int64
	for _, n := range nodes {
		sorts.Handle(n, func(_ context.Context, req *[]int) (*int, error) {
			for i := range *req {
				(*req)[i] = 0
			}
			ran.Add(1)
			return nil, nil
		})
	}
	req := make([]int, 1000)
	for i := range req {
		req[i] = i
	}
	results, err := sorts.Gather(t.Context(), nodes[0], &req)
	if err != nil || len(results) != 3 || ran.Load() != 3 || req[7] != 7 {
		t.Errorf("%d results, %d ran, request %d, %v", len(results), ran.Load(), req[7], err)
	}
}

// What is known of a failure outlives the node that forwards a client's call.
func TestClientLearnsWhenToTryAgain(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.do["later"] = func(context.Context, *Node, *job) (*report, error) {
		return nil, rpc.Errorf(rpc.FailedPrecondition, "later").After(3 * time.Second)
	}
	nodes := l.cluster("a", "b")
	client := dial(t, nodes[0], ClientConfig{})
	for where, to := range map[string]rpc.CallOption{"direct": rpc.Any(rpc.RoundRobin), "forwarded": rpc.Peer("b")} {
		_, err := work.Call(t.Context(), client, &job{Do: "later"}, to)
		if e := wantCode(t, err, rpc.FailedPrecondition); e.RetryAfter != 3*time.Second {
			t.Errorf("%s: retry after %v", where, e.RetryAfter)
		}
	}
	long := &job{Data: make([]byte, transport.DefaultMaxBody)}
	_, err := work.Call(t.Context(), client, long, rpc.Any(rpc.RoundRobin))
	if e := wantCode(t, err, rpc.ResourceExhausted); !strings.Contains(e.Message, "limit of 4194304 bytes") {
		t.Errorf("a long request: %v", e)
	}
}
