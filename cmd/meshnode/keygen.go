package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/rpc"
)

const keygenLong = `Makes a random gossip key as base64. All nodes of a cluster need the same one.
Whoever lacks it can neither read their gossip nor join.

--out writes it to a file that only its owner can read. Without --out it is printed:
whatever it is redirected to then has the permissions that the shell gives it.

16, 24 and 32 bytes mean AES-128, AES-192 and AES-256.`

// keygenFlags say what key is made and where it goes.
type keygenFlags struct {
	size  int
	out   string
	force bool
}

func newKeygen(a *app) *cobra.Command {
	f := &keygenFlags{}
	cmd := &cobra.Command{
		Use:   "keygen",
		Short: "Make a gossip key",
		Long:  keygenLong,
		Example: `  meshnode keygen --out gossip.key
  meshnode run --gossip-key @gossip.key`,
		Args: noArgs,
		RunE: action(func(context.Context, *cobra.Command, []string) error { return a.keygen(f) }),
	}
	cmd.Flags().StringVar(&f.out, "out", "", "write the key to this `file`, which only its owner can read (mode 0600)")
	cmd.Flags().BoolVar(&f.force, "force", false, "replace a file that is there")
	flagOf(cmd, &f.size, "bytes", "", "32", "`length` of the key: 16, 24 or 32", func(text string) (int, error) {
		n, err := parseCount(16, membership.KeySize)(text)
		if err != nil || n%8 != 0 {
			return 0, errors.New("want 16, 24 or 32")
		}
		return n, nil
	})
	a.outputFlag(cmd)
	return cmd
}

// keyJSON is a key as programs read it: itself, or where it is.
type keyJSON struct {
	Key   string `json:"key,omitempty"`
	File  string `json:"file,omitempty"`
	Bytes int    `json:"bytes"`
}

func (a *app) keygen(f *keygenFlags) error {
	key := membership.FormatKey(membership.GenerateKey()[:f.size])
	if f.out == "" {
		if a.json() {
			return a.printJSON(keyJSON{Key: key, Bytes: f.size})
		}
		return a.printLines(key)
	}
	if err := writeSecret(f.out, []byte(key+"\n"), f.force); err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(keyJSON{File: f.out, Bytes: f.size})
	}
	return a.printLines(fmt.Sprintf("%s  a key of %d bytes; every node needs it: --gossip-key @%s", f.out, f.size, quoted(f.out)))
}

// writeSecret writes a file that only its owner can read. One that is there is left alone, unless
// replace is set: then it is replaced as a whole, with the permissions of the new one.
func writeSecret(path string, data []byte, replace bool) error {
	if !replace {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return failf(rpc.AlreadyExists, "%s is there already; --force replaces it", path)
		}
		if err != nil {
			return err
		}
		return finish(f, data)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".meshnode-*") // mode 0600
	if err != nil {
		return err
	}
	if err := finish(f, data); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// finish writes all of a new file and closes it. If that fails, it removes the file.
func finish(f *os.File, data []byte) error {
	_, err := f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
