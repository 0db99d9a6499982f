package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/meshnode/meshnode/rpc"
)

// Exit statuses.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
	exitCut     = 130 // a second signal
)

// failure is why a command that could be meant did not succeed. Every other
// error is one of usage.
type failure struct {
	code   rpc.Code // OK: by the error
	err    error
	logged bool // it has been said already
}

// Error implements error.
func (f *failure) Error() string { return f.err.Error() }

// Unwrap gives the cause.
func (f *failure) Unwrap() error { return f.err }

// failf gives a failure in this program's own words.
func failf(code rpc.Code, format string, args ...any) error {
	return &failure{code: code, err: fmt.Errorf(format, args...)}
}

// usageError is a command line that cannot be meant.
type usageError struct{ err error }

// Error implements error.
func (e *usageError) Error() string { return e.err.Error() }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// action makes errors of a command's body failures, unless they say otherwise.
func action(body func(ctx context.Context, cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := body(cmd.Context(), cmd, args)
		var f *failure
		var u *usageError
		if err == nil || errors.As(err, &f) || errors.As(err, &u) {
			return err
		}
		return &failure{err: err}
	}
}

// report says why a command ended, in one line, and gives the exit status.
func (a *app) report(cmd *cobra.Command, err error) int {
	if err == nil {
		return exitOK
	}
	path := cmd.CommandPath()
	var f *failure
	if !errors.As(err, &f) {
		if !cmd.HasParent() {
			err = unknownCommand(cmd, err)
		}
		fmt.Fprintf(a.stderr, "%s: %s; see '%s --help'\n", path, oneLine(withoutPackages(err.Error())), path)
		return exitUsage
	}
	switch {
	case f.logged:
	case a.json():
		a.reportJSON(f)
	case errors.Is(err, context.Canceled):
		fmt.Fprintf(a.stderr, "%s: interrupted\n", path)
	default:
		fmt.Fprintf(a.stderr, "%s: %s\n", path, oneLine(withoutPackages(err.Error())))
	}
	return exitFailure
}

func (a *app) reportJSON(f *failure) {
	line, err := json.Marshal(map[string]errorJSON{"error": f.json()})
	if err != nil {
		line = []byte(err.Error())
	}
	fmt.Fprintf(a.stderr, "%s\n", line)
}

// errorJSON is a failure as programs read it.
type errorJSON struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (f *failure) json() errorJSON {
	if f.code != rpc.OK {
		return errorJSON{Code: f.code.String(), Message: f.Error()}
	}
	if errors.Is(f.err, fs.ErrNotExist) {
		return errorJSON{Code: rpc.NotFound.String(), Message: f.Error()}
	}
	e := rpc.AsError(f.err)
	return errorJSON{Code: e.Code.String(), Message: e.Message}
}

// unknownCommand says what may have been meant.
func unknownCommand(root *cobra.Command, err error) error {
	var name string
	if _, scanErr := fmt.Sscanf(err.Error(), "unknown command %q", &name); scanErr != nil {
		return err
	}
	if near := root.SuggestionsFor(name); len(near) > 0 {
		return fmt.Errorf("unknown command %q (did you mean %q?)", name, near[0])
	}
	return fmt.Errorf("unknown command %q", name)
}

// flagError puts pflag's errors into words that say how to mend it.
func flagError(err error) error {
	var invalid *pflag.InvalidValueError
	var needs *pflag.ValueRequiredError
	switch {
	case errors.As(err, &invalid):
		return invalidValue("--"+invalid.GetFlag().Name, invalid.GetValue(), invalid.Unwrap())
	case errors.As(err, &needs):
		value, _ := pflag.UnquoteUsage(needs.GetFlag())
		return fmt.Errorf("--%s needs a value: --%s <%s>", needs.GetFlag().Name, needs.GetFlag().Name, value)
	}
	return err
}

// invalidValue says that what was given, by a flag or a variable, is not valid.
func invalidValue(what, given string, why error) error {
	if strings.Contains(why.Error(), strconv.Quote(given)) { // it shows the value itself
		return fmt.Errorf("%s: %w", what, why)
	}
	return fmt.Errorf("%s %q: %w", what, given, why)
}

// withoutPackages leaves out which package of this project an error is from:
// that says nothing to somebody at a command line.
func withoutPackages(text string) string {
	return strings.NewReplacer("node: ", "", "membership: ", "", "transport: ", "", "router: ", "", "certs: ", "", "datadir: ", "").Replace(text)
}
