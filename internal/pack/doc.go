// Package pack turns values of common Go types into msgpack and back, without
// looking at their types again for each value: [For] makes a plan of a type
// once, and [Codec] follows it with offsets.
//
//	codec, err := pack.For[Request](pack.Config{Tag: "msgpack", MaxDepth: 64})
//	if err != nil {
//		// The type doesn't qualify: use a library that handles every type.
//	}
//	body := codec.Append(nil, &Request{Name: "alice"})
//	req, err := codec.Decode(body)
//
// The bytes are those of github.com/vmihailenco/msgpack/v5 with compact
// integers, and what that library makes of other encodings of a type (any width
// of number, str for bin, arrays for structs, nil for anything) is made of them
// here. Which types qualify stands at [For]; what does not is left to the
// library as a whole.
//
// # Bytes from strangers
//
// Decode reads its input once. It never panics, allocates at most an element of
// a slice or map for each byte of input, and refuses everything that wire.Scan
// refuses, in fields that nobody knows as well. What it gives shares no memory
// with the input.
//
// # Concurrency
//
// A Codec is immutable and safe for concurrent use. A value must not change
// while it is encoded.
package pack
