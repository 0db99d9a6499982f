package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshnode/meshnode/cmd/meshnode/internal/jsonpack"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/outbox"
	"github.com/meshnode/meshnode/rpc"
)

const callLong = `Calls a method and prints its reply. The node at --addr carries the call to where
it belongs: the owner of a key, one node by name, all nodes, or any node.

A call that was not executed is sent again as long as its time lasts. While the
owner of a key cannot be reached, the next one serves the call, if it finds the
owner gone, too; --owner-only forbids that.

The request is JSON: an argument, @file, or - for standard input; without one it
is {}. It is sent as msgpack. Numbers without point and exponent are integers,
exact up to 64 bits; others are floats. Strings are sent as they are, also where
the method wants bytes: nothing is taken for base64.

The reply is JSON. Binary becomes base64, timestamps RFC 3339, other extensions
{"ext":type,"data":base64}; keys of maps become strings. A reply that is no
msgpack is printed as base64, with "raw":true beside it.

With --durable the node at --addr, which needs a --data-dir, has the call on its disk
before it says anything, and makes it whatever crashes meanwhile; its effect happens
once if the method's handler keeps its state in the outbox. The command waits for the
end for as long as --timeout says; --no-wait prints the call's id at once.

With -o json the output is {"node","reply","elapsed_us"}: who answered, and how
long that took as the node at --addr saw it. With --all it is an array of those
(in text one on each line) where a failed one has "error" in place of "reply",
and the exit status is 1 if any failed.`

const callExample = `  meshnode call mesh.Ping --any
  meshnode call mesh.Ping --any least-loaded
  meshnode call mesh.Echo '{"data":"hello"}' --key alice
  meshnode call mesh.Echo '{"data":"hello"}' --key alice --idempotent --hedge p95
  meshnode call mesh.Echo '{"data":"hello"}' --key alice --durable --id order-17
  meshnode call mesh.Ping --all -o json | jq -r '.[].reply.fingerprint'
  echo '{"keys":["alice"],"n":1}' | meshnode call mesh.Owner - --peer node-2 --timeout 500ms`

// callFlags are where a call goes and how.
type callFlags struct {
	key, peer  string
	all        bool
	any        rpc.Policy
	timeout    time.Duration
	meta       []string
	idempotent bool
	policy     policyFlags
	durable    bool
	id         string
	noWait     bool
	expire     time.Duration
}

func newCall(a *app) *cobra.Command {
	f := &callFlags{}
	cmd := &cobra.Command{
		Use:     "call METHOD [JSON|@FILE|-]",
		Short:   "Call a method, JSON in and JSON out",
		Long:    callLong,
		Example: callExample,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return errors.New("no method given; name one, as in 'meshnode call mesh.Ping --any'")
			case len(policyArgument(args, new(rpc.Policy))) > 2:
				return fmt.Errorf("unexpected argument %q; the request is one argument: put it in quotes", args[2])
			}
			return nil
		},
		RunE: action(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("any") {
				args = policyArgument(args, &f.any)
			}
			req, err := a.request(cmd, f, args)
			if err != nil {
				return err
			}
			if f.durable {
				return a.callDurably(ctx, req, f)
			}
			return a.call(ctx, req, f.timeout)
		}),
		ValidArgsFunction: completeMethods,
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.key, "key", "k", "", "to the owner of this `key`")
	flags.StringVarP(&f.peer, "peer", "p", "", "to the node of this `name`")
	flags.BoolVar(&f.all, "all", false, "to all nodes")
	flagOf(cmd, &f.any, "any", "", "", anyHelp(), parsePolicy)
	flags.Lookup("any").NoOptDefVal = string(rpc.RoundRobin)
	completeChoices(cmd, "any", policyNames())
	for _, name := range destinations() {
		flags.Lookup(name).Annotations = map[string][]string{exclusive: {"destination"}}
	}
	a.addrFlag(cmd, anyAddr)
	flagOf(cmd, &f.timeout, "timeout", "t", "5s", "`time` that the call may take", parseTimeout)
	flags.VarP(&list{items: &f.meta, check: checkPair}, "meta", "m", "metadata `key=value` to send along; may be repeated")
	flags.BoolVar(&f.idempotent, "idempotent", false, "the call may be executed twice: try it again when its outcome is unknown")
	f.policy.add(cmd)
	flags.BoolVar(&f.durable, "durable", false, "have it on the disk of the node at --addr first: it is made whatever crashes")
	flags.StringVar(&f.id, "id", "", "of a durable call, its `id`: the same id is the same call; without it, a new one")
	flagOf(cmd, &f.expire, "expire", "", "24h", "how long a durable call is tried, as a `time`", parseTimeout)
	flags.BoolVar(&f.noWait, "no-wait", false, "print the id of a durable call, and do not wait for its end")
	a.outputFlag(cmd)
	return cmd
}

// destinations are the flags of which a call needs exactly one.
func destinations() []string { return []string{"key", "peer", "all", "any"} }

// completeMethods completes the methods that every node serves.
func completeMethods(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return []string{
		node.Ping.Name(), node.Echo.Name(), node.Members.Name(), node.Owner.Name(), node.Explain.Name(), node.Ring.Name(),
		node.Statistics.Name(), node.Metrics.Name(),
	}, cobra.ShellCompDirectiveNoFileComp
}

// request makes the forwarded call of what was given.
func (a *app) request(cmd *cobra.Command, f *callFlags, args []string) (*node.ForwardRequest, error) {
	if _, err := rpc.Untyped(args[0]); err != nil {
		return nil, usagef("%s", rpc.AsError(err).Message)
	}
	req := &node.ForwardRequest{Method: args[0], Idempotent: f.idempotent}
	if err := f.destination(cmd, req); err != nil {
		return nil, err
	}
	if err := f.policy.put(req); err != nil {
		return nil, err
	}
	for _, pair := range f.meta {
		if req.Metadata == nil {
			req.Metadata = make(map[string]string)
		}
		key, val, _ := strings.Cut(pair, "=")
		req.Metadata[key] = val
	}
	text := []byte("{}")
	if len(args) > 1 {
		var err error
		if text, err = a.load(args[1]); err != nil {
			return nil, fmt.Errorf("the request: %w", err)
		}
	}
	body, err := jsonpack.FromJSON(text)
	if err != nil {
		return nil, usagef(`the request is not JSON that can be sent: %w; want something like '{"name":"alice"}'`, err)
	}
	req.Body = body
	return req, nil
}

// destination puts the one that was given into req.
func (f *callFlags) destination(cmd *cobra.Command, req *node.ForwardRequest) error {
	changed := cmd.Flags().Changed
	var given []string
	for name, meant := range map[string]bool{"key": true, "peer": true, "all": f.all, "any": true} {
		if changed(name) && meant {
			given = append(given, "--"+name)
		}
	}
	slices.Sort(given)
	switch {
	case len(given) == 0:
		return usagef("no destination; add one of --key KEY, --peer NAME, --all and --any")
	case len(given) > 1:
		return usagef("%s are different destinations; give one", strings.Join(given, " and "))
	}
	req.Keyed, req.Key, req.Peer, req.All = given[0] == "--key", f.key, f.peer, f.all
	req.Policy = f.any
	if given[0] == "--peer" && f.peer == "" {
		return usagef("--peer needs the name of a node; 'meshnode members' lists them")
	}
	return nil
}

// callDurably has the call of req taken by a node's outbox.
func (a *app) callDurably(ctx context.Context, req *node.ForwardRequest, f *callFlags) error {
	if !req.Keyed {
		return usagef("a durable call goes to the owner of a key: give --key")
	}
	if len(f.id) > rpc.MaxID {
		return usagef("--id has %d bytes; want at most %d", len(f.id), rpc.MaxID)
	}
	return a.enqueue(ctx, &outbox.EnqueueRequest{
		ID: f.id, Method: req.Method, Key: req.Key, Body: req.Body, Metadata: req.Metadata, Timeout: f.expire.Milliseconds(),
	}, !f.noWait, f.timeout)
}

func (a *app) call(ctx context.Context, req *node.ForwardRequest, timeout time.Duration) error {
	c, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	answers, err := forward(ctx, c, req, rpc.Timeout(timeout))
	if err != nil {
		return err
	}
	if req.All {
		return a.printAnswers(answers)
	}
	if err := answers[0].Err(); err != nil {
		return err
	}
	return a.printAnswer(readAnswer(&answers[0]))
}
