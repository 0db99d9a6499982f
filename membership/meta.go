package membership

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/hashicorp/memberlist"
	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// MetaLimit is how many bytes encoded metadata may take.
const MetaLimit = memberlist.MetaMaxSize

// Bounds of Meta.Weight.
const (
	MinWeight = 0.1
	MaxWeight = 100
)

// metaFormat is the first element of encoded metadata. Elements may be added
// at the end without a new format; readers pass over those they don't know.
const metaFormat = 1

// metaFields is how many elements this version needs, and writes if nothing is
// down.
const metaFields = 8

// State is what a member says about itself.
type State uint8

// The states. Readers must expect numbers that are not listed here.
const (
	// StateServing: the member owns its share of partitions.
	StateServing State = iota
	// StateDraining: the member finishes what it has and will leave; it
	// should own nothing.
	StateDraining
	// StateJoining: the member has not found its cluster yet; it should own
	// nothing.
	StateJoining
	// StateStandby: the member takes part in gossip and routes calls, but owns
	// nothing and serves no calls to rpc.Any. It is an observer, or an
	// application that has said that it cannot serve now.
	StateStandby
)

// String gives a word for the state.
func (s State) String() string {
	switch s {
	case StateServing:
		return "serving"
	case StateDraining:
		return "draining"
	case StateJoining:
		return "joining"
	case StateStandby:
		return "standby"
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// TableParams are the parameters of the ownership table. They must be the same
// in the whole cluster; a node with others is refused.
type TableParams struct {
	Partitions    uint32 // number of partitions of the key space
	SlackPermille uint16 // how far a member may exceed its share, in thousandths
}

// String gives both parameters in words.
func (p TableParams) String() string {
	return fmt.Sprintf("%d partitions with %d‰ slack", p.Partitions, p.SlackPermille)
}

// against names what differs from the parameters of this node.
func (p TableParams) against(own TableParams) string {
	var parts []string
	if p.Partitions != own.Partitions {
		parts = append(parts, fmt.Sprintf("%d partitions, this node %d", p.Partitions, own.Partitions))
	}
	if p.SlackPermille != own.SlackPermille {
		parts = append(parts, fmt.Sprintf("a slack of %d‰, this node %d‰", p.SlackPermille, own.SlackPermille))
	}
	return strings.Join(parts, "; ")
}

// Meta is what every member tells the others about itself, besides its name
// and address.
type Meta struct {
	Boot     uint64  // tells two lives of one name apart; see NewBoot
	Zone     string  // what fails together with the member; may be empty
	Weight   float64 // share relative to others, MinWeight to MaxWeight; 0 means 1
	State    State
	Protocol uint16 // version of the mesh protocol
	Params   TableParams
	// Down are the services that the member cannot serve now; see Services.
	Down Services
}

// Services is a set of names of services, such as "greeter": sorted, with a
// space between each two. It is comparable, and the zero value is empty.
type Services string

// ServicesOf gives the set of some names.
func ServicesOf(names ...string) Services {
	sorted := slices.Compact(slices.Sorted(slices.Values(names)))
	return Services(strings.Join(sorted, " "))
}

// Names gives the names in the set, sorted, in a new slice.
func (s Services) Names() []string { return strings.Fields(string(s)) }

// Has tells whether a service is in the set.
func (s Services) Has(name string) bool {
	for len(s) > 0 {
		first, rest, _ := strings.Cut(string(s), " ")
		if first == name {
			return true
		}
		s = Services(rest)
	}
	return false
}

// valid tells whether s is what ServicesOf gives for names of printable ASCII.
func (s Services) valid() bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return s == ServicesOf(s.Names()...)
}

// validate returns nil, or ErrBadMeta with what is wrong.
func (m *Meta) validate() error {
	if w := m.Weight; math.IsNaN(w) || w < MinWeight || w > MaxWeight {
		return fmt.Errorf("%w: weight %v is not within %v to %v", ErrBadMeta, w, MinWeight, MaxWeight)
	}
	for _, r := range m.Zone {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return fmt.Errorf("%w: zone %q holds %q", ErrBadMeta, m.Zone, r)
		}
	}
	if !m.Down.valid() {
		return fmt.Errorf("%w: services %q are no sorted set of names in printable ASCII", ErrBadMeta, m.Down)
	}
	return nil
}

// Encode gives the metadata as a msgpack array: format, boot, zone, weight,
// state, protocol, partitions, slack and, if any are, the services that are
// down. Errors: ErrBadMeta for a weight out of range or an unprintable zone or
// service, ErrMetaTooLarge with the sizes.
func (m Meta) Encode() ([]byte, error) {
	if m.Weight == 0 {
		m.Weight = 1
	}
	if err := m.validate(); err != nil {
		return nil, err
	}
	fields := metaFields
	if m.Down != "" {
		fields++
	}
	var buf bytes.Buffer // never fails a write
	enc := msgpack.NewEncoder(&buf)
	_ = enc.EncodeArrayLen(fields)
	_ = enc.EncodeUint(metaFormat)
	_ = enc.EncodeUint(m.Boot)
	_ = enc.EncodeString(m.Zone)
	_ = enc.EncodeFloat64(m.Weight)
	_ = enc.EncodeUint(uint64(m.State))
	_ = enc.EncodeUint(uint64(m.Protocol))
	_ = enc.EncodeUint(uint64(m.Params.Partitions))
	_ = enc.EncodeUint(uint64(m.Params.SlackPermille))
	if m.Down != "" {
		_ = enc.EncodeString(string(m.Down))
	}
	if buf.Len() > MetaLimit {
		return nil, fmt.Errorf("%w: %d bytes, of which the zone is %d and the services that are down are %d; the limit is %d, "+
			"so shorten these by %d", ErrMetaTooLarge, buf.Len(), len(m.Zone), len(m.Down), MetaLimit, buf.Len()-MetaLimit)
	}
	return buf.Bytes(), nil
}

// DecodeMeta reads what Encode wrote, or what a later version wrote that added
// elements at the end. It allocates no more than the input is long. The error
// is ErrBadMeta.
func DecodeMeta(b []byte) (Meta, error) {
	if len(b) > MetaLimit {
		return Meta{}, fmt.Errorf("%w: %d bytes, the limit is %d", ErrBadMeta, len(b), MetaLimit)
	}
	in := metaReader{r: bytes.NewReader(b)}
	in.dec = msgpack.GetDecoder()
	defer msgpack.PutDecoder(in.dec)
	in.dec.Reset(in.r)

	n := in.array()
	if format := in.uint("format", math.MaxUint32); in.err == nil && format != metaFormat {
		in.fail(fmt.Sprintf("format %d, this version reads %d", format, metaFormat))
	}
	m := Meta{
		Boot:     in.uint("boot", math.MaxUint64),
		Zone:     in.text("zone"),
		Weight:   in.float("weight"),
		State:    State(in.uint("state", math.MaxUint8)),
		Protocol: uint16(in.uint("protocol", math.MaxUint16)),
		Params: TableParams{
			Partitions:    uint32(in.uint("partitions", math.MaxUint32)),
			SlackPermille: uint16(in.uint("slack", math.MaxUint16)),
		},
	}
	if n > metaFields {
		m.Down = Services(in.text("down"))
	}
	if in.err == nil && n <= metaFields+1 && in.r.Len() > 0 {
		in.fail(fmt.Sprintf("%d bytes after the last element", in.r.Len()))
	}
	if in.err != nil {
		return Meta{}, in.err
	}
	if err := m.validate(); err != nil {
		return Meta{}, err
	}
	return m, nil
}

// metaReader reads elements one by one and keeps the first error.
type metaReader struct {
	r   *bytes.Reader
	dec *msgpack.Decoder
	err error
}

func (in *metaReader) fail(problem string) {
	if in.err == nil {
		in.err = fmt.Errorf("%w: %s", ErrBadMeta, problem)
	}
}

func (in *metaReader) array() int {
	n, err := in.dec.DecodeArrayLen()
	if err != nil || n < metaFields {
		in.fail(fmt.Sprintf("want an array of at least %d elements", metaFields))
	}
	return n
}

// code gives the type byte of the next element, 0xc1 (never used) at the end.
func (in *metaReader) code() byte {
	if in.err != nil {
		return 0xc1
	}
	c, err := in.dec.PeekCode()
	if err != nil {
		return 0xc1
	}
	return c
}

func (in *metaReader) uint(what string, most uint64) uint64 {
	c := in.code()
	if c > msgpcode.PosFixedNumHigh && (c < msgpcode.Uint8 || c > msgpcode.Uint64) {
		in.fail(what + " is not an unsigned integer")
		return 0
	}
	v, err := in.dec.DecodeUint64()
	if err != nil || v > most {
		in.fail(what + " is cut off or out of range")
		return 0
	}
	return v
}

func (in *metaReader) float(what string) float64 {
	if in.code() != msgpcode.Double {
		in.fail(what + " is not a 64-bit float")
		return 0
	}
	v, err := in.dec.DecodeFloat64()
	if err != nil {
		in.fail(what + " is cut off")
	}
	return v
}

func (in *metaReader) text(what string) string {
	if c := in.code(); !msgpcode.IsString(c) {
		in.fail(what + " is not a string")
		return ""
	}
	n, err := in.dec.DecodeBytesLen()
	if err != nil || n > in.r.Len() {
		in.fail(what + " is cut off")
		return ""
	}
	b := make([]byte, n)
	if _, err := in.r.Read(b); err != nil && n > 0 {
		in.fail(what + " is cut off")
	}
	return string(b)
}
