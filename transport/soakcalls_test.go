package transport

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/meshnode/meshnode/internal/wire"
)

// soakHandler serves what soak calls. A request begins with the number of the
// call and the length of the reply.
type soakHandler struct{ *soak }

const soakHead = 12

// Inline is told by the method.
func (h *soakHandler) Inline(in *Incoming) bool {
	return strings.HasPrefix(string(in.Method), "inline")
}

func (h *soakHandler) ServeCall(in *Incoming) {
	if string(in.Method) == "ping" {
		_ = in.Reply(CodeOK, nil, nil)
		return
	}
	if len(in.Body) < soakHead {
		h.Errorf("a request of %d bytes arrived", len(in.Body))
		_ = in.Reply(CodeInternal, nil, nil)
		return
	}
	id := binary.BigEndian.Uint64(in.Body)
	h.ledger.add(id, 1)
	if in.Stream() != nil {
		streamEcho(in)
		return
	}
	if !in.Inline() && id%4 == 0 { // some take their time
		wait := time.NewTimer(time.Duration(id%3000) * time.Microsecond)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-in.Context().Done():
		}
	}
	_ = in.Reply(CodeOK, nil, soakReply(in.Body))
}

// soakReply is the right answer to a request.
func soakReply(body []byte) []byte {
	id, n := binary.BigEndian.Uint64(body), binary.BigEndian.Uint32(body[8:])
	return binary.BigEndian.AppendUint32(pattern(int(n), id), crc32.ChecksumIEEE(body))
}

// soakSize is mostly small, sometimes around a chunk, and rarely large.
func soakSize(r *rand.Rand) int {
	switch r.IntN(20) {
	case 0:
		return r.IntN(2 << 20)
	case 1, 2:
		return wire.Chunk - 100 + r.IntN(200)
	case 3, 4, 5:
		return r.IntN(200_000)
	}
	return r.IntN(500)
}

// work makes calls until the end.
func (s *soak) work(i int, r *rand.Rand) {
	w := &s.workers[i]
	for {
		select {
		case <-s.end:
			return
		default:
		}
		kind := []string{"unary", "unary", "inline", "stream", "notify"}[r.IntN(5)]
		w.what.Store(&kind)
		w.since.Store(time.Now().UnixNano())
		s.once(kind, r)
		w.since.Store(0)
	}
}

// once makes one call or stream and classes its outcome.
func (s *soak) once(kind string, r *rand.Rand) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	req := &Request{Method: kind, Meta: Meta{Partition: NoPartition}}
	cancels := r.IntN(8) == 0
	if cancels {
		stop := time.AfterFunc(time.Duration(r.IntN(20_000))*time.Microsecond, cancel)
		defer stop.Stop()
	}
	if r.IntN(4) == 0 {
		req.Deadline = time.Now().Add(time.Duration(r.IntN(30_000)) * time.Microsecond)
	}
	id := s.ids.Add(1)
	req.Body = binary.BigEndian.AppendUint64(nil, id)
	req.Body = binary.BigEndian.AppendUint32(req.Body, uint32(soakSize(r)))

	c, err := s.peers[r.IntN(len(s.peers))].Conn(ctx)
	if err != nil {
		s.ended(kind, id, req, cancels, err)
		pause := time.NewTimer(5 * time.Millisecond)
		<-pause.C
		return
	}
	switch kind {
	case "stream":
		err = s.stream(ctx, c, req, r)
	case "notify":
		err = c.Notify(req)
	default:
		req.Body = append(req.Body, pattern(soakSize(r), id)...)
		err = s.unary(ctx, c, req)
	}
	s.ended(kind, id, req, cancels, err)
}

// codeError is a code other than OK, of a reply or of a stream's end.
type codeError uint64

func (e codeError) Error() string { return "code" }

func (s *soak) unary(ctx context.Context, c *Conn, req *Request) error {
	reply, err := c.Call(ctx, req)
	if err != nil {
		return err
	}
	defer reply.Release()
	if reply.Code != CodeOK {
		return codeError(reply.Code)
	}
	if !bytes.Equal(reply.Body, soakReply(req.Body)) {
		s.Errorf("a wrong answer of %d bytes to %d bytes", len(reply.Body), len(req.Body))
	}
	return nil
}

// stream sends some messages and has them sent back.
func (s *soak) stream(ctx context.Context, c *Conn, req *Request, r *rand.Rand) error {
	st, refused, err := c.Open(ctx, req)
	if err != nil {
		return err
	}
	if refused != nil {
		defer refused.Release()
		return codeError(refused.Code)
	}
	defer st.Close()
	sizes := make([]int, r.IntN(30))
	for i := range sizes {
		sizes[i] = soakSize(r)
	}
	id := binary.BigEndian.Uint64(req.Body)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i, n := range sizes {
			if st.Send(pattern(n, id+uint64(i))) != nil {
				return // Recv says more
			}
		}
		_ = st.CloseSend()
	}()
	defer func() { <-sent }()
	leave := -1 // in the middle
	if len(sizes) > 0 && r.IntN(10) == 0 {
		leave = r.IntN(len(sizes))
	}
	for i := 0; ; i++ {
		msg, err := st.Recv()
		if err == io.EOF {
			return s.streamEnd(st, i, len(sizes))
		}
		if err != nil || i == leave {
			st.abort(context.Canceled) // so that the sender ends
			return err
		}
		if i >= len(sizes) || !bytes.Equal(msg, pattern(sizes[i], id+uint64(i))) {
			s.Errorf("message %d of %d came back wrong, with %d bytes", i, len(sizes), len(msg))
		}
	}
}

func (s *soak) streamEnd(st *Stream, got, want int) error {
	reply, err := st.Status()
	if err != nil {
		return err
	}
	if reply.Code != CodeOK {
		return codeError(reply.Code)
	}
	if got != want {
		s.Errorf("a stream of %d messages ended well after %d", want, got)
	}
	return nil
}

// ended classes an outcome. What has no class fails the test.
func (s *soak) ended(kind string, id uint64, req *Request, cancels bool, err error) {
	if kind == "inline" {
		kind = "unary"
	}
	var code codeError
	var ce *CallError
	switch {
	case err == nil:
		s.note(kind + " ok")
	case errors.As(err, &code):
		switch code {
		case CodeResourceExhausted:
			s.note(kind + " exhausted")
			s.ledger.add(id, ledgerUnsent)
			return
		case CodeDeadlineExceeded:
			if !req.Deadline.IsZero() {
				s.note(kind + " deadline there")
				return
			}
		case CodeCanceled, CodeUnavailable:
			s.note(kind + " cancelled there")
			return
		}
		s.Errorf("%s: code %d", kind, code)
	case IsUnsent(err):
		s.note(kind + " unsent")
		s.ledger.add(id, ledgerUnsent)
	case errors.Is(err, context.DeadlineExceeded) && !req.Deadline.IsZero():
		s.note(kind + " deadline")
	case errors.Is(err, context.Canceled) && cancels:
		s.note(kind + " cancelled")
	case errors.As(err, &ce) && errors.Is(err, ErrClosed):
		s.note(kind + " ambiguous")
	default:
		s.Errorf("%s: an error of no class: %v", kind, err)
	}
}
