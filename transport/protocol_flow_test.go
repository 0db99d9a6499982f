package transport

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/meshnode/meshnode/internal/wire"
)

// The largest parts are those that limitsOf gives.
func TestProtocolParts(t *testing.T) {
	var cfg Config
	if err := cfg.setDefaults(); err != nil {
		t.Fatal(err)
	}
	for _, row := range docTable(t, "window | conn_window | largest part") {
		h := wire.Hello{Window: uint64(quantity(t, row[0])), ConnWindow: uint64(quantity(t, row[1]))}
		same(t, "part for "+strings.Join(row[:2], ", "), int64(limitsOf(&h, &cfg).part), quantity(t, row[2]))
	}
}

// The worked example is what both sides of this package come to.
func TestProtocolFlowExample(t *testing.T) {
	const size = 300_000
	stream, conn := int64(DefaultWindow), int64(DefaultConnWindow)
	body := inbound{left: stream}
	in := inflow{window: conn, left: conn}
	var owed, owedConn []int64 // granted, and not seen by the sender yet
	rows := docTable(t, "step | frame | cost or credit | stream | connection")
	for i, row := range rows {
		n := quantity(t, row[2])
		same(t, "step", row[0], strconv.Itoa(i+1))
		switch row[1] {
		case "data":
			part := min(size-body.have, wire.Chunk)
			same(t, "cost", n, int64(part+frameCost))
			stream, conn = stream-n, conn-n
			grantConn, err1 := in.arrived(n)
			grant, err2 := body.add(bytes.Repeat([]byte("x"), part), DefaultWindow)
			if err := errors.Join(err1, err2); err != nil || stream < 0 || conn < 0 {
				t.Fatal(err, stream, conn)
			}
			owed, owedConn = granted(owed, grant), granted(owedConn, grantConn)
		case "(waits)":
			same(t, "must wait", stream < n || conn < n, true)
		case "window 0":
			same(t, "credit", n, owedConn[0])
			conn, owedConn = conn+n, owedConn[1:]
		case "window 9":
			same(t, "credit", n, owed[0])
			stream, owed = stream+n, owed[1:]
		default:
			t.Errorf("step %d: %q", i+1, row[1])
		}
		same(t, "stream after step "+row[0], stream, quantity(t, row[3]))
		same(t, "connection after step "+row[0], conn, quantity(t, row[4]))
	}
	same(t, "length", body.have, size)
	same(t, "grants left", len(owed)+len(owedConn), 0)
}

func granted(list []int64, credit int64) []int64 {
	if credit == 0 {
		return list
	}
	return append(list, credit)
}
