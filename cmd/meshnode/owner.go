package main

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meshnode/meshnode/node"
)

const ownerLong = `Tells who owns keys, by the table of the node that is asked.

The first owner is the primary: calls for the key go there. Those that follow
would take over in this order, and are where replicas belong; they are in other
zones as long as there are any. Nodes with the same fingerprint agree on every
owner.`

func newOwner(a *app) *cobra.Command {
	var owners int
	cmd := &cobra.Command{
		Use:   "owner KEY...",
		Short: "Tell who owns keys",
		Long:  ownerLong,
		Example: `  meshnode owner alice bob
  meshnode owner alice --owners 1 -o json | jq -r '.[0].owners[0]'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("no key given; name one or more, as in 'meshnode owner alice'")
			}
			return nil
		},
		RunE: action(func(ctx context.Context, _ *cobra.Command, args []string) error {
			return a.owner(ctx, args, owners)
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	a.addrFlag(cmd, anyAddr)
	flagOf(cmd, &owners, "owners", "n", "3", "name `n` owners of each key", parseCount(1, 1000))
	a.outputFlag(cmd)
	return cmd
}

func (a *app) owner(ctx context.Context, keys []string, owners int) error {
	c, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	reply, err := node.Owner.Call(ctx, c, &node.OwnerRequest{Keys: keys, N: owners})
	if err != nil {
		return err
	}
	if a.json() {
		for i := range reply.Owners { // no owners is [], not null
			reply.Owners[i].Owners = append([]string{}, reply.Owners[i].Owners...)
		}
		return a.printJSON(reply.Owners)
	}
	t := newTable("KEY", ">PARTITION", "OWNER", "THEN", "TABLE")
	for _, o := range reply.Owners {
		first, then := "", ""
		if len(o.Owners) > 0 {
			first, then = o.Owners[0], strings.Join(o.Owners[1:], ", ")
		}
		t.add(printable(o.Key), strconv.FormatUint(uint64(o.Partition), 10), dash(first), dash(then), o.Fingerprint)
	}
	return a.printLines(t.lines()...)
}
