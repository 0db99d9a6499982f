package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/meshnode/meshnode/node"
	"github.com/meshnode/meshnode/transport"
)

func TestDevOnce(t *testing.T) {
	t.Setenv(actAsProgram, "1")
	t.Setenv(envName("zone"), "not for the children")
	logs := t.TempDir()
	r := program(t, "", "dev", "--once", "--nodes", "3", "--base-port", "0", "--log-dir", logs, "-o", "json")
	got := decoded[onceReport](t, r.out)
	if r.status != exitOK || got.Nodes != 3 || got.Keys != onceKeys || len(got.Mismatches) != 0 || len(got.Fingerprint) != 16 || len(got.Members) != 3 {
		t.Fatalf("ended with %d: %+v\n%s", r.status, got, r.errOut)
	}
	sum := 0
	for _, m := range got.Members {
		sum += got.PerNode[m.Name]
		if m.Zone != "" {
			t.Errorf("%s is in zone %q", m.Name, m.Zone)
		}
		if _, err := node.Dial(t.Context(), m.Addr, node.ClientConfig{}); err == nil {
			t.Errorf("%s still runs", m.Name)
		}
		log, err := os.ReadFile(filepath.Join(logs, m.Name+".log"))
		if err != nil || !strings.Contains(string(log), "INF stopped") {
			t.Errorf("the log of %s does not end as it should: %v\n%s", m.Name, err, log)
		}
	}
	if sum != onceKeys {
		t.Errorf("%d keys were answered: %v", sum, got.PerNode)
	}
}

// emptyTemp gives dev a folder of its own for temporary files.
func emptyTemp(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"TMPDIR", "TMP", "TEMP"} {
		t.Setenv(name, dir)
	}
	return dir
}

// A process that is killed shows, the others go on, and none is left in the end.
func TestDevLive(t *testing.T) {
	t.Setenv(actAsProgram, "1")
	temp := emptyTemp(t)
	b := start(t, "dev", "--nodes", "3", "--base-port", "0", "-o", "json")
	var last liveJSON
	see := func(want func(liveJSON) bool) func() bool {
		return func() bool {
			lines := strings.Split(strings.TrimSpace(b.out.String()), "\n")
			if line := lines[len(lines)-1]; line != "" {
				last = decoded[liveJSON](t, line)
			}
			return want(last)
		}
	}
	waitFor(t, see(func(l liveJSON) bool { return l.Agree == 3 && l.Members[2].Share > 0 }))
	victim := last.Members[1]
	p, err := os.FindProcess(victim.PID)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, see(func(l liveJSON) bool {
		m := l.Members[1]
		return m.Name == victim.Name && m.State == stateDead && strings.Contains(m.Note, "ended, ") && l.Agree == 2 && m.Share == 0
	}))
	b.stop()
	if status := b.status(t); status != exitOK || b.errOut.String() != "" {
		t.Errorf("ended with %d: %s", status, b.errOut.String())
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	for _, m := range last.Members {
		if p, err := os.FindProcess(m.PID); m.PID != 0 && err == nil && p.Signal(syscall.Signal(0)) == nil {
			t.Errorf("%s still runs", m.Name)
		}
	}
}

func TestDevText(t *testing.T) {
	t.Setenv(actAsProgram, "1")
	b := start(t, "dev", "--nodes", "2", "--base-port", "0", "--verbose")
	waitFor(t, func() bool { return strings.Contains(b.out.String(), "2 of 2 processes run, all agree on table ") })
	b.stop()
	status := b.status(t)
	errOut := b.errOut.String()
	for _, want := range []string{"node-1 │ ", "node-2 │ ", "2 processes stopped in "} {
		if status != exitOK || !strings.Contains(errOut, want) {
			t.Errorf("ended with %d; want %q in\n%s", status, want, errOut)
		}
	}
}

func TestDevPortTaken(t *testing.T) {
	port, err := transport.OpenPort(t.Context(), transport.System(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	taken := strconv.Itoa(int(port.Addr().Port()))
	r := program(t, "", "dev", "--nodes", "1", "--base-port", taken)
	if r.status != exitFailure || !strings.Contains(r.errOut, "port "+taken+" is not free") || !strings.Contains(r.errOut, "--base-port 0") {
		t.Errorf("ended with %d: %s", r.status, r.errOut)
	}
}

// A process that ends before all agree is named, with its status.
func TestDevProcessEnds(t *testing.T) {
	emptyTemp(t)
	no, err := exec.LookPath("false")
	if err != nil {
		t.Fatal(err)
	}
	var out, errOut syncBuffer
	a := &app{stdout: &out, stderr: &errOut, executable: func() (string, error) { return no, nil }}
	status := a.execute(t.Context(), []string{"dev", "--once", "--nodes", "2", "--base-port", "0", "--log-dir", t.TempDir()})
	if status != exitFailure || !strings.Contains(errOut.String(), "a process ended before all agreed: ") || !strings.Contains(errOut.String(), "node-2 ") ||
		!strings.Contains(errOut.String(), "ended, exit status 1") {
		t.Errorf("ended with %d: %s", status, errOut.String())
	}
	if status := a.execute(t.Context(), []string{"dev", "--once", "--nodes", "1", "--base-port", "0"}); status != exitFailure || !strings.Contains(errOut.String(), "the logs are in ") {
		t.Errorf("ended with %d: %s", status, errOut.String())
	}
	a.executable = func() (string, error) { return filepath.Join(t.TempDir(), "missing"), nil }
	if status := a.execute(t.Context(), []string{"dev", "--nodes", "2", "--base-port", "0"}); status != exitFailure || !strings.Contains(errOut.String(), "cannot start node-1") {
		t.Errorf("ended with %d: %s", status, errOut.String())
	}
}

// sights of a cluster of two processes, and a member that somebody else
// started.
func twoProcesses() *sight {
	s := &sight{members: []node.MemberInfo{
		{Name: "node-1", Addr: "127.0.0.1:1", State: stateAlive, Share: 0.5},
		{Name: "node-2", Addr: "127.0.0.1:2", State: stateAlive, Share: 0.25},
		{Name: "other", Addr: "127.0.0.1:3", State: stateSuspect, Share: 0.25},
	}}
	for i, name := range []string{"node-1", "node-2"} {
		p := &process{name: name, addr: "127.0.0.1:" + strconv.Itoa(i+1), cmd: &exec.Cmd{Process: &os.Process{Pid: 10 + i}}}
		s.procs = append(s.procs, procSight{process: p, ping: &node.PingReply{
			Ready: true, Members: 2, Owners: 2, Fingerprint: "0123456789abcdef", MembersDigest: "00000000000000aa",
		}})
	}
	return s
}

func TestSight(t *testing.T) {
	s := twoProcesses()
	if f, ok := s.agreed(); !ok || f != "0123456789abcdef" {
		t.Errorf("agreed gave %q, %v", f, ok)
	}
	if got, want := s.summary(), "2 of 2 processes run, all agree on table 0123456789abcdef"; got != want {
		t.Errorf("summary %q; want %q", got, want)
	}
	for name, change := range map[string]func(p *procSight){
		"other table":       func(p *procSight) { p.ping.Fingerprint = "fedcba9876543210" },
		"a former life":     func(p *procSight) { p.ping.MembersDigest = "00000000000000bb" },
		"sees too few":      func(p *procSight) { p.ping.Members = 1 },
		"owners are missed": func(p *procSight) { p.ping.Owners = 1 },
		"not ready":         func(p *procSight) { p.ping.Ready, p.ping.Why = false, "it waits" },
		"no answer":         func(p *procSight) { p.ping = nil },
	} {
		s := twoProcesses()
		change(&s.procs[1])
		if f, ok := s.agreed(); ok {
			t.Errorf("%s: agreed on %s all the same", name, f)
		}
		err := s.disagreement(time.Second, false)
		if !strings.Contains(err.Error(), "did not agree within 1.00 s: node-1 is ready, sees 2 members, has table 0123456789abcdef; node-2 ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	s = twoProcesses()
	s.procs[1].ping.Fingerprint = "fedcba9876543210"
	if got, want := s.summary(), "2 of 2 processes run, 1 of 2 agree on table 0123456789abcdef"; got != want {
		t.Errorf("summary %q; want %q", got, want)
	}
	s.procs[0].ping.Ready, s.procs[1].ping = false, nil
	if got, want := s.summary(), "2 of 2 processes run, none is ready yet"; got != want {
		t.Errorf("summary %q; want %q", got, want)
	}
}

func TestLiveLines(t *testing.T) {
	var texts, shown []string
	for _, line := range liveLines(twoProcesses()) {
		texts = append(texts, line.text)
	}
	want := []string{
		"2 of 2 processes run, all agree on table 0123456789abcdef",
		"",
		"NAME    STATE    ADDRESS      SHARE                        TABLE     PID  NOTE",
		"node-1  alive    127.0.0.1:1  50.0%  ████████████████████  01234567   10",
		"node-2  alive    127.0.0.1:2  25.0%  ██████████            01234567   11",
		"other   suspect  127.0.0.1:3  25.0%  ██████████",
		"",
		"Ctrl-C stops all. Try: meshnode route --keys FILE --addr 127.0.0.1:1",
	}
	if !slices.Equal(texts, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(texts, "\n"), strings.Join(want, "\n"))
	}
	var out syncBuffer
	v := &lineView{app: &app{stdout: &out}, known: make(map[string]string)}
	s := twoProcesses()
	for range 2 { // nothing is said twice
		if err := v.show(s); err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.Lines(out.String()) {
		_, text, _ := strings.Cut(strings.TrimSpace(line), "  ")
		shown = append(shown, text)
	}
	want = []string{
		"node-1   alive    127.0.0.1:1  pid 10", "node-2   alive    127.0.0.1:2  pid 11", "other    suspect  127.0.0.1:3",
		"2 of 2 processes run, all agree on table 0123456789abcdef",
	}
	if !slices.Equal(shown, want) {
		t.Errorf("got\n%s", out.String())
	}
}

// A canvas erases what it drew before, also where a terminal that has become
// narrower has wrapped it, and draws no more than fits.
func TestCanvas(t *testing.T) {
	var out syncBuffer
	c := &canvas{out: &out, coloured: true}
	for _, step := range []struct {
		lines         []liveLine
		columns, rows int
		want          string
	}{
		{[]liveLine{{"head", bold}, {"0123456789", ""}}, 20, 10, "\x1b[1mhead\x1b[0m\n0123456789\n"},
		{[]liveLine{{"head", bold}, {"0123456789", ""}}, 20, 10, ""},
		{[]liveLine{{"head", bold}, {"0123456789", ""}}, 8, 10, "\x1b[3A\r\x1b[J\x1b[1mhead\x1b[0m\n012345…\n"},
		{[]liveLine{{"a", ""}, {"b", ""}, {"c", ""}, {"d", ""}}, 30, 4, "\x1b[2A\r\x1b[Ja\nb\n\x1b[2m… and 2 more lines\x1b[0m\n"},
		{[]liveLine{{"a", red}}, 30, 1, "\x1b[3A\r\x1b[J\x1b[31ma\x1b[0m\n"},
	} {
		before := len(out.String())
		if err := c.draw(step.lines, step.columns, step.rows); err != nil {
			t.Fatal(err)
		}
		if got := out.String()[before:]; got != step.want {
			t.Errorf("%v in %d by %d gave %q; want %q", step.lines, step.columns, step.rows, got, step.want)
		}
	}
}
