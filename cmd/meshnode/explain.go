package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

const explainLong = `Asks every member where a key belongs, and says whether they agree.

The node at --addr asks all members that it knows: each tells the owner of the
key by its own table, the fingerprint of that table, how many members it sees,
and when its table last changed. Members that have the same fingerprint agree on
every key. Those that differ are shown in groups, the largest first: as a rule
the smaller group has yet to hear of the last change, or cannot.

Of many members only some are shown, first those whose NOTE says something
unusual; --all shows all, and so does -o json.

The exit status is 1 if they disagree or somebody does not answer.`

func newExplain(a *app) *cobra.Command {
	var timeout time.Duration
	var all bool
	cmd := &cobra.Command{
		Use:   "explain KEY",
		Short: "Ask every member where a key belongs",
		Long:  explainLong,
		Example: `  meshnode explain alice
  meshnode explain alice --addr 10.0.0.7:7101 -o json | jq .agree
  until meshnode explain alice >/dev/null 2>&1; do sleep 1; done   # wait for agreement`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("want one key, as in 'meshnode explain alice'")
			}
			return nil
		},
		RunE: action(func(ctx context.Context, _ *cobra.Command, args []string) error {
			return a.explain(ctx, args[0], timeout, all)
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	a.addrFlag(cmd, anyAddr)
	flagOf(cmd, &timeout, "timeout", "t", "2s", "`time` that a member may take to answer", parseTimeout)
	cmd.Flags().BoolVar(&all, "all", false, "show all members")
	a.outputFlag(cmd)
	return cmd
}

// explanation is what all members said.
type explanation struct {
	Key    string       `json:"key"`
	Agree  bool         `json:"agree"`
	Groups []viewGroup  `json:"groups"` // of members with one fingerprint, the largest first
	Silent []silentNode `json:"silent"` // who did not answer
}

// viewGroup is members that share a table.
type viewGroup struct {
	Fingerprint string              `json:"fingerprint"`
	Owners      []node.OwnerInfo    `json:"owners"`
	Partition   uint32              `json:"partition"`
	Members     []node.ExplainReply `json:"members"`
}

// silentNode is a member without an answer.
type silentNode struct {
	Node  string    `json:"node"`
	Error errorJSON `json:"error"`
}

func (a *app) explain(ctx context.Context, key string, timeout time.Duration, all bool) error {
	c, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	body, err := rpc.Encode(nil, &node.ExplainRequest{Key: key})
	if err != nil {
		return err
	}
	answers, err := forward(ctx, c, &node.ForwardRequest{
		Method: node.Explain.Name(), Body: body, All: true, Idempotent: true,
	}, rpc.Timeout(timeout))
	if err != nil {
		return err
	}
	x := explainAnswers(key, answers)
	if a.json() {
		err = a.printJSON(x)
	} else {
		err = a.printLines(x.lines(all)...)
	}
	if err == nil && !x.Agree {
		err = failf(rpc.FailedPrecondition, "the members do not agree on key %s, or not all have answered", printable(key))
	}
	return err
}

// explainAnswers groups what the members said.
func explainAnswers(key string, answers []node.ForwardAnswer) *explanation {
	x := &explanation{Key: key, Groups: []viewGroup{}, Silent: []silentNode{}}
	for i := range answers {
		answer := &answers[i]
		var reply node.ExplainReply
		err := answer.Err()
		if err == nil {
			err = rpc.Decode(answer.Body, &reply)
		}
		if err != nil {
			e := rpc.AsError(err)
			x.Silent = append(x.Silent, silentNode{answer.Node, errorJSON{e.Code.String(), e.Message}})
			continue
		}
		at := slices.IndexFunc(x.Groups, func(g viewGroup) bool { return g.Fingerprint == reply.Fingerprint })
		if at < 0 {
			at = len(x.Groups)
			x.Groups = append(x.Groups, viewGroup{
				Fingerprint: reply.Fingerprint, Owners: reply.Owners, Partition: reply.Partition,
			})
		}
		x.Groups[at].Members = append(x.Groups[at].Members, reply)
	}
	slices.SortStableFunc(x.Groups, func(a, b viewGroup) int { return len(b.Members) - len(a.Members) })
	x.Agree = len(x.Groups) == 1 && len(x.Silent) == 0
	return x
}

// What is shown of many, so that all of it fits on a screen.
const (
	shownMembers  = 8 // of a table that all agree on
	shownOfGroup  = 3 // of each table, if there are several
	shownGroups   = 3
	shownSilent   = 4
	unlimitedRows = math.MaxInt
)

// lines is the explanation for people; all: with every member.
func (x *explanation) lines(all bool) (lines []string) {
	groups, members, silent := shownGroups, shownOfGroup, shownSilent
	if len(x.Groups) == 1 {
		members = shownMembers
	}
	if all {
		groups, members, silent = unlimitedRows, unlimitedRows, unlimitedRows
	}
	total := len(x.Silent)
	for _, g := range x.Groups {
		total += len(g.Members)
	}
	switch {
	case x.Agree:
		lines = append(lines, fmt.Sprintf("all %s agree on key %s", plural(total, "member", "members"), printable(x.Key)))
	default:
		lines = append(lines, fmt.Sprintf("%s, %s, %d without an answer: key %s",
			plural(total, "member", "members"), plural(len(x.Groups), "table", "different tables"), len(x.Silent), printable(x.Key)))
	}
	for _, g := range x.Groups[:min(len(x.Groups), groups)] {
		lines = append(lines, "")
		lines = append(lines, g.lines(members)...)
	}
	if more := len(x.Groups) - groups; more > 0 {
		lines = append(lines, "", "and "+plural(more, "more table", "more tables"))
	}
	if len(x.Silent) > 0 {
		lines = append(lines, "")
	}
	for _, s := range x.Silent[:min(len(x.Silent), silent)] {
		lines = append(lines, fmt.Sprintf("no answer from %s: %s: %s", s.Node, s.Error.Code, oneLine(s.Error.Message)))
	}
	if more := len(x.Silent) - silent; more > 0 {
		lines = append(lines, fmt.Sprintf("and none from %s more", thousands(more)))
	}
	return lines
}

// lines tells of a table, and of so many of those who have it.
func (g *viewGroup) lines(most int) []string {
	first := &g.Members[0]
	owners := make([]string, len(g.Owners))
	for i, o := range g.Owners {
		owners[i] = o.Name
		if o.Zone != "" {
			owners[i] += " (" + oneLine(o.Zone) + ")"
		}
	}
	owner, then := "nobody", "nobody"
	if len(owners) > 0 {
		owner = owners[0]
	}
	if len(owners) > 1 {
		then = strings.Join(owners[1:], ", ")
	}
	lines := []string{
		fmt.Sprintf("owner        %s", owner),
		fmt.Sprintf("then         %s", then),
		fmt.Sprintf("partition    %d of %s, slack %d‰", g.Partition, thousands(int64(first.Partitions)), first.Slack),
		fmt.Sprintf("fingerprint  %s, of %s", g.Fingerprint, plural(first.InTable, "owner", "owners")),
	}
	if c := first.LastChange; c != nil {
		lines = append(lines, fmt.Sprintf("last change  %s ago: %s", age(first.AgeSeconds), changeText(c)))
	}
	t := newTable("MEMBER", ">SEES", ">CHANGED", "NOTE")
	members := slices.Clone(g.Members)
	slices.SortStableFunc(members, func(a, b node.ExplainReply) int {
		return cmp.Compare(min(len(explainNote(&b)), 1), min(len(explainNote(&a)), 1))
	})
	for _, m := range members[:min(len(members), most)] {
		t.add(m.Node, fmt.Sprint(m.Members), age(m.AgeSeconds)+" ago", explainNote(&m))
	}
	lines = append(lines, t.lines()...)
	if more := len(members) - most; more > 0 {
		lines = append(lines, fmt.Sprintf("and %s more", thousands(more)))
	}
	return lines
}

// explainNote is what is unusual about one member's view.
func explainNote(m *node.ExplainReply) string {
	var notes []string
	if !m.Ready {
		notes = append(notes, "not ready: "+oneLine(m.Why))
	}
	if m.Held {
		notes = append(notes, "holds the key up: a hook fetches its state")
	}
	for _, o := range m.Owners {
		if o.Passed {
			notes = append(notes, "goes past "+o.Name+", which it could not reach")
		}
	}
	return strings.Join(notes, "; ")
}

// changeText says what a change of a table was, in a few words.
func changeText(c *node.TableChange) string {
	return fmt.Sprintf("%s; %s", whoChanged(c), plural(c.Moved, "partition moved", "partitions moved"))
}

// whoChanged names the members that a change is about.
func whoChanged(c *node.TableChange) string {
	var parts []string
	left := slices.DeleteFunc(slices.Clone(c.Left), func(name string) bool { return slices.Contains(c.Crashed, name) })
	for _, p := range []struct {
		what  string
		names []string
	}{{"joined", c.Joined}, {"left", left}, {"crashed", c.Crashed}, {"changed", c.Changed}} {
		if len(p.names) > 0 {
			const most = 3
			parts = append(parts, listed(p.names, most)+" "+p.what)
		}
	}
	return strings.Join(parts, ", ")
}
