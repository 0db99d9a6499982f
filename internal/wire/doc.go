// Package wire encodes and parses the frames that two nodes exchange, and
// nothing else: no sockets, no goroutines, no clock.
//
// A frame is a 4-byte big-endian length (of all that follows), a msgpack array
// that is the header, and a body that reaches to the end of the frame:
//
//	[0,id,method,meta] call      [1,id,code,meta] reply   [2,method,meta] notify
//	[3,id,method,meta] open      [4,id] data              [5,id] half-close
//	[6,id,code] cancel           [7,id,credit] window     [8,n]/[9,n] ping/pong
//	[10,lastID,code] goaway      [11,version,{…}] hello
//
// The body is opaque here; a header never says where it ends, because the
// frame does. Parse never allocates: strings in a Header alias the frame.
//
// Building is by appending: Begin reserves the length, an Append function
// writes the header, the caller appends the body, End fills the length in.
//
//	buf, at := wire.Begin(buf)
//	buf = wire.AppendCall(buf, id, "greeter.Hello", &wire.Meta{Partition: wire.NoPartition})
//	buf = append(buf, body...)
//	buf = wire.End(buf, at)
//
// All functions are pure and safe for concurrent use. Every parser takes bytes
// from strangers: it answers with one of the package's errors, never panics,
// and allocates nothing that the input's own length does not pay for.
package wire
