// Package pack turns Go values into msgpack and back, without looking at their
// types again for each value: [For] makes a plan of a type once, and [Codec]
// follows it with offsets.
//
//	types := pack.New(pack.Config{Tag: "msgpack", MaxDepth: 64})
//	codec, err := pack.For[Request](types)
//	if err != nil {
//		// A value of Request cannot travel: err has the path of the field.
//	}
//	body, err := codec.Append(nil, &Request{Name: "alice"}, pack.Bounds{Size: 4 << 20})
//	req, err := codec.Decode(body)
//
// docs/types.md has the rules: which types travel, as what, and what is taken
// for them. Integers have the shortest form that holds them. Types that encode
// themselves are left to their methods, and to a [Library] if it has to be asked.
//
// # Values without an end
//
// A plain type, one that neither contains itself nor holds an interface or a type
// with methods of its own, nests as deep as its plan says, so its values are
// encoded without a look at the depth. All others are counted. Both stop when
// the encoding has grown beyond its bound: strings and lists in a list may share
// their memory, so even a plain value can be endless in practice.
//
// # Bytes from strangers
//
// Decode reads its input once. It never panics, unless a type's own method does,
// allocates at most an element of a slice or map for each byte of input, and
// refuses everything that wire.Scan refuses, in fields that nobody knows as well.
// What it returns shares no memory with the input.
//
// # Concurrency
//
// Types and Codec are safe for concurrent use. A value must not change while it
// is encoded.
package pack
