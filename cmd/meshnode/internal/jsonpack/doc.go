// Package jsonpack turns JSON into msgpack and back, for a command line that
// calls methods whose types it does not know.
//
//	body, err := jsonpack.FromJSON([]byte(`{"name":"alice","n":3}`))
//	text, err := jsonpack.ToJSON(reply)
//
// # What becomes of what
//
// From JSON: numbers without a fraction and an exponent become msgpack
// integers, exact from -2^63 to 2^64-1, and are refused beyond; other numbers
// become 64-bit floats. Strings stay strings, whatever they look like. Members
// of objects keep their order. A name that comes twice is refused, as is text
// that is not UTF-8.
//
// To JSON: integers are exact; floats always show a point or an exponent, so
// that a value survives the way there and back; NaN and the infinities, which
// JSON lacks, become strings. Binary becomes base64. Timestamps become RFC 3339
// strings, other extensions {"ext": type, "data": base64}. Keys of maps that
// are not strings become strings.
//
// # Concurrency and failures
//
// Both functions are pure. Bytes from strangers are safe for both: declared
// lengths and depth are checked before anything is allocated from them.
package jsonpack
