//go:build !meshnode_exact

package exact

func embedded() []byte { return nil }
