// Command embed writes the program that an executable built with the tag
// meshnode_exact carries, or the modfile to check packages for wasip1 with. It
// runs in a checkout of this module:
//
//	go run ./internal/exact/embed
//	go build -tags meshnode_exact ./cmd/meshnode
//
//	go run ./internal/exact/embed -modfile /tmp/wasip1
//	GOOS=wasip1 GOARCH=wasm go vet -modfile=/tmp/wasip1/go.mod ./node ./rpc ./router/... ./membership ./transport
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/meshnode/meshnode/internal/exact"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "embed:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("embed", flag.ContinueOnError)
	source := flags.String("source", ".", "folder of the module")
	modfile := flags.String("modfile", "", "write go.mod, go.sum and what they replace to this folder instead")
	out := flags.String("o", "", "file to write (default internal/exact/guest.wasm.gz in the folder of the module)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *modfile != "" {
		return exact.WriteModfile(ctx, *source, *modfile)
	}
	if *out == "" {
		*out = filepath.Join(*source, "internal", "exact", "guest.wasm.gz")
	}
	p, err := exact.Build(ctx, exact.BuildConfig{
		Dir: *source, Progress: func(what string) { fmt.Fprintln(os.Stderr, what) },
	})
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	if err := p.Pack(&packed); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%s: %d bytes, module %s, %s\n", *out, packed.Len(), p.Hash, p.GoVersion)
	return os.WriteFile(*out, packed.Bytes(), 0o644)
}
