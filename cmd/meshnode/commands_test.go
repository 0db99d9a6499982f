package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/rpc"
)

// askWho answers who answered and what metadata came along.
type askWho struct {
	Node string
	Meta map[string]string
	Got  any
}

// serveTestMethods gives each node methods whose types the program does not
// know.
func serveTestMethods(nodes []*node.Node) {
	for _, n := range nodes {
		rpc.NewMethod[any, askWho]("test.Who").Handle(n, func(ctx context.Context, req *any) (*askWho, error) {
			info, _ := rpc.InfoFrom(ctx)
			return &askWho{Node: n.Name(), Meta: info.Metadata, Got: *req}, nil
		})
		rpc.NewMethod[any, []byte]("test.Raw").Handle(n, func(context.Context, *any) (*[]byte, error) {
			return &[]byte{0xc1, 0xff}, nil
		})
		rpc.NewMethod[any, any]("test.Picky").Handle(n, func(context.Context, *any) (*any, error) {
			if n.Name() == "n2" {
				return nil, rpc.Errorf(rpc.PermissionDenied, "not\non \x1b[31mmy watch")
			}
			return nil, nil
		})
		rpc.NewMethod[any, any]("test.Hang").Handle(n, func(ctx context.Context, _ *any) (*any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
	}
}

func TestCommands(t *testing.T) {
	nodes := cluster(t, 3)
	serveTestMethods(nodes)
	t.Setenv(envName("addr"), nodes[1].Addr().String())
	t.Run("members", func(t *testing.T) { testMembers(t, nodes) })
	t.Run("health", func(t *testing.T) { testHealth(t, nodes) })
	t.Run("owner", func(t *testing.T) { testOwner(t, nodes) })
	t.Run("call", func(t *testing.T) { testCall(t, nodes) })
	t.Run("call all", testCallAll)
	t.Run("call fails", testCallFails)
	t.Run("request", testRequest)
	t.Run("route", func(t *testing.T) { testRoute(t, nodes) })
	t.Run("route fails", testRouteFails)
	t.Run("explain", func(t *testing.T) { testExplain(t, nodes) })
	t.Run("ring", func(t *testing.T) { testRing(t, nodes) })
	t.Run("stats", func(t *testing.T) { testStats(t) })
	t.Run("leave", func(t *testing.T) { testLeave(t, nodes) })
}

func testMembers(t *testing.T, nodes []*node.Node) {
	members := decoded[[]map[string]any](t, succeeds(t, "members", "-o", "json"))
	if len(members) != len(nodes) {
		t.Fatalf("%d members; want %d", len(members), len(nodes))
	}
	share := 0.0
	for i, m := range members {
		n := nodes[i]
		if m["name"] != n.Name() || m["addr"] != n.Addr().String() || m["zone"] != "z" || m["weight"] != 1.0 {
			t.Errorf("member %d is %v; want %s at %v", i, m, n.Name(), n.Addr())
		}
		// A busy machine may make one suspect for a moment.
		if m["state"] != stateAlive && m["state"] != stateSuspect || m["serving"] != "serving" {
			t.Errorf("member %d is %v and %v", i, m["state"], m["serving"])
		}
		if boot, ok := m["boot"].(string); !ok || len(boot) != 16 {
			t.Errorf("boot is %v; want 16 digits as text", m["boot"])
		}
		share += m["share"].(float64)
	}
	if share < 0.9999 || share > 1.0001 {
		t.Errorf("shares add up to %v", share)
	}
	text, wide := succeeds(t, "members"), succeeds(t, "members", "--wide")
	for _, want := range append([]string{"NAME", "STATE", "SHARE"}, nodes[2].Addr().String()) {
		if !strings.Contains(text, want) || !strings.Contains(wide, want) {
			t.Errorf("a table lacks %q:\n%s\n%s", want, text, wide)
		}
	}
	for _, want := range []string{"INCARNATION", "BOOT", members[0]["boot"].(string)} {
		if strings.Contains(text, want) || !strings.Contains(wide, want) {
			t.Errorf("%q is for --wide alone:\n%s\n%s", want, text, wide)
		}
	}
}

// Eighty columns hold what is shown of members with names of usual length, TLS included.
func TestMembersTable(t *testing.T) {
	members := []node.MemberInfo{
		{Name: "checkout-12", Addr: "10.200.100.12:7101", State: stateSuspect, Serving: "draining", Zone: "eu-1a", Weight: 1.5, Share: 0.25, AgeSeconds: 86400},
		{Name: "checkout-13", Addr: "10.200.100.13:7101", State: stateDead, Weight: 1, AgeSeconds: 7},
	}
	lines := membersTable(members, false).lines()
	for _, line := range lines {
		if len(line) > 80 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
	if got := strings.Join(strings.Fields(lines[2]), " "); got != "checkout-13 10.200.100.13:7101 dead - - 1 0.0% -" {
		t.Errorf("a dead member is shown as %q", got)
	}
	members[0].Identity = "proven"
	if lines := membersTable(members, false).lines(); !strings.HasSuffix(lines[0], "IDENTITY") || !strings.HasSuffix(lines[1], "proven") {
		t.Errorf("with identities:\n%s", strings.Join(lines, "\n"))
	}
}

func testHealth(t *testing.T, nodes []*node.Node) {
	if out := succeeds(t, "health", "--ready"); !strings.HasPrefix(out, "n2 is ready: it sees 3 members, of whom 3 own keys") {
		t.Errorf("health says %q", out)
	}
	if got := decoded[node.PingReply](t, succeeds(t, "health", "-o", "json")); got.Node != "n2" || !got.Ready || got.Members != 3 {
		t.Errorf("health -o json says %+v", got)
	}
	lonely, err := node.New(node.Config{Name: "lonely", Cluster: "l", Profile: membership.Local, Expect: 2})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = lonely.Run(t.Context()) }()
	defer lonely.Close()
	waitFor(t, func() bool { return lonely.Addr().IsValid() })
	at := func(args ...string) []string { return append(args, "--addr", lonely.Addr().String()) }
	if out := succeeds(t, at("health")...); !strings.HasPrefix(out, "lonely answers and is not ready: ") {
		t.Errorf("health says %q", out)
	}
	r := program(t, "", at("health", "--ready")...)
	if r.status != exitFailure || r.out != "" || !strings.HasPrefix(r.errOut, "meshnode health: lonely is not ready: ") {
		t.Errorf("not ready it ended with %d: %q, %q", r.status, r.out, r.errOut)
	}
	if r := program(t, "", "health", "--addr", "127.0.0.1:1"); r.status != exitFailure {
		t.Errorf("without a node it ended with %d: %q", r.status, r.errOut)
	}
}

func testOwner(t *testing.T, nodes []*node.Node) {
	table := nodes[0].Table()
	keys := []string{"alice", "bob", "a b", "", "käse\t"}
	owners := decoded[[]node.KeyOwner](t, succeeds(t, append([]string{"owner", "--owners", "2", "-o", "json"}, keys...)...))
	for i, o := range owners {
		want := node.KeyOwner{
			Key: keys[i], Partition: table.Partition(keys[i]), Fingerprint: table.Fingerprint().String(),
			Owners: table.Owners(table.Partition(keys[i]), 2, nil),
		}
		if fmt.Sprint(o) != fmt.Sprint(want) {
			t.Errorf("owner says %v; the table %v", o, want)
		}
	}
	text := succeeds(t, append([]string{"owner"}, keys...)...)
	if strings.Count(text, "\n") != len(keys)+1 || !strings.Contains(text, `"käse\t"`) {
		t.Errorf("owner as text is\n%s", text)
	}
}

func testCall(t *testing.T, nodes []*node.Node) {
	_, owner := nodes[0].Table().Lookup("alice")
	for _, c := range []struct {
		args []string
		node string // empty: any
	}{
		{[]string{"--key", "alice"}, owner},
		{[]string{"--key="}, ownerOf(nodes, "")},
		{[]string{"--peer", "n3"}, "n3"},
		{[]string{"--any"}, ""},
	} {
		args := append([]string{"call", "test.Who", `{"x":[1,-2.5]}`, "-m", "a=b=c", "-m", "d=", "-o", "json"}, c.args...)
		got := decoded[struct {
			Node    string
			Reply   askWho
			Elapsed int64 `json:"elapsed_us"`
		}](t, succeeds(t, args...))
		if got.Node != got.Reply.Node || c.node != "" && got.Node != c.node {
			t.Errorf("%v: answered by %q, says %q; want %q", c.args, got.Node, got.Reply.Node, c.node)
		}
		if got.Reply.Meta["a"] != "b=c" || got.Reply.Meta["d"] != "" || fmt.Sprint(got.Reply.Got) != "map[x:[1 -2.5]]" {
			t.Errorf("%v: the method got %v with %v", c.args, got.Reply.Got, got.Reply.Meta)
		}
	}
	r := program(t, "", "call", "mesh.Echo", `{"data":"hello"}`, "--peer", "n3")
	if r.out != "{\n  \"node\": \"n3\",\n  \"data\": \"aGVsbG8=\"\n}\n" || !strings.HasPrefix(r.errOut, "answered by n3 in ") {
		t.Errorf("as text: %q, %q", r.out, r.errOut)
	}
	raw := decoded[answerJSON](t, succeeds(t, "call", "test.Raw", "--any", "-o", "json"))
	if !raw.Raw || string(raw.Reply) != `"wf8="` {
		t.Errorf("a reply that is no msgpack gave %s, raw %v", raw.Reply, raw.Raw)
	}
}

func ownerOf(nodes []*node.Node, key string) string {
	_, owner := nodes[0].Table().Lookup(key)
	return owner
}

func testCallAll(t *testing.T) {
	r := program(t, "", "call", "test.Picky", "--all", "-o", "json")
	answers := decoded[[]answerJSON](t, r.out)
	var names []string
	for _, a := range answers {
		names = append(names, a.Node)
		if failed := a.Error != nil; failed != (a.Node == "n2") || !failed && string(a.Reply) != "null" {
			t.Errorf("%s answered %s, %+v", a.Node, a.Reply, a.Error)
		}
	}
	if !slices.Equal(names, []string{"n1", "n2", "n3"}) || r.status != exitFailure {
		t.Errorf("answers of %v, status %d", names, r.status)
	}
	if e := decoded[map[string]errorJSON](t, r.errOut)["error"]; !strings.HasPrefix(e.Message, "1 of 3 nodes") {
		t.Errorf("the error is %+v", e)
	}
	r = program(t, "", "call", "test.Who", "--all")
	if r.status != exitOK || strings.Count(r.out, "\n") != 3 {
		t.Errorf("ended with %d:\n%s", r.status, r.out)
	}
	for line := range strings.Lines(r.out) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
}

func testCallFails(t *testing.T) {
	for _, c := range []struct{ args, code, text string }{
		{"call no.Such --any", "Unimplemented", "no.Such"},
		{"call no.Such --key a", "Unimplemented", "no.Such"},
		{"call test.Who --peer nobody", "NotFound", "nobody"},
		{"call test.Picky --peer n2", "PermissionDenied", "not on [31mmy watch"}, // harmless to a terminal
		{"call mesh.Echo [1] --any", "InvalidArgument", "mesh.Echo"},
		{"call test.Hang --peer n2 --timeout 20ms", "DeadlineExceeded", ""},
	} {
		args := strings.Split(c.args, " ")
		r := program(t, "", args...)
		want := "meshnode call: " + c.code + ": "
		if r.status != exitFailure || !strings.HasPrefix(r.errOut, want) || !strings.Contains(r.errOut, c.text) || strings.Count(r.errOut, "\n") != 1 {
			t.Errorf("%s ended with %d: %q; want %q and %q", c.args, r.status, r.errOut, want, c.text)
		}
		r = program(t, "", append(args, "-o", "json")...)
		if e := decoded[map[string]errorJSON](t, r.errOut)["error"]; e.Code != c.code || r.status != exitFailure || r.out != "" {
			t.Errorf("%s -o json ended with %d: %+v", c.args, r.status, e)
		}
	}
}

// The request may come as an argument, from a file, from standard input, or
// not at all.
func testRequest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "request.json")
	if err := os.WriteFile(file, []byte(`{"from":"file"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for arg, want := range map[string]string{
		"":                 "{}",
		`{"from":"arg"}`:   `{"from":"arg"}`,
		"@" + file:         `{"from":"file"}`,
		"-":                `{"from":"stdin"}`,
		`9007199254740993`: `9007199254740993`, // beyond what a float keeps
	} {
		args := []string{"call", "test.Who", "--any", "-o", "json"}
		if arg != "" {
			args = append(args, arg)
		}
		r := program(t, `{"from":"stdin"}`, args...)
		got := decoded[struct{ Reply struct{ Got json.RawMessage } }](t, r.out).Reply.Got
		if strings.Join(strings.Fields(string(got)), "") != want {
			t.Errorf("request %q arrived as %s; want %s", arg, got, want)
		}
	}
}

func testRoute(t *testing.T, nodes []*node.Node) {
	const keys = 2000
	var text strings.Builder
	want := make(map[string]int)
	for i := range keys {
		key := fmt.Sprintf("key-%d", i)
		want[ownerOf(nodes, key)]++
		text.WriteString(key + "\r\n")
		if i%100 == 0 {
			text.WriteString("\n\r\n")
		}
	}
	r := program(t, text.String(), "route", "--keys", "-", "--parallel", "16", "--timeout", "30s", "-o", "json")
	got := decoded[routeReport](t, r.out)
	if r.status != exitOK || got.Total != keys || got.Failed != 0 || got.Skipped != 40 || fmt.Sprint(got.PerNode) != fmt.Sprint(want) {
		t.Errorf("ended with %d: %+v; want %d keys as %v", r.status, got, keys, want)
	}
	if got.P50US <= 0 || got.P50US > got.P99US || got.P99US > got.MaxUS || got.CallsPerS <= 0 || len(got.Shares) != 3 {
		t.Errorf("latencies and shares: %+v", got)
	}
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte("a\n\nb"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := succeeds(t, "route", "--keys", file)
	if !strings.HasPrefix(out, "2 keys in ") || !strings.Contains(out, "0 failed, 1 empty line skipped\n") || !strings.Contains(out, "n3 ") {
		t.Errorf("as text:\n%s", out)
	}
}

func testRouteFails(t *testing.T) {
	r := program(t, "a\nb\nc\nd\ne\nf\ng\n", "route", "--keys", "-", "--method", "no.Such", "-o", "json")
	got := decoded[routeReport](t, r.out)
	if r.status != exitFailure || got.Total != 7 || got.Failed != 7 || len(got.Failures) != shownFailures || got.Failures[0].Code != "Unimplemented" {
		t.Errorf("ended with %d: %+v", r.status, got)
	}
	r = program(t, "a\n", "route", "--keys", "-", "--method", "no.Such")
	if !strings.Contains(r.out, "\n  a  Unimplemented: ") || r.errOut != "meshnode route: 1 of 1 keys failed\n" {
		t.Errorf("as text:\n%s%s", r.out, r.errOut)
	}
	r = program(t, "\n\n", "route", "--keys", "-")
	if r.status != exitFailure || !strings.Contains(r.errOut, "holds no keys") {
		t.Errorf("without keys it ended with %d: %s", r.status, r.errOut)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errOut syncBuffer
	status := run(ctx, []string{"route", "--keys", "-"}, strings.NewReader("a\n"), &out, &errOut)
	if status != exitFailure || errOut.String() != "meshnode route: interrupted\n" {
		t.Errorf("interrupted it ended with %d: %s", status, errOut.String())
	}
}

func testLeave(t *testing.T, nodes []*node.Node) {
	leaver := nodes[2]
	if out := succeeds(t, "leave", "--addr", leaver.Addr().String()); out != "n3 leaves\n" {
		t.Errorf("leave printed %q", out)
	}
	<-leaver.Done()
	waitFor(t, func() bool { return nodes[0].Table().Len() == 2 && nodes[1].Table().Len() == 2 })
	out := succeeds(t, "leave", "--addr", nodes[0].Addr().String(), "--wait", "-o", "json")
	if got := decoded[node.LeaveReply](t, out); got.Node != "n1" {
		t.Errorf("leave printed %q", out)
	}
	select {
	case <-nodes[0].Done():
	case <-time.After(time.Second): // its port is closed a moment before it has stopped
		t.Error("leave --wait returned before the node had stopped")
	}
}
