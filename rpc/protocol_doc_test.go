package rpc

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// The codes in docs/protocol.md are those of this package, in their order.
func TestProtocolCodes(t *testing.T) {
	doc, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(doc), "\n\n| code | name | meaning |\n|---|---|---|\n")
	if !found {
		t.Fatal("no table of codes")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	rows := strings.Split(table, "\n")
	if len(rows) != len(Codes()) {
		t.Fatalf("%d codes are listed, want %d", len(rows), len(Codes()))
	}
	for i, code := range Codes() {
		want := "| " + strconv.FormatUint(uint64(code), 10) + " | " + code.String() + " | "
		if !strings.HasPrefix(rows[i], want) {
			t.Errorf("row %q, want %q", rows[i], want)
		}
	}
}

// The encodings are those that Compression names by number.
func TestProtocolEncodings(t *testing.T) {
	doc, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	for how, name := range map[Compression]string{NoCompression: "none", S2: "s2", Zstd: "zstd"} {
		if row := "\n| " + strconv.Itoa(int(how)) + " | " + name + " | "; !strings.Contains(string(doc), row) {
			t.Errorf("no row %q", row)
		}
	}
}
