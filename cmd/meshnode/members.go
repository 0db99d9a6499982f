package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/meshnode/meshnode/node"
)

const membersLong = `Lists the members that a node knows, those that died or left lately too.

STATE is what the cluster thinks of a member: alive, suspect (it missed a probe
and has yet to answer), dead or left. SERVING is what the member says itself:
joining, serving, draining, or standby (an observer, or an application that
cannot serve now); only those who serve own keys. SHARE is the fraction of the
key space that it owns by the asked node's table. A member that comes back has
another BOOT. With TLS, IDENTITY is whether it has proved to the asked node who
it is: proven, pending or refused; only who is proven owns keys.`

func newMembers(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "members",
		Short: "List the members that a node knows",
		Long:  membersLong,
		Example: `  meshnode members
  meshnode members --addr 10.0.0.7:7101 -o json | jq -r '.[] | select(.state == "alive") | .name'`,
		Args: noArgs,
		RunE: action(func(ctx context.Context, _ *cobra.Command, _ []string) error { return a.members(ctx) }),
	}
	a.addrFlag(cmd, anyAddr)
	a.outputFlag(cmd)
	return cmd
}

// memberJSON is a member as programs read it. The boot id is text: as a number
// it is beyond what many readers of JSON keep exactly.
type memberJSON struct {
	node.MemberInfo
	Boot string `json:"boot"`
}

func membersJSON(members []node.MemberInfo) []memberJSON {
	all := make([]memberJSON, len(members))
	for i, m := range members {
		all[i] = memberJSON{MemberInfo: m, Boot: bootText(m.Boot)}
	}
	return all
}

func (a *app) members(ctx context.Context) error {
	c, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	reply, err := node.Members.Call(ctx, c, &node.MembersRequest{})
	if err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(membersJSON(reply.Members))
	}
	return a.printLines(membersTable(reply.Members).lines()...)
}

func membersTable(members []node.MemberInfo) *table {
	t := newTable("NAME", "ADDRESS", "STATE", "SERVING", "ZONE", ">WEIGHT", ">SHARE", ">INCARNATION", "BOOT", ">AGE", "IDENTITY")
	for _, m := range members {
		since := age(m.AgeSeconds)
		if m.State == stateDead || m.State == stateLeft {
			since = "-"
		}
		t.add(m.Name, m.Addr, m.State, m.Serving, dash(oneLine(m.Zone)),
			strconv.FormatFloat(m.Weight, 'f', -1, 64), percent(m.Share),
			strconv.FormatUint(uint64(m.Incarnation), 10), bootText(m.Boot), since, dash(m.Identity))
	}
	return t
}

// The states of members, as mesh.Members has them.
const (
	stateAlive   = "alive"
	stateSuspect = "suspect"
	stateDead    = "dead"
	stateLeft    = "left"
)

func bootText(boot uint64) string { return fmt.Sprintf("%016x", boot) }

// dash stands for an empty cell.
func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
