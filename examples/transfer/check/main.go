// Command check tells whether the accounts of package bank are right. It reads the
// directories of nodes that have been stopped, and the receipts that clients wrote,
// and changes nothing:
//
//	go run ./examples/transfer/check [-o json] DIR…
//
// A DIR is a node's directory, or one that has such directories and files
// "*.receipts" in it. It finds out that
//
//   - the sum of all balances is what the accounts were opened with;
//   - each transfer for which there is a receipt was made once, at the payer and at
//     the receiver, or is a dead letter and was made nowhere;
//   - no transfer was made that a client was told is refused for good;
//   - no transfer at all was made twice or by half;
//   - transfers of one client and one payer were made in the order of their receipts;
//   - every balance is the sum of its journal, which has no gaps;
//   - nothing is left to be made, and no partition is held twice.
//
// It looks at the journals of the accounts alone, which the handlers write; what the
// mesh itself remembers of executed calls is not asked.
//
// The exit status is 0 if all is right, 1 if not, 2 if it cannot be told.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	output := flag.String("o", "text", "text or json")
	flag.Parse()
	if flag.NArg() == 0 || *output != "text" && *output != "json" {
		fmt.Fprintln(os.Stderr, "usage: check [-o text|json] DIR…")
		os.Exit(2)
	}
	books, err := readAll(flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		os.Exit(2)
	}
	report := judge(books)
	if *output == "json" {
		err = json.NewEncoder(os.Stdout).Encode(report)
	} else {
		err = report.print(os.Stdout)
	}
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "check:", err)
		os.Exit(2)
	case !report.OK:
		os.Exit(1)
	}
}

// print writes the report as text.
func (r *report) print(w io.Writer) error {
	verdict := "all is right"
	if !r.OK {
		verdict = "NOT RIGHT"
	}
	_, err := fmt.Fprintf(w, `%s
accounts    %d, in %d partitions of %d nodes
sum         %d; opened with %d
receipts    %d transfers, %d refusals, %d accounts opened; %d lines not finished
applied     %d of them, %d refused, %d expired; %d more without a receipt
`, verdict, r.Accounts, r.Partitions, r.Nodes, r.Sum, r.OpenedWith, r.Transfers, r.Told, r.Opens, r.Torn, r.Applied, r.Refused, r.Expired, r.Unasked)
	for _, kind := range kinds {
		if n := r.Findings[kind]; n > 0 && err == nil {
			_, err = fmt.Fprintf(w, "%-11s %d\n", kind, n)
		}
	}
	for _, line := range r.Examples {
		if err == nil {
			_, err = fmt.Fprintln(w, "  "+line)
		}
	}
	return err
}
