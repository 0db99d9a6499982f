// Command worker is both sides of the chaos tests: a member that serves a small
// service, and a client that puts load on it and judges each answer.
//
//	worker serve -name node-1 -bind 127.0.0.1:7101 [-join ADDR] -executed FILE
//	worker load  -name load-1 -join ADDR -rate 1100 [-once 0.2] [-hedge 30ms]
//
// A server ends gracefully on SIGTERM. A client runs until its standard input
// ends, and then prints a report as JSON; a line "mark NAME NANOSECONDS" on it
// says when a member was killed.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/rs/zerolog"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

// The service. Idempotent calls may be made again; others count executions.
type (
	// Request says what is asked for.
	Request struct {
		Key string `json:"key"`
		ID  string `json:"id"` // of the call; noted if it is not idempotent
	}
	// Reply says who served it, and by what right.
	Reply struct {
		Node     string `json:"node"`
		Key      string `json:"key"`
		Owned    bool   `json:"owned"`    // by the server's own table, when it ran
		Failover bool   `json:"failover"` // in the place of another
	}
)

func main() {
	if len(os.Args) < 2 {
		fail("want serve or load")
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	cfg := node.Config{Cluster: "chaos", Profile: membership.Local}
	var join string
	var o options
	flags.StringVar(&cfg.Name, "name", "", "name of the member")
	flags.StringVar(&cfg.Bind, "bind", node.DefaultBind, "ip:port")
	flags.StringVar(&join, "join", "", "ip:port of a member")
	flags.StringVar(&o.executed, "executed", "", "file to note executed calls in")
	flags.Float64Var(&o.rate, "rate", 1100, "calls a second")
	flags.Uint64Var(&o.seed, "seed", 1, "of the choice of keys and methods")
	flags.IntVar(&o.keys, "keys", 5000, "number of keys")
	flags.Float64Var(&o.once, "once", 0, "part of the calls that are not idempotent")
	flags.DurationVar(&o.hedge, "hedge", 30*time.Millisecond, "send an idempotent call again after so long; 0: never")
	flags.DurationVar(&o.timeout, "timeout", 2*time.Second, "of each call")
	flags.DurationVar(&o.work, "work", 0, "how long a handler takes")
	if err := flags.Parse(os.Args[2:]); err != nil {
		fail(err.Error())
	}
	if join != "" {
		cfg.Seeds = []string{join}
	}
	cfg.Logger = zerolog.New(os.Stderr).With().Timestamp().Logger()
	var err error
	switch os.Args[1] {
	case "serve":
		err = serve(cfg, o)
	case "load":
		cfg.Observer = true
		err = load(cfg, o)
	default:
		err = fmt.Errorf("no such part: %s", os.Args[1])
	}
	if err != nil {
		fail(err.Error())
	}
}

// options are the flags that are not a node's.
type options struct {
	executed      string
	rate, once    float64
	keys          int
	seed          uint64
	hedge         time.Duration
	timeout, work time.Duration
}

// methods gives the two methods, the first of which is idempotent.
func methods(hedge time.Duration) (safe, once rpc.Method[Request, Reply]) {
	opts := []rpc.MethodOption{rpc.Idempotent()}
	if hedge > 0 {
		opts = append(opts, rpc.Hedge(hedge))
	}
	return rpc.NewMethod[Request, Reply]("chaos.Safe", opts...), rpc.NewMethod[Request, Reply]("chaos.Once")
}

func fail(why string) {
	fmt.Fprintln(os.Stderr, "worker:", why)
	os.Exit(1)
}
