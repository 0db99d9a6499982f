package mprpc

import (
	"strings"

	"github.com/meshnode/meshnode/internal/wire"
	"github.com/meshnode/meshnode/rpc"
)

// maxMessage bounds an error's text, in bytes.
const maxMessage = 8 << 10

// reply is the answer to one request: an error, or the encoded result.
type reply struct {
	err  *rpc.Error
	body []byte
	bin  bool // body is the content of a binary value, not a value itself
}

// replyOf gives the answer for the body of a mesh reply. raw says that it is
// bytes that were never msgpack. What a client could not parse is taken for
// such bytes too, since no answer may spoil the stream.
func replyOf(body []byte, raw bool) reply {
	return reply{body: body, bin: raw || wire.Scan(body, wire.MaxDepth) != nil}
}

// size is at least what append appends, in bytes.
func (r *reply) size() int {
	const heads = 64
	if r.err != nil {
		return heads + len(r.err.Message) + len(r.err.Detail)
	}
	return heads + len(r.body)
}

// append appends the response to request id.
func (r *reply) append(dst []byte, id uint64) []byte {
	dst = wire.AppendRPCResponse(dst, id)
	if r.err != nil {
		return wire.AppendNil(appendError(dst, r.err))
	}
	dst = wire.AppendNil(dst)
	if r.bin {
		return wire.AppendBin(dst, r.body)
	}
	return append(dst, r.body...)
}

// appendError appends {"code": name, "message": text, "detail": bytes or nil, "not_executed": bool}.
func appendError(dst []byte, e *rpc.Error) []byte {
	dst = wire.AppendMapHeader(dst, 4)
	dst = wire.AppendStr(wire.AppendStr(dst, "code"), e.Code.String())
	dst = wire.AppendStr(wire.AppendStr(dst, "message"), e.Message)
	dst = wire.AppendStr(dst, "detail")
	if e.Detail == nil {
		dst = wire.AppendNil(dst)
	} else {
		dst = wire.AppendBin(dst, e.Detail)
	}
	return wire.AppendBool(wire.AppendStr(dst, "not_executed"), rpc.NotExecuted(e))
}

// presentable gives e with a text that every client can decode as a string.
func presentable(e *rpc.Error) *rpc.Error {
	text := e.Message[:min(len(e.Message), maxMessage)]
	shown := &rpc.Error{Code: e.Code, Message: strings.ToValidUTF8(text, "\uFFFD"), Detail: e.Detail}
	return shown.MarkNotExecuted(rpc.NotExecuted(e))
}
