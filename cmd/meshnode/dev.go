package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

const devLong = `Runs a cluster on this machine: as many processes of this program as --nodes
says, called node-1, node-2 and so on, on consecutive ports of 127.0.0.1. The
first one is the seed of the others.

It shows who is a member, who owns how much, and whether all nodes have the same
table. Ctrl-C stops all processes gracefully; none outlives this one. Stop or kill
one of them (the view has its process id), or have another node join, and watch:

  meshnode run --name node-6 --bind 127.0.0.1:7106 --join 127.0.0.1:7101 --profile local

With --once it checks instead of showing: it waits until all agree (30 s at most),
routes 1,000 keys through all nodes in turn, compares who answered with whom owner
names, prints the result and stops. The exit status is 1 if anything is wrong. A key
that the next owner served, because its owner gave no sign of life in time, is counted
apart: on a busy machine that is as it should be.

Without a terminal it prints a line for each change; with -o json too.`

const devExample = `  meshnode dev
  meshnode dev --once
  meshnode dev --tls
  meshnode dev --nodes 20 --base-port 0 --verbose
  meshnode dev --once -o json | jq '.agreed_ms, .per_node'`

// Bounds of dev.
const (
	devMaxNodes = 100
	devPatience = 15 * time.Second // for a graceful end: longer than a node drains
)

// devFlags say what cluster dev runs.
type devFlags struct {
	nodes, basePort int
	once, verbose   bool
	tls             bool
	logDir, profile string
}

func newDev(a *app) *cobra.Command {
	f := &devFlags{}
	cmd := &cobra.Command{
		Use:     "dev",
		Short:   "Run a cluster of processes on this machine",
		Long:    devLong,
		Example: devExample,
		Args:    noArgs,
		RunE:    action(func(ctx context.Context, _ *cobra.Command, _ []string) error { return a.dev(ctx, f) }),
	}
	flags := cmd.Flags()
	flagOf(cmd, &f.nodes, "nodes", "n", "5", "run `n` processes", parseCount(1, devMaxNodes))
	flagOf(cmd, &f.basePort, "base-port", "", "7101", "`port` of the first one; 0 takes free ones", parseCount(0, 65535))
	flags.BoolVar(&f.once, "once", false, "check that all agree and route as they should, and stop")
	flags.BoolVar(&f.tls, "tls", false, "speak TLS, with a CA that is thrown away at the end")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "show what the processes log, on stderr")
	flags.StringVar(&f.logDir, "log-dir", "", "`folder` for the logs, which are kept; without it, a temporary one, kept after a failure unless -o json")
	choiceFlag(cmd, &f.profile, "profile", "", profileAuto,
		"timing of failure detection, by the `kind` of network: local or lan; auto is lan for many processes on few processors",
		profileAuto, membership.Local.String(), membership.LAN.String())
	a.outputFlag(cmd)
	return cmd
}

const (
	profileAuto = "auto"
	// crowd is how many processes share a processor before they are a crowd: with so
	// many, one may wait for its turn as long as the profile local takes to find it dead,
	// and what each death costs the others makes all wait longer.
	crowd = 12
)

// profileOf is the profile of the processes.
func (f *devFlags) profileOf(processors int) string {
	switch {
	case f.profile != profileAuto:
		return f.profile
	case f.nodes > crowd*processors:
		return membership.LAN.String()
	}
	return membership.Local.String()
}

func (a *app) dev(ctx context.Context, f *devFlags) (err error) {
	addrs, err := devAddrs(ctx, f)
	if err != nil {
		return err
	}
	program, err := a.executable()
	if err != nil {
		return fmt.Errorf("cannot tell where this program is: %w", err)
	}
	fl := &fleet{program: program, all: devProcesses(addrs, f.profileOf(runtime.GOMAXPROCS(0)))}
	if f.verbose {
		fl.shown = a.stderr
	}
	var security *transport.TLS
	if f.tls {
		var forget func() error
		if security, forget, err = a.devTLS(fl.all); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, forget()) }()
	}
	tidy, err := fl.openLogs(f)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := fl.start(); err != nil {
		return errors.Join(err, tidy())
	}
	w := newWatcher(fl.all, security)
	defer func() {
		w.close()
		clean := a.devStop(fl)
		if (clean && (err == nil || errors.Is(err, context.Canceled))) || a.json() {
			err = errors.Join(err, tidy())
		} else if fl.logDir != "" {
			fmt.Fprintf(a.stderr, "the logs are in %s\n", fl.logDir)
		}
	}()
	if f.once {
		return a.devOnce(ctx, w, began)
	}
	return a.devLive(ctx, w, f)
}

// devProcesses gives the processes to start, the seed first. All expect to see
// all, so that none routes by half a table.
func devProcesses(addrs []string, profile string) []*process {
	all := make([]*process, len(addrs))
	for i, addr := range addrs {
		p := &process{name: fmt.Sprintf("node-%d", i+1), addr: addr}
		p.args = []string{
			"run", "--name", p.name, "--bind", addr, "--profile", profile,
			"--expect", strconv.Itoa(len(addrs)), "--log-format", logConsole,
		}
		if i > 0 {
			p.args = append(p.args, "--join", addrs[0])
		}
		all[i] = p
	}
	return all
}

// openLogs makes the folder for the logs. tidy removes it, unless the user
// named it.
func (f *fleet) openLogs(flags *devFlags) (tidy func() error, err error) {
	keep := func() error { return nil }
	switch {
	case flags.logDir != "":
		f.logDir = flags.logDir
		return keep, os.MkdirAll(f.logDir, 0o755)
	case flags.verbose:
		return keep, nil
	}
	if f.logDir, err = os.MkdirTemp("", "meshnode-dev-"); err != nil {
		return nil, err
	}
	return func() error { return os.RemoveAll(f.logDir) }, nil
}

// devStop ends all processes and tells whether they ended well.
func (a *app) devStop(f *fleet) (clean bool) {
	began, running := time.Now(), 0
	clean = true
	for _, p := range f.all {
		if p.running() {
			running++
		}
	}
	killed := f.stop(devPatience)
	for _, p := range f.all {
		clean = clean && p.cmd.ProcessState.Success()
	}
	if a.json() {
		return clean
	}
	if len(killed) > 0 {
		fmt.Fprintf(a.stderr, "killed after %s: %s\n", brief(devPatience), listed(killed, shownNames))
	}
	fmt.Fprintf(a.stderr, "%s stopped in %s\n", plural(running, "process", "processes"), brief(time.Since(began)))
	return clean
}

// devAddrs gives the addresses of the nodes, all of them free a moment ago.
func devAddrs(ctx context.Context, f *devFlags) ([]string, error) {
	if f.basePort+f.nodes-1 > 65535 {
		return nil, usagef("--base-port %d: %d nodes need ports up to %d, and there are 65535", f.basePort, f.nodes, f.basePort+f.nodes-1)
	}
	addrs := make([]string, f.nodes)
	for i := range addrs {
		port := 0
		if f.basePort != 0 {
			port = f.basePort + i
		}
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		open, err := transport.OpenPort(ctx, transport.System(), addr)
		if err != nil {
			return nil, portTaken(port, f, err)
		}
		defer open.Close() //nolint:errcheck // held only so that no port is chosen twice
		addrs[i] = open.Addr().String()
	}
	return addrs, nil
}

// portTaken says how to mend that a port cannot be had.
func portTaken(port int, f *devFlags, err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		err = errno
	}
	other := f.basePort + devMaxNodes
	if other+f.nodes > 65536 || other < 1024 {
		other = 17101
	}
	return failf(rpc.Unavailable, "port %d is not free (%w); choose others with --base-port %d, or --base-port 0 for any that are free",
		port, err, other)
}
