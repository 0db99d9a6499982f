package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/meshnode/meshnode/node"
)

const membersLong = `Lists the members that a node knows, those that died or left lately too.

STATE is what the cluster thinks of a member: alive, suspect (it missed a probe
and has yet to answer), dead or left. SERVING is what the member says itself:
joining, serving, draining, or standby (an observer, or an application that
cannot serve now); only those who serve own keys. SHARE is the fraction of the
key space that it owns by the asked node's table. With TLS, IDENTITY is whether it
has proved to the asked node who it is: proven, pending or refused; only a proven
member owns keys.

--wide adds INCARNATION, which grows when a member refutes a suspicion or changes
what it says of itself, and BOOT, another one for each process.`

func newMembers(a *app) *cobra.Command {
	var wide bool
	cmd := &cobra.Command{
		Use:   "members",
		Short: "List the members that a node knows",
		Long:  membersLong,
		Example: `  meshnode members
  meshnode members --wide
  meshnode members --addr 10.0.0.7:7101 -o json | jq -r '.[] | select(.state == "alive") | .name'`,
		Args: noArgs,
		RunE: action(func(ctx context.Context, _ *cobra.Command, _ []string) error { return a.members(ctx, wide) }),
	}
	a.addrFlag(cmd, anyAddr)
	cmd.Flags().BoolVarP(&wide, "wide", "w", false, "show incarnation and boot id too")
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

func (a *app) members(ctx context.Context, wide bool) error {
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
	return a.printLines(membersTable(reply.Members, wide).lines()...)
}

// membersTable lays members out. Columns that are empty for all are left out.
func membersTable(members []node.MemberInfo, wide bool) *table {
	heads := []string{"NAME", "ADDRESS", "STATE", "SERVING", "ZONE", ">WEIGHT", ">SHARE", ">AGE"}
	if wide {
		heads = append(heads, ">INCARNATION", "BOOT")
	}
	identities := slices.ContainsFunc(members, func(m node.MemberInfo) bool { return m.Identity != "" })
	if identities {
		heads = append(heads, "IDENTITY")
	}
	t := newTable(heads...)
	for _, m := range members {
		since := age(m.AgeSeconds)
		if m.State == stateDead || m.State == stateLeft {
			since = "-"
		}
		row := []string{
			m.Name, m.Addr, m.State, dash(m.Serving), dash(oneLine(m.Zone)),
			strconv.FormatFloat(m.Weight, 'f', -1, 64), percent(m.Share), since,
		}
		if wide {
			row = append(row, strconv.FormatUint(uint64(m.Incarnation), 10), bootText(m.Boot))
		}
		if identities {
			row = append(row, dash(m.Identity))
		}
		t.add(row...)
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
