package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshnode/meshnode/cmd/meshnode/internal/jsonpack"
	"github.com/meshnode/meshnode/outbox"
	"github.com/meshnode/meshnode/rpc"
)

const outboxLong = `Looks at durable calls, and decides about those that were given up.

A durable call is on the disk of the node that took it until its owner has executed
it, or it is refused for good, expires or is cancelled: then it is a dead letter,
which waits for 'retry' or 'drop'. The calls of one key are made one after the other:
'list' shows under REASON which call a pending one waits for, and how that one fares.

--addr asks a node that runs; --dir reads the directory of one (its --data-dir),
whether it runs or not. 'cancel', 'retry' and 'drop' of a directory need it to be
stopped.`

const outboxExample = `  meshnode outbox status --dir /var/lib/meshnode
  meshnode outbox list --state dead --addr 127.0.0.1:7101
  meshnode outbox show order-17 -o json
  meshnode outbox retry order-17
  meshnode outbox status -o json | jq .pending`

// outboxFlags say whose calls.
type outboxFlags struct {
	dir   string
	state string
	limit int
}

func newOutbox(a *app) *cobra.Command {
	f := &outboxFlags{}
	cmd := &cobra.Command{
		Use:     "outbox",
		Short:   "Look at durable calls, and decide about dead letters",
		Long:    outboxLong,
		Example: outboxExample,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	sub := func(use, short, example string, args cobra.PositionalArgs, body func(context.Context, boxView, []string) error) *cobra.Command {
		one := &cobra.Command{Use: use, Short: short, Example: example, Args: args, RunE: action(func(ctx context.Context, cmd *cobra.Command, args []string) (err error) {
			v, err := a.viewBox(ctx, f, slices.Contains([]string{"cancel", "retry", "drop"}, cmd.Name()))
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, v.close()) }()
			return body(ctx, v, args)
		})}
		one.Flags().StringVarP(&f.dir, "dir", "d", "", "read the data `directory` of a node, or an outbox that a program keeps, instead of asking --addr")
		a.addrFlag(one, "ask the node at `host:port`")
		a.outputFlag(one)
		cmd.AddCommand(one)
		return one
	}
	sub("status", "Show how many calls wait, since when, and what a recovery would read",
		"  meshnode outbox status --dir /var/lib/meshnode\n  meshnode outbox status -o json | jq .pending", noArgs, func(ctx context.Context, v boxView, _ []string) error {
			return a.boxStatus(ctx, v)
		})
	list := sub("list", "List calls, the oldest first",
		"  meshnode outbox list --state dead\n  meshnode outbox list --state pending -n 20 --dir /var/lib/meshnode", noArgs, func(ctx context.Context, v boxView, _ []string) error {
			return a.boxList(ctx, v, f)
		})
	flagOf(list, &f.state, "state", "s", "", "only those that are pending, done or dead", parseLetterState)
	completeChoices(list, "state", letterStates())
	flagOf(list, &f.limit, "limit", "n", "1000", "at most `n`", parseCount(1, 1000))
	sub("show ID", "Show one call with its request, and its reply or why it was given up", "  meshnode outbox show order-17", oneID, func(ctx context.Context, v boxView, args []string) error {
		return a.boxShow(ctx, v, args[0])
	})
	sub("retry ID", "Have a dead letter tried again", "  meshnode outbox retry order-17", oneID, func(ctx context.Context, v boxView, args []string) error {
		return v.decide(ctx, args[0], true)
	})
	sub("cancel ID", "End a pending call: it becomes a dead letter", "  meshnode outbox cancel order-17", oneID, func(ctx context.Context, v boxView, args []string) error {
		return a.boxCancel(ctx, v, args[0])
	})
	sub("drop ID", "Forget a dead letter; a pending call is cancelled first", "  meshnode outbox drop order-17", oneID, func(ctx context.Context, v boxView, args []string) error {
		l, err := v.show(ctx, args[0])
		if err == nil && l.State == "pending" {
			err = a.boxCancel(ctx, v, args[0])
		}
		if err != nil {
			return err
		}
		return v.decide(ctx, args[0], false)
	})
	return cmd
}

func letterStates() []string { return []string{"pending", "done", "dead"} }

func parseLetterState(text string) (string, error) {
	for _, s := range letterStates() {
		if text == s {
			return s, nil
		}
	}
	return "", wantOneOf(letterStates())
}

func oneID(_ *cobra.Command, args []string) error {
	switch len(args) {
	case 0:
		return errors.New("no id given; 'meshnode outbox list' shows them")
	case 1:
		return nil
	}
	return fmt.Errorf("unexpected argument %q", args[1])
}

func (a *app) boxStatus(ctx context.Context, v boxView) error {
	s, err := v.status(ctx)
	if err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(s)
	}
	t := newTable("", "")
	t.add("pending", thousands(s.Pending))
	if !s.Oldest.IsZero() {
		t.add("oldest", "taken "+brief(time.Since(s.Oldest))+" ago")
	}
	if s.Blocked > 0 {
		t.add("blocked", thousands(s.Blocked)+" of them wait for another call of their key: 'meshnode outbox list --state pending'")
	}
	if s.Failing > 0 {
		t.add("failing", thousands(s.Failing)+" of them failed when last tried")
	}
	t.add("dead letters", thousands(s.Dead))
	t.add("results kept", thousands(s.Done))
	t.add("log", thousands(s.LogBytes)+" bytes, up to "+s.Position)
	if s.Checkpoint == 0 {
		t.add("checkpoint", "none yet: a recovery reads the whole log")
	} else {
		t.add("checkpoint", strconv.FormatUint(s.Checkpoint, 10)+": a recovery reads it, and the log from there")
	}
	if s.Holds >= 0 {
		t.add("partitions held", thousands(s.Holds))
	}
	if s.Waiting > 0 {
		t.add("waited for", thousands(s.Waiting)+" partitions, whose state is elsewhere")
	}
	for _, one := range s.Silent {
		t.add("silent", one.String())
	}
	if s.Broken != "" {
		t.add("broken", s.Broken)
	}
	return a.printLines(t.lines()...)
}

func (a *app) boxList(ctx context.Context, v boxView, f *outboxFlags) error {
	letters, err := v.list(ctx, f.state, f.limit)
	if err != nil {
		return err
	}
	if a.json() {
		if letters == nil {
			letters = []outbox.Letter{}
		}
		return a.printJSON(letters)
	}
	t := newTable("ID", "STATE", "METHOD", "KEY", ">AGE", ">TRIED", "REASON")
	for _, l := range letters {
		t.add(l.ID, l.State, l.Method, l.Key, brief(time.Since(l.Enqueued)), thousands(l.Attempts), l.Reason)
	}
	return a.printLines(t.lines()...)
}

// boxCancel cancels a call, and says what that cannot undo.
func (a *app) boxCancel(ctx context.Context, v boxView, id string) error {
	l, err := v.cancel(ctx, id)
	if err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(l)
	}
	text := "cancelled; it was not executed"
	if l.MayHaveRun {
		text = "cancelled; it may have been executed already, which this does not undo"
	}
	return a.printLines(id + " is " + text + " (" + l.Reason + ")")
}

// letterJSON is a call as programs read it: what it carries is JSON.
type letterJSON struct {
	outbox.Letter
	Request json.RawMessage `json:"request,omitempty"`
	Reply   json.RawMessage `json:"reply,omitempty"`
}

func (a *app) boxShow(ctx context.Context, v boxView, id string) error {
	l, err := v.show(ctx, id)
	if err != nil {
		return err
	}
	out := letterJSON{Letter: l, Request: bodyJSON(l.Request), Reply: bodyJSON(l.Reply)}
	out.Letter.Request, out.Letter.Reply = nil, nil
	return a.printJSON(out)
}

// bodyJSON gives an encoded body as JSON; what is no msgpack as base64.
func bodyJSON(body []byte) json.RawMessage {
	if len(body) == 0 {
		return nil
	}
	if text, err := jsonpack.ToJSON(body); err == nil {
		return text
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil
	}
	return text
}

// enqueue has a node's box take a call and, unless told otherwise, waits for its end.
func (a *app) enqueue(ctx context.Context, req *outbox.EnqueueRequest, wait bool, timeout time.Duration) error {
	c, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	taken, err := outbox.EnqueueMethod.Call(ctx, c, req)
	if errors.Is(err, rpc.Unimplemented) {
		return failf(rpc.Unimplemented, "the node at %s has no outbox: run it with --data-dir", a.addr)
	}
	if err != nil {
		return err
	}
	if !wait {
		if a.json() {
			return a.printJSON(taken)
		}
		return a.printLines(taken.ID)
	}
	fmt.Fprintf(a.stderr, "%s is on the disk; waiting for its end\n", taken.ID)
	out, err := outbox.AwaitMethod.Call(ctx, c, &outbox.AwaitRequest{ID: taken.ID}, rpc.Timeout(timeout))
	if errors.Is(err, rpc.DeadlineExceeded) {
		return failf(rpc.DeadlineExceeded, "%s has not ended within %v; it goes on: 'meshnode outbox show %s'", taken.ID, timeout, taken.ID)
	}
	if err != nil {
		return err
	}
	if out.Code != 0 {
		return failf(rpc.Code(out.Code), "%s is a dead letter: %s: %s", taken.ID, rpc.Code(out.Code), out.Message)
	}
	if a.json() {
		return a.printJSON(struct {
			ID    string          `json:"id"`
			Reply json.RawMessage `json:"reply"`
		}{taken.ID, bodyJSON(out.Reply)})
	}
	return a.printLines(string(bodyJSON(out.Reply)))
}
