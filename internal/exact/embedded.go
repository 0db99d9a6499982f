//go:build meshnode_exact

package exact

import _ "embed"

// guest is written by go run ./internal/exact/embed.
//
//go:embed guest.wasm.gz
var guest []byte

func embedded() []byte { return guest }
