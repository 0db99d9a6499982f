package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/router"
)

// value is a flag of any type: parse checks and reads its text, so that what is
// malformed is refused before anything is done.
type value[T any] struct {
	to    *T
	text  string
	parse func(text string) (T, error)
}

// Set implements pflag.Value.
func (v *value[T]) Set(text string) error {
	got, err := v.parse(text)
	if err != nil {
		return err
	}
	*v.to, v.text = got, text
	return nil
}

// String implements pflag.Value.
func (v *value[T]) String() string { return v.text }

// Type implements pflag.Value; flags name their values in backquotes.
func (v *value[T]) Type() string { return "value" }

// flagOf gives cmd a flag that parse reads. An empty initial leaves *to alone.
func flagOf[T any](cmd *cobra.Command, to *T, name, short, initial, usage string, parse func(string) (T, error)) {
	v := &value[T]{to: to, parse: parse}
	if initial != "" {
		if err := v.Set(initial); err != nil {
			panic(fmt.Sprintf("default of --%s: %v", name, err))
		}
	}
	cmd.Flags().VarP(v, name, short, usage)
}

// choiceFlag gives cmd a flag with a few possible texts, and completes them.
func choiceFlag(cmd *cobra.Command, to *string, name, short, initial, usage string, choices ...string) {
	flagOf(cmd, to, name, short, initial, usage, func(text string) (string, error) {
		if !slices.Contains(choices, text) {
			return "", wantOneOf(choices)
		}
		return text, nil
	})
	completeChoices(cmd, name, choices)
}

func completeChoices(cmd *cobra.Command, name string, choices []string) {
	err := cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(choices, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // the flag is not there
	}
}

func wantOneOf(choices []string) error {
	last := len(choices) - 1
	return fmt.Errorf("want %s or %s", strings.Join(choices[:last], ", "), choices[last])
}

// list is a flag that may be given several times. Its variable separates items by commas, and
// so does the flag if no item can hold one.
type list struct {
	items  *[]string
	check  func(item string) error
	commas bool // items never hold a comma
}

// Set implements pflag.Value. It takes all of text or nothing.
func (l *list) Set(text string) error {
	items := []string{text}
	if l.commas {
		items = splitList(text)
	}
	for _, item := range items {
		if err := l.check(item); err != nil {
			return err
		}
	}
	*l.items = append(*l.items, items...)
	return nil
}

// splitList splits at commas. Blanks around items do not count.
func splitList(text string) []string {
	items := strings.Split(text, ",")
	for i, item := range items {
		items[i] = strings.TrimSpace(item)
	}
	return items
}

// String implements pflag.Value.
func (l *list) String() string { return strings.Join(*l.items, ",") }

// Type implements pflag.Value.
func (l *list) Type() string { return "value" }

// Append implements pflag.SliceValue.
func (l *list) Append(text string) error { return l.Set(text) }

// Replace implements pflag.SliceValue.
func (l *list) Replace(items []string) error {
	*l.items = nil
	for _, item := range items {
		if err := l.Set(strings.TrimSpace(item)); err != nil {
			return err
		}
	}
	return nil
}

// GetSlice implements pflag.SliceValue.
func (l *list) GetSlice() []string { return *l.items }

func checkSeed(text string) error {
	_, err := membership.ParseSeed(text)
	return err
}

func checkPair(text string) error {
	if key, _, ok := strings.Cut(text, "="); !ok || key == "" {
		return errors.New("want key=value")
	}
	return nil
}

// errBind says what --bind takes.
var errBind = errors.New("want ip:port or a name of this host, such as 127.0.0.1:7101 or localhost:7101 (port 0: any free one)")

// parseBind reads "host:port" without asking who host is. Port 0 takes a free one.
func parseBind(text string) (string, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil || host == "" {
		return "", errBind
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", errBind
	}
	if _, err := netip.ParseAddr(host); err != nil && !nameLike(host) {
		return "", errBind
	}
	return text, nil
}

// nameLike reports whether text can be a host's name. What looks like an IP address is none.
func nameLike(text string) bool {
	seed, err := membership.ParseSeed(text + ":1")
	return err == nil && seed.Host == text && strings.Trim(text, "0123456789.") != ""
}

// parseHostPort reads "host:port" without asking who host is.
func parseHostPort(text string) (string, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil || host == "" {
		return "", errors.New("want host:port, such as 127.0.0.1:7101")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("port %q; want a number from 1 to 65535", port)
	}
	return text, nil
}

func parseWeight(text string) (float64, error) {
	w, err := strconv.ParseFloat(text, 64)
	if err != nil || !(w >= router.MinWeight && w <= router.MaxWeight) {
		return 0, fmt.Errorf("want a number from %v to %v", router.MinWeight, router.MaxWeight)
	}
	return w, nil
}

// parseCount reads whole numbers within bounds.
func parseCount(least, most int) func(string) (int, error) {
	return func(text string) (int, error) {
		n, err := strconv.Atoi(text)
		if err != nil || n < least || n > most {
			return 0, fmt.Errorf("want a whole number from %d to %d", least, most)
		}
		return n, nil
	}
}

// parseWait is parseTimeout where 0 means something, too.
func parseWait(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, errors.New("want a duration, such as 30s, or 0")
	}
	return d, nil
}

func parseTimeout(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, errors.New("want a positive duration, such as 500ms or 5s")
	}
	return d, nil
}
