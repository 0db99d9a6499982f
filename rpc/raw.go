package rpc

// RawRequest tells whether the method's Req is []byte, so that a request is its
// bytes as they are and not msgpack. It is true for Untyped specs.
func (s *Spec) RawRequest() bool { return s.request.raw }

// RawReply tells the same of the method's Reply.
func (s *Spec) RawReply() bool { return s.reply.raw }
