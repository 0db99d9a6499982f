package mprpc

import (
	"io"

	"github.com/meshnode/meshnode/internal/wire"
	"github.com/meshnode/meshnode/rpc"
)

const (
	// firstRead is the read buffer that every stream has, in bytes.
	firstRead = 4 << 10
	// keepRead is the largest one that is kept between messages.
	keepRead = 64 << 10
	// envelope is how deep a request stands in its message: in the message's
	// array and in params.
	envelope = 2
)

// inbox cuts a stream into messages. There is no length in front of them, so
// the bytes are scanned as they arrive, each once.
//
// Invariant: buf[from:to] was read and not given away, and scan has seen a part
// of it, which begins where a message does.
type inbox struct {
	src      io.Reader
	limit    int
	hold     func(bytes int) bool // asks for memory; negative gives it back
	buf      []byte
	from, to int
	scan     wire.Scanner
}

func newInbox(src io.Reader, limit int, hold func(int) bool) *inbox {
	in := &inbox{src: src, limit: limit, hold: hold, buf: make([]byte, firstRead)}
	in.scan.Reset(limit, rpc.MaxDepth+envelope)
	return in
}

// next gives the next message that has wholly arrived, valid until fill, or nil.
// The error is wire's, for bytes that are no msgpack or exceed a limit.
func (in *inbox) next() ([]byte, error) {
	n, err := in.scan.Next(in.buf[in.from:in.to])
	if n == 0 || err != nil {
		return nil, err
	}
	msg := in.buf[in.from : in.from+n : in.from+n]
	in.from += n
	in.scan.Reset(in.limit, rpc.MaxDepth+envelope)
	return msg, nil
}

// begun tells whether a part of a message is here.
func (in *inbox) begun() bool { return in.from < in.to }

// fill reads once, and makes room before that as bytes have arrived: the buffer
// is at most twice as large as what is in it, whatever a message declares. The
// errors are the stream's and errOverloaded.
func (in *inbox) fill() (int, error) {
	if in.from == in.to {
		in.from, in.to = 0, 0
		in.resize(firstRead, len(in.buf) > keepRead)
	}
	if in.to == len(in.buf) && in.from > 0 {
		in.to = copy(in.buf, in.buf[in.from:in.to])
		in.from = 0
	}
	// What is here is less than a message, so less than the limit.
	if in.to == len(in.buf) && !in.resize(min(2*in.to, max(in.limit, firstRead)), true) {
		return 0, errOverloaded
	}
	n, err := in.src.Read(in.buf[in.to:])
	in.to += n
	return n, err
}

// resize replaces the buffer, if it is wanted and there is memory for it.
func (in *inbox) resize(size int, wanted bool) bool {
	if !wanted || !in.hold(size-len(in.buf)) {
		return false
	}
	next := make([]byte, size)
	in.to = copy(next, in.buf[in.from:in.to])
	in.from, in.buf = 0, next
	return true
}
