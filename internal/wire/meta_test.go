package wire

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// through sends m through a call's header.
func through(t *testing.T, m *Meta) *Meta {
	t.Helper()
	var h Header
	if _, err := Parse(AppendCall(nil, 1, "m", m), &h); err != nil {
		t.Fatalf("%s: %v", describeMeta(m), err)
	}
	return &h.Meta
}

func TestMetaRoundTrip(t *testing.T) {
	long := strings.Repeat("long", 100)
	for _, m := range []Meta{
		{},
		{Partition: NoPartition},
		{Partition: 1<<32 - 1},
		{Partition: 3, Timeout: time.Second, Fingerprint: math.MaxUint64, Hops: 255, Attempt: 255},
		{Partition: 3, Priority: 255, StandIn: ForSpill, Pushback: NeverAgain, Load: math.MaxUint32},
		{Partition: NoPartition, Priority: 1, StandIn: Relayed, Pushback: 1, Load: 1},
		{Partition: NoPartition, Refused: true},
		{Partition: NoPartition, Owner: []byte("node-b"), Message: []byte(long)},
		{Partition: NoPartition, User: []Pair{{[]byte("k"), []byte("v")}, {[]byte(""), []byte("")}}},
		{Partition: 0, User: []Pair{{[]byte(long), []byte(long)}}},
		{Partition: 5, Key: []byte("alice")},
		{Partition: NoPartition, Caller: Carried},
		{Partition: NoPartition, Caller: 255, CallerName: []byte("admin")},
		{Partition: 5, Key: bytes.Repeat([]byte{0xff}, MaxKey), User: []Pair{{[]byte("key"), []byte("another")}}},
	} {
		same(t, "meta", describeMeta(through(t, &m)), describeMeta(&m))
	}
}

func TestTimeoutOnTheWire(t *testing.T) {
	const most = math.MaxInt64 / int64(time.Microsecond) * int64(time.Microsecond)
	for _, c := range []struct{ sent, got time.Duration }{
		{0, 0},
		{-time.Second, 0}, // none: whoever is late doesn't send
		{1, time.Microsecond},
		{time.Microsecond, time.Microsecond},
		{time.Microsecond + 1, 2 * time.Microsecond},
		{time.Hour, time.Hour},
		{math.MaxInt64, time.Duration(most)}, // the round-up may not overflow
	} {
		got := through(t, &Meta{Timeout: c.sent}).Timeout
		same(t, c.sent.String(), got, c.got)
	}
}

func TestTimeoutBeyondDurationIsTheLongest(t *testing.T) {
	for _, in := range []string{
		"81 01 cf ffffffffffffffff", "81 01 cf 8000000000000000", "81 01 cf 0020c49ba5e353f8",
	} {
		cur := cursor{buf: unhex(t, in)}
		var m Meta
		cur.meta(&m)
		if cur.err != nil || m.Timeout < 292*365*24*time.Hour {
			t.Errorf("%s: timeout %v, %v", in, m.Timeout, cur.err)
		}
	}
}

func TestMetaParse(t *testing.T) {
	const none = `timeout=0s partition=-1 fingerprint=0 hops=0 attempt=0 owner="" message=""`
	for _, c := range []struct {
		name, hex, want string
		err             error
	}{
		{"empty", "80", none, nil},
		{"unknown keys of every type", "87 1b c0 1c c3 1d 93 01 02 03 1e 81 01 02 1f cb 0000000000000000 20 c7 01 05 ff cd 1000 a1 78", none, nil},
		{"reserved keys", "82 06 a1 74 08 c4 01 ff", none, nil},
		{"duplicate key: the last counts", "82 02 05 02 06", strings.Replace(none, "=-1", "=6", 1), nil},
		{"duplicate user key: both are kept", "82 a1 61 a1 31 a1 61 a1 32", none + ` "a"="1" "a"="2"`, nil},
		{"wide key", "81 cd 0002 05", strings.Replace(none, "=-1", "=5", 1), nil},
		{"hops beyond a byte", "81 04 cd 0400", strings.Replace(none, "hops=0", "hops=255", 1), nil},
		{"attempt beyond a byte", "81 05 cd 0400", strings.Replace(none, "attempt=0", "attempt=255", 1), nil},
		{"stand-in beyond a byte", "81 0d cd 0400", none + " stand-in=255", nil},
		{"pushback beyond 32 bits", "81 0e cf 0000000100000000", none + " pushback=4294967295", nil},
		{"load beyond 32 bits", "81 0f cf 0000000100000000", none + " load=4294967295", nil},
		{"refused by another number", "81 13 07", none + " refused=1", nil},
		{"refused by 0", "81 13 00", none, nil},
		{"priority that is text", "81 07 a1 35", "", ErrMalformed},
		{"binary strings", "82 c4 01 6b c4 01 76 09 c4 01 6f", strings.Replace(none, `owner=""`, `owner="o"`, 1) + ` "k"="v"`, nil},
		{"partition beyond 32 bits", "81 02 cf 0000000100000000", "", ErrMalformed},
		{"negative key", "81 ff 01", "", ErrMalformed},
		{"nil key", "81 c0 01", "", ErrMalformed},
		{"array key", "81 91 01 01", "", ErrMalformed},
		{"user value that is a number", "81 a1 6b 05", "", ErrMalformed},
		{"timeout that is text", "81 01 a1 35", "", ErrMalformed},
		{"owner that is a number", "81 09 05", "", ErrMalformed},
		{"key", "82 02 05 10 a2 6b 31", strings.Replace(none, "=-1", "=5", 1) + ` key="k1"`, nil},
		{"binary key", "81 10 c4 01 ff", none + ` key="\xff"`, nil},
		{"key that is a number", "81 10 05", "", ErrMalformed},
		{"caller", "82 11 05 12 a1 61", none + ` caller=5 caller-name="a"`, nil},
		{"caller beyond a byte", "81 11 cd 0400", none + ` caller=255`, nil},
		{"caller that is text", "81 11 a1 61", "", ErrMalformed},
		{"name of the caller that is a number", "81 12 05", "", ErrMalformed},
		{"missing value", "81 01", "", ErrTruncated},
		{"missing pair", "82 01 05", "", ErrTruncated},
		{"unknown key that lies", "81 1b ddffffffff", "", ErrLength},
	} {
		cur := cursor{buf: unhex(t, c.hex)}
		m := Meta{Timeout: 5, Hops: 3, Owner: []byte("stale"), User: []Pair{{[]byte("stale"), nil}}}
		cur.meta(&m)
		same(t, c.name+" error", cur.err, c.err)
		if c.err == nil {
			same(t, c.name, describeMeta(&m), c.want)
			same(t, c.name+" read to", cur.pos, len(cur.buf))
		}
	}
}

func TestUserPairsLimit(t *testing.T) {
	for _, c := range []struct {
		pairs int
		want  error
	}{{MaxPairs, nil}, {MaxPairs + 1, ErrHeaderTooLarge}} {
		m := Meta{Partition: NoPartition}
		for i := range c.pairs {
			m.User = append(m.User, Pair{fmt.Appendf(nil, "key%d", i), []byte("v")})
		}
		var h Header
		_, err := Parse(AppendCall(nil, 1, "m", &m), &h)
		same(t, fmt.Sprint(c.pairs, " pairs"), err, c.want)
		if got := len(h.Meta.User); got > MaxPairs {
			t.Errorf("%d pairs were kept, the limit is %d", got, MaxPairs)
		}
	}
}

// A newer field among the known ones must not shift what follows.
func TestFieldsAroundUnknownKeys(t *testing.T) {
	cur := cursor{buf: unhex(t, "84 02 07 7f 82 a1 61 01 02 90 04 02 a1 6b a1 76")}
	var m Meta
	cur.meta(&m)
	same(t, "error", cur.err, nil)
	same(t, "meta", describeMeta(&m),
		`timeout=0s partition=7 fingerprint=0 hops=2 attempt=0 owner="" message="" "k"="v"`)
}

func TestResetKeepsMemory(t *testing.T) {
	m := Meta{Timeout: 1, Partition: 2, Hops: 1, Owner: []byte("o"), User: make([]Pair, 5, 8)}
	m.Reset()
	same(t, "partition", m.Partition, NoPartition)
	same(t, "rest", describeMeta(&m), describeMeta(&Meta{Partition: NoPartition}))
	same(t, "capacity", cap(m.User), 8)
}

// What is not set is not sent: an empty meta costs one byte.
func TestMetaSize(t *testing.T) {
	same(t, "nil", hex.EncodeToString(appendMeta(nil, nil)), "80")
	same(t, "empty", hex.EncodeToString(appendMeta(nil, &Meta{Partition: NoPartition})), "80")
	same(t, "partition 0", hex.EncodeToString(appendMeta(nil, &Meta{})), "810200")
}
