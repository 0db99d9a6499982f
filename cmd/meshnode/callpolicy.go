package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

// policyFlags say how a call is made: by whom it is served, and what is done
// when it does not succeed at once.
type policyFlags struct {
	hedge     time.Duration
	retries   int
	spill     float64
	priority  rpc.Priority
	ownerOnly bool
}

func (f *policyFlags) add(cmd *cobra.Command) {
	flagOf(cmd, &f.hedge, "hedge", "", "", "send an idempotent call a second time, elsewhere, after this `time` without answer; p95: after what 95 % of calls take", parseHedge)
	flagOf(cmd, &f.retries, "retries", "", "", "send a call again at most `n` times when it failed and that may help; 0: never", parseRetries)
	flagOf(cmd, &f.spill, "spill", "", "", "with --key: let the next owner serve an idempotent call, if its method allows that, when the first has more than this `factor` of its share, such as 1.25", parseSpill)
	flagOf(cmd, &f.priority, "priority", "", "", "what an overloaded node does with the call: critical ones are refused last, sheddable ones first (`which`: critical, default or sheddable)", parsePriority)
	cmd.Flags().BoolVar(&f.ownerOnly, "owner-only", false, "with --key: let no other owner stand in for one that cannot be reached")
	completeChoices(cmd, "priority", []string{"critical", "default", "sheddable"})
	completeChoices(cmd, "hedge", []string{"p95"})
}

// put writes what was given into a request; flags that contradict it are errors
// of usage.
func (f *policyFlags) put(req *node.ForwardRequest) error {
	switch {
	case f.ownerOnly && !req.Keyed:
		return usagef("--owner-only is about the owner of a key; add --key KEY")
	case f.spill != 0 && !req.Keyed:
		return usagef("--spill is about the owners of a key; add --key KEY")
	case (f.spill != 0 || f.hedge != 0) && !req.Idempotent:
		return usagef("--spill and --hedge may have a call executed twice; add --idempotent if that does no harm")
	}
	req.OwnerOnly, req.Spill, req.Retries, req.Priority = f.ownerOnly, f.spill, f.retries, f.priority
	req.HedgeUS = int64(f.hedge)
	if f.hedge > 0 {
		req.HedgeUS = max(f.hedge.Microseconds(), 1)
	}
	return nil
}

func parseHedge(text string) (time.Duration, error) {
	switch text {
	case "":
		return 0, nil
	case "p95":
		return rpc.HedgeP95, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, errors.New("want a positive duration such as 20ms, or p95")
	}
	return d, nil
}

func parseRetries(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := parseCount(0, 100)(text)
	if err == nil && n == 0 {
		return rpc.NoRetries, nil
	}
	return n, err
}

func parseSpill(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f >= 1 && f <= 100) {
		return 0, errors.New("want a factor from 1 to 100, such as 1.25")
	}
	return f, nil
}

func parsePriority(text string) (rpc.Priority, error) {
	for _, p := range []rpc.Priority{rpc.PriorityDefault, rpc.Critical, rpc.Sheddable} {
		if text == p.String() || text == "" {
			return p, nil
		}
	}
	return 0, wantOneOf([]string{"critical", "default", "sheddable"})
}

// policyNames are the names of the policies for calls to any node.
func policyNames() []string {
	names := make([]string, 0, len(rpc.Policies()))
	for _, p := range rpc.Policies() {
		names = append(names, string(p))
	}
	return names
}

// parsePolicy reads the value of --any.
func parsePolicy(text string) (rpc.Policy, error) {
	if names := policyNames(); text != "" && !slices.Contains(names, text) {
		return "", wantOneOf(names)
	}
	return rpc.Policy(text), nil
}

// policyArgument takes a policy that stands behind --any as a word of its own
// ("--any least-loaded") out of the arguments: no request looks like one.
func policyArgument(args []string, given *rpc.Policy) []string {
	for i, arg := range args {
		if i > 0 && slices.Contains(policyNames(), arg) {
			*given = rpc.Policy(arg)
			return slices.Delete(slices.Clone(args), i, i+1)
		}
	}
	return args
}

// anyHelp tells of the policies.
func anyHelp() string {
	return fmt.Sprintf("to any node that serves the method, picked by a `policy`: %s", strings.Join(policyNames(), ", "))
}
