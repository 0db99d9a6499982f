package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshnode/meshnode/certs"
)

const certLong = `Makes certificates for a cluster that speaks TLS: first a certificate authority
(CA), then one certificate for each node, and one for whoever calls from outside.

That is for development and small clusters. If there is a CA already, use it: a
node's certificate must have the node's name as a DNS name (SAN), and serve both
ends of a connection (extended key usages serverAuth and clientAuth).`

const certExample = `  meshnode cert ca
  meshnode cert issue node-1 node-2 node-3
  meshnode cert issue --client admin`

const certCALong = `Makes a CA: its certificate, ca.crt, which every node and client needs, and its
private key, ca.key, which only 'meshnode cert issue' needs. Whoever has the key
can make nodes; keep it off the machines that run them.

To replace a CA without an outage, make a new one in another folder, give all
nodes both certificates in one file, then certificates of the new one, then the
new certificate alone. Nodes notice new files by themselves.`

const certIssueLong = `Makes a certificate with a private key for each NAME, signed by the CA in --dir:
NAME.crt and NAME.key, for the node that runs as --name NAME. With --client they
are for callers from outside: the name is for people, and no node can use them.

Files that are there are never overwritten without --force. A node notices new
files within a second, and no connection is dropped.`

// certFlags say what is made and where.
type certFlags struct {
	dir    string
	days   int
	name   string
	client bool
	force  bool
}

func newCert(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "cert",
		Short:   "Make certificates for TLS",
		Long:    certLong,
		Example: certExample,
		Args:    subcommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddGroup(&cobra.Group{ID: groupOther, Title: "Commands:"})
	for _, sub := range []*cobra.Command{newCertCA(a), newCertIssue(a)} {
		sub.GroupID = groupOther
		cmd.AddCommand(sub)
	}
	return cmd
}

// subcommand refuses what is no command below cmd.
func subcommand(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unknown command %q", args[0])
	}
	return nil
}

func newCertCA(a *app) *cobra.Command {
	f := &certFlags{}
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "Make a certificate authority",
		Long:  certCALong,
		Example: `  meshnode cert ca
  meshnode cert ca --dir /etc/meshnode --ca-name "mesh of team A" --days 730`,
		Args: noArgs,
		RunE: action(func(context.Context, *cobra.Command, []string) error { return a.certCA(f) }),
	}
	f.add(cmd, certs.DefaultAuthorityValid)
	cmd.Flags().StringVar(&f.name, "ca-name", certs.DefaultAuthorityName, "`name` of the CA, for people")
	a.outputFlag(cmd)
	return cmd
}

func newCertIssue(a *app) *cobra.Command {
	f := &certFlags{}
	cmd := &cobra.Command{
		Use:   "issue NAME...",
		Short: "Make certificates for nodes or clients",
		Long:  certIssueLong,
		Example: `  meshnode cert issue node-1 node-2 node-3
  meshnode cert issue --client admin
  meshnode cert issue node-1 --force --days 30
  meshnode run --name node-1 --gossip-key @gossip.key \
    --tls-ca certs/ca.crt --tls-cert certs/node-1.crt --tls-key certs/node-1.key`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("no name given: whom is the certificate for?")
			}
			return nil
		},
		RunE: action(func(_ context.Context, _ *cobra.Command, args []string) error { return a.certIssue(f, args) }),
	}
	f.add(cmd, certs.DefaultValid)
	cmd.Flags().BoolVar(&f.client, "client", false, "make certificates for callers from outside, not for nodes")
	a.outputFlag(cmd)
	return cmd
}

func (f *certFlags) add(cmd *cobra.Command, valid time.Duration) {
	cmd.Flags().StringVarP(&f.dir, "dir", "d", "certs", "keep the files in this `folder`")
	flagOf(cmd, &f.days, "days", "", strconv.Itoa(int(valid.Hours()/24)), "valid for `n` days from now", parseCount(1, 36500))
	cmd.Flags().BoolVar(&f.force, "force", false, "overwrite files that are there")
}

func (f *certFlags) valid() time.Duration { return time.Duration(f.days) * 24 * time.Hour }

// The files of the CA.
func (f *certFlags) ca() (cert, key string) {
	return filepath.Join(f.dir, "ca.crt"), filepath.Join(f.dir, "ca.key")
}

// issued is one certificate as programs read it.
type issued struct {
	Name     string    `json:"name"`
	Cert     string    `json:"cert"` // the file's path
	Key      string    `json:"key"`
	NotAfter time.Time `json:"not_after"`
}

func (a *app) certCA(f *certFlags) error {
	ca, err := certs.NewAuthority(certs.AuthorityOptions{Name: f.name, Valid: f.valid()})
	if err != nil {
		return err
	}
	cert, key := f.ca()
	if err := write(ca.Pair(), cert, key, f.force); err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(issued{Name: f.name, Cert: cert, Key: key, NotAfter: ca.NotAfter()})
	}
	dir := ""
	if f.dir != "certs" {
		dir = " --dir " + quoted(f.dir)
	}
	return a.printLines(
		fmt.Sprintf("%s  the CA's certificate, until %s; every node and client needs it", cert, day(ca.NotAfter())),
		fmt.Sprintf("%s  its private key; keep it secret, nodes do not need it", key),
		"",
		"Next, a certificate for each node:",
		"  meshnode cert issue node-1 node-2 node-3"+dir,
	)
}

func write(pair *certs.Pair, cert, key string, force bool) error {
	err := pair.WriteFiles(cert, key, force)
	if errors.Is(err, certs.ErrExists) {
		return fmt.Errorf("%w; --force overwrites it", err)
	}
	return err
}

func (a *app) certIssue(f *certFlags, names []string) error {
	caCert, caKey := f.ca()
	pair, err := certs.ReadFiles(caCert, caKey)
	if err != nil {
		return fmt.Errorf("no CA in %s ('meshnode cert ca' makes one): %w", f.dir, err)
	}
	ca, err := certs.LoadAuthority(pair)
	if err != nil {
		return fmt.Errorf("%s: %w", caCert, err)
	}
	all, pairs := make([]issued, len(names)), make([]*certs.Pair, len(names))
	for i, name := range names {
		if pairs[i], err = f.issue(ca, name, &all[i]); err != nil {
			return err
		}
	}
	for i, one := range all {
		if err := write(pairs[i], one.Cert, one.Key, f.force); err != nil {
			return err
		}
	}
	if a.json() {
		return a.printJSON(all)
	}
	return a.printIssued(f, all, caCert)
}

// issue makes what write writes, unless that is there already.
func (f *certFlags) issue(ca *certs.Authority, name string, one *issued) (*certs.Pair, error) {
	issue := ca.IssueNode
	if f.client {
		issue = ca.IssueClient
	}
	if strings.EqualFold(name, "ca") {
		return nil, usagef("the name %q would take the files of the CA", name)
	}
	pair, err := issue(name, f.valid())
	if err != nil {
		return nil, usagef("%w", err)
	}
	cert, err := pair.Certificate()
	if err != nil {
		return nil, err
	}
	at := func(end string) string { return filepath.Join(f.dir, fileName(name)+end) } // a name may be ".."
	*one = issued{Name: name, Cert: at(".crt"), Key: at(".key"), NotAfter: cert.NotAfter}
	for _, file := range []string{one.Cert, one.Key} {
		if _, err := os.Lstat(file); err == nil && !f.force {
			return nil, fmt.Errorf("%w: %s; --force overwrites it", certs.ErrExists, file)
		}
	}
	return pair, nil
}

// fileName is a name as files can have it on every system.
func fileName(name string) string {
	var b strings.Builder
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func (a *app) printIssued(f *certFlags, all []issued, caCert string) error {
	t := newTable("NAME", "CERTIFICATE", "KEY", "UNTIL")
	for _, one := range all {
		t.add(one.Name, one.Cert, one.Key, day(one.NotAfter))
	}
	first := all[0]
	files := fmt.Sprintf("--tls-ca %s --tls-cert %s --tls-key %s", quoted(caCert), quoted(first.Cert), quoted(first.Key))
	lines := append(t.lines(), "")
	if f.client {
		lines = append(lines, "Next, ask a node:", "  meshnode members "+files)
	} else {
		lines = append(lines,
			"Next, a gossip key ('meshnode keygen --out gossip.key', one for all nodes), and the node:",
			fmt.Sprintf("  meshnode run --name %s --gossip-key @gossip.key %s", quoted(first.Name), files))
	}
	return a.printLines(lines...)
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02") }

// quoted is text as a shell takes it for one word.
func quoted(text string) string {
	plain := strings.ReplaceAll(text, string(filepath.Separator), "")
	if text != "" && fileName(plain) == plain {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
