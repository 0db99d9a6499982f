package membership

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

func TestParseSeed(t *testing.T) {
	for text, want := range map[string]Seed{
		"10.0.0.1:7101":       {Host: "10.0.0.1", Port: 7101},
		"[::1]:7101":          {Host: "::1", Port: 7101},
		"seed.example:1":      {Host: "seed.example", Port: 1},
		"dns+mesh.local:7101": {Host: "mesh.local", Port: 7101, All: true},
		"a_b-c:65535":         {Host: "a_b-c", Port: 65535},
	} {
		got, err := ParseSeed(text)
		if err != nil || got != want {
			t.Errorf("%q: got %+v, %v", text, got, err)
		}
		if got.String() != text {
			t.Errorf("%q is written %q", text, got)
		}
	}
	for text, problem := range map[string]string{
		"":                              "it is empty, want host:port",
		"x":                             "missing port, want host:port",
		"dns+x":                         "missing port, want host:port",
		"x:":                            "missing port, want host:port",
		":7101":                         "missing host, want host:port",
		"dns+:7101":                     "missing host, want host:port",
		"::1":                           "missing port, want [ip]:port",
		"[::1]":                         "missing port, want [ip]:port",
		"a:b:7101":                      "too many colons in address, want host:port",
		"x:0":                           `port "0" is not within 1 to 65535`,
		"x:65536":                       `port "65536" is not within 1 to 65535`,
		"x:http":                        `port "http" is not within 1 to 65535`,
		"x:-1":                          `port "-1" is not within 1 to 65535`,
		"0.0.0.0:7101":                  "unspecified",
		"[fe80::1%e0]:7101":             "zone",
		"dns+10.0.0.1:7101":             "dns+ goes before a name",
		"http://x:7101":                 "want host:port",
		"a/b:7101":                      `'/' does not belong into a host name`,
		"a b:7101":                      `' ' does not belong into a host name`,
		"a,b:7101":                      `',' does not belong into a host name`,
		"dns+dns+x:1":                   `'+' does not belong into a host name`,
		strings.Repeat("x", 254) + ":1": "more than 253",
	} {
		_, err := ParseSeed(text)
		if !errors.Is(err, ErrSeed) || !strings.Contains(err.Error(), problem) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: got %v, want %q", text, err, problem)
		}
	}
}

func FuzzParseSeed(f *testing.F) {
	f.Add("dns+host:7101")
	f.Add("[::1]:7101")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSeed(text)
		if err != nil {
			return
		}
		if again, err := ParseSeed(s.String()); err != nil || again != s {
			t.Fatalf("%q is %+v, written %q: %v", text, s, s, err)
		}
	})
}

func TestParseKey(t *testing.T) {
	for _, size := range []int{16, 24, 32} {
		key := make([]byte, size)
		for i := range key {
			key[i] = byte(255 - i)
		}
		for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
			got, err := ParseKey(" " + enc.EncodeToString(key) + "\n")
			if err != nil || !slices.Equal(got, key) {
				t.Errorf("%d bytes: got %x, %v", size, got, err)
			}
		}
	}
	for text, problem := range map[string]string{
		"":                         "it is empty",
		"  \n":                     "it is empty",
		"not base64!":              "11 characters that are not base64",
		"c2hvcnQ=":                 "it has 5 bytes, want 16, 24 or 32",
		strings.Repeat("A", 48):    "it has 36 bytes, want 16, 24 or 32",
		"AAAAAAAAAAAAAAAAAAAAAB==": "not base64", // bits beyond the last byte
	} {
		if _, err := ParseKey(text); !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), problem) {
			t.Errorf("%q: got %v, want %q", text, err, problem)
		}
	}
	key := GenerateKey()
	if got, err := ParseKey(FormatKey(key)); err != nil || !slices.Equal(got, key) || len(key) != KeySize {
		t.Errorf("generated key: %x, %v", got, err)
	}
	if slices.Equal(key, GenerateKey()) {
		t.Error("two generated keys are the same")
	}
}

func TestKeyID(t *testing.T) {
	// Part of the protocol: HMAC-SHA256 of the text under the key.
	if id := KeyID([]byte("0123456789abcdef")); id != 0xe7c27b63af009b69 {
		t.Errorf("got %#x", id)
	}
	if KeyID(nil) != 0 || KeyID([]byte("0123456789abcdef")) == KeyID([]byte("0123456789abcdeg")) {
		t.Error("ids do not tell keys apart")
	}
}

func TestBoot(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	now := time.Date(2031, 5, 6, 7, 8, 9, 123_456_789, time.UTC)
	a, b, later := NewBoot(now, rnd), NewBoot(now, rnd), NewBoot(now.Add(time.Millisecond), rnd)
	if got := BootTime(a); !got.Equal(now.Truncate(time.Millisecond)) {
		t.Errorf("got %v, want %v", got, now)
	}
	if a == b || a >= later || b >= later {
		t.Errorf("order: %x %x %x", a, b, later)
	}
	if NewBoot(time.Unix(-1, 0), rnd) == 0 {
		t.Error("zero boot")
	}
}

func TestProfileText(t *testing.T) {
	for _, p := range []Profile{LAN, WAN, Local} {
		var back struct{ P Profile }
		text, err := json.Marshal(struct{ P Profile }{p})
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &back); err != nil || back.P != p {
			t.Errorf("%s became %v, %v", text, back.P, err)
		}
	}
	if p, err := ParseProfile("Wan"); err != nil || p != WAN {
		t.Errorf("got %v, %v", p, err)
	}
	_, err := ParseProfile("moon")
	if !errors.Is(err, ErrProfile) || !strings.Contains(err.Error(), `"moon", want lan, wan or local`) {
		t.Errorf("got %v", err)
	}
	for _, v := range []fmt.Stringer{Profile(9), State(9), Health(9), StateServing, HealthLeft} {
		if v.String() == "" {
			t.Errorf("%#v has no text", v)
		}
	}
}

func TestLogWriter(t *testing.T) {
	out := &syncBuffer{}
	w := newLogWriter(zerolog.New(out))
	for _, line := range []string{
		"[ERR] memberlist: failed\n", "[WARN] memberlist: odd\n", "[INFO] memberlist: news\n",
		"[DEBUG] memberlist: detail\n", "Err: no tag\n", "\n",
	} {
		if n, err := w.Write([]byte(line)); n != len(line) || err != nil {
			t.Errorf("wrote %d, %v", n, err)
		}
	}
	want := `{"level":"warn","from":"gossip","message":"failed"}
{"level":"warn","from":"gossip","message":"odd"}
{"level":"info","from":"gossip","message":"news"}
{"level":"debug","from":"gossip","message":"detail"}
{"level":"debug","from":"gossip","message":"Err: no tag"}
{"level":"debug","from":"gossip"}
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s", got)
	}
	for range 1000 {
		_, _ = w.Write([]byte("[ERR] memberlist: flood\n"))
	}
	if n := strings.Count(out.String(), "flood"); n > 3*linesPerSecond {
		t.Errorf("%d lines of a flood", n)
	}
	w.muted.Store(true)
	before := out.String()
	_, _ = w.Write([]byte("[INFO] memberlist: late\n"))
	if out.String() != before {
		t.Error("it speaks when muted")
	}
}

func TestThrottle(t *testing.T) {
	th := throttle{period: time.Second}
	now := time.Unix(100, 0)
	if !th.allow("a", now) || th.allow("a", now.Add(999*time.Millisecond)) || !th.allow("b", now) || !th.allow("a", now.Add(time.Second)) {
		t.Error("wrong answers")
	}
	for i := range 3 * throttleKeys {
		th.allow(fmt.Sprint(i), now)
	}
	if len(th.last) > throttleKeys {
		t.Errorf("%d keys", len(th.last))
	}
}
