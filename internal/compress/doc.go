// Package compress makes bodies smaller and back, by S2 or Zstandard.
//
//	var c compress.Codec // one for each owner of connections
//	small, err := c.Append(nil, body, compress.S2)
//	body, err = c.Expand(nil, small, compress.S2, limit)
//
// Each body stands alone: no dictionary, no state between bodies. S2 is the
// block format of klauspost/compress; Zstandard is one frame that declares its
// content's size.
//
// # Concurrency
//
// A Codec is safe for concurrent use. It starts no goroutine. What it pools
// holds channels, so one Codec does not serve two testing/synctest bubbles;
// for the same reason there is none in this package.
//
// # Failures
//
// Expand is made for bytes from strangers: it answers with one of the package's
// errors. What a body declares is checked against the limit before anything is
// allocated, so that it costs at most the limit and 1 MiB.
package compress
