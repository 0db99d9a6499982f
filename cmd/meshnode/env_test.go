package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

func TestEnvName(t *testing.T) {
	for flag, want := range map[string]string{"addr": "MESHNODE_ADDR", "gossip-key": "MESHNODE_GOSSIP_KEY"} {
		if got := envName(flag); got != want {
			t.Errorf("envName(%q) = %q; want %q", flag, got, want)
		}
	}
}

// sample is a command with a flag of each kind.
type sample struct {
	weight  float64
	join    []string
	timeout time.Duration
	on      bool
	a, b    string
}

func (s *sample) command() *cobra.Command {
	cmd := &cobra.Command{Use: "sample"}
	flagOf(cmd, &s.weight, "weight", "", "1", "", parseWeight)
	flagOf(cmd, &s.timeout, "timeout", "", "5s", "", parseTimeout)
	cmd.Flags().Var(&list{items: &s.join, check: checkSeed, commas: true}, "join", "")
	cmd.Flags().BoolVar(&s.on, "on", false, "")
	cmd.Flags().StringVar(&s.a, "a", "", "")
	cmd.Flags().StringVar(&s.b, "b", "", "")
	for _, name := range []string{"a", "b"} {
		cmd.Flags().Lookup(name).Annotations = map[string][]string{exclusive: {"x"}}
	}
	return cmd
}

func TestEnvironment(t *testing.T) {
	for _, c := range []struct {
		name string
		env  map[string]string
		args []string
		ok   func(s *sample) bool
	}{
		{"defaults", nil, nil, func(s *sample) bool { return s.weight == 1 && s.timeout == 5*time.Second && s.join == nil }},
		{"values", map[string]string{"WEIGHT": "2.5", "TIMEOUT": "1m", "ON": "true"}, nil, func(s *sample) bool {
			return s.weight == 2.5 && s.timeout == time.Minute && s.on
		}},
		{"empty is absent", map[string]string{"WEIGHT": ""}, nil, func(s *sample) bool { return s.weight == 1 }},
		{"list", map[string]string{"JOIN": "a:1, b:2"}, nil, func(s *sample) bool {
			return slices.Equal(s.join, []string{"a:1", "b:2"})
		}},
		{"a flag wins", map[string]string{"WEIGHT": "2", "JOIN": "a:1"}, []string{"--weight", "3", "--join", "c:3", "--join", "d:4"}, func(s *sample) bool {
			return s.weight == 3 && slices.Equal(s.join, []string{"c:3", "d:4"})
		}},
		{"a flag with commas", nil, []string{"--join", "a:1, b:2", "--join=c:3"}, func(s *sample) bool {
			return slices.Equal(s.join, []string{"a:1", "b:2", "c:3"})
		}},
		{"a flag wins over its rival's variable", map[string]string{"A": "x"}, []string{"--b", "y"}, func(s *sample) bool {
			return s.a == "" && s.b == "y"
		}},
		{"rivals from the environment both count", map[string]string{"A": "x", "B": "y"}, nil, func(s *sample) bool {
			return s.a == "x" && s.b == "y"
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, text := range c.env {
				t.Setenv(envPrefix+name, text)
			}
			var s sample
			cmd := s.command()
			if err := cmd.ParseFlags(c.args); err != nil {
				t.Fatal(err)
			}
			if err := applyEnv(cmd); err != nil || !c.ok(&s) {
				t.Errorf("got %+v, %v", s, err)
			}
		})
	}
}

func TestBadEnvironment(t *testing.T) {
	for _, c := range []struct{ name, text, command, want string }{
		{"MESHNODE_WEIGHT", "x", "run", `MESHNODE_WEIGHT "x": want a number from 0.1 to 100`},
		{"MESHNODE_JOIN", "a:1,b", "run", `MESHNODE_JOIN "a:1,b": bad seed "b": missing port`},
		{"MESHNODE_ADDR", "x", "members", `MESHNODE_ADDR "x": want host:port`},
		{"MESHNODE_ONCE", "x", "dev", `MESHNODE_ONCE "x": must be true or false`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(c.name, c.text)
			r := program(t, "", c.command)
			if r.status != exitUsage || !strings.Contains(r.errOut, c.want) || strings.Count(r.errOut, "\n") != 1 {
				t.Errorf("ended with %d: %q; want %q", r.status, r.errOut, c.want)
			}
		})
	}
}
