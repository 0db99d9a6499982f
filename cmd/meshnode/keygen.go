package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/meshnode/meshnode/membership"
)

const keygenLong = `Makes a random gossip key and prints it as base64. All nodes of a cluster need
the same one. Whoever lacks it can neither read their gossip nor join.

16, 24 and 32 bytes mean AES-128, AES-192 and AES-256.`

func newKeygen(a *app) *cobra.Command {
	var size int
	cmd := &cobra.Command{
		Use:   "keygen",
		Short: "Make a gossip key",
		Long:  keygenLong,
		Example: `  meshnode keygen > gossip.key
  meshnode run --gossip-key @gossip.key`,
		Args: noArgs,
		RunE: action(func(context.Context, *cobra.Command, []string) error { return a.keygen(size) }),
	}
	flagOf(cmd, &size, "bytes", "", "32", "`length` of the key: 16, 24 or 32", func(text string) (int, error) {
		n, err := parseCount(16, membership.KeySize)(text)
		if err != nil || n%8 != 0 {
			return 0, errors.New("want 16, 24 or 32")
		}
		return n, nil
	})
	a.outputFlag(cmd)
	return cmd
}

func (a *app) keygen(size int) error {
	key := membership.FormatKey(membership.GenerateKey()[:size])
	if a.json() {
		return a.printJSON(struct {
			Key   string `json:"key"`
			Bytes int    `json:"bytes"`
		}{key, size})
	}
	return a.printLines(key)
}
