package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/meshnode/meshnode/transport"
)

// tlsFlags are the files of a process that speaks TLS: all three, or none.
type tlsFlags struct{ cert, key, ca string }

func (f *tlsFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.cert, "tls-cert", "", "speak TLS, with the certificate in `file` (PEM; 'meshnode cert' makes one)")
	flags.StringVar(&f.key, "tls-key", "", "the certificate's private key is in `file` (PEM)")
	flags.StringVar(&f.ca, "tls-ca", "", "trust what the CAs in `file` have signed (PEM, one or more)")
}

// load gives nil when no TLS is asked for.
func (f *tlsFlags) load(log zerolog.Logger) (*transport.TLS, error) {
	var missing []string
	for _, flag := range []struct{ name, value string }{
		{"--tls-cert", f.cert},
		{"--tls-key", f.key},
		{"--tls-ca", f.ca},
	} {
		if flag.value == "" {
			missing = append(missing, flag.name)
		}
	}
	switch len(missing) {
	case 0:
	case 3:
		return nil, nil
	default:
		return nil, usagef("--tls-cert, --tls-key and --tls-ca go together; %s missing", strings.Join(missing, " and ")+is(len(missing)))
	}
	t, err := transport.NewTLS(transport.TLSConfig{Load: transport.CredentialFiles(f.cert, f.key, f.ca), Logger: log})
	if err != nil {
		return nil, fmt.Errorf("--tls-cert: %w", err)
	}
	return t, nil
}

func is(n int) string {
	if n == 1 {
		return " is"
	}
	return " are"
}

// hint says what to do about a failed dial.
func (f *tlsFlags) hint(err error) string {
	switch {
	case errors.Is(err, transport.ErrTLSRequired):
		return "the node takes TLS only: give --tls-cert, --tls-key and --tls-ca"
	case errors.Is(err, transport.ErrNoTLS):
		return "the node speaks no TLS: leave --tls-cert, --tls-key and --tls-ca out"
	case errors.Is(err, transport.ErrTLS):
		return "its log says more"
	}
	return "is one running there? --addr or " + envName("addr") + " says where"
}
