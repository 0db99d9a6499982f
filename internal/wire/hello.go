package wire

import "errors"

// ErrHello: the hello lacks what it must have or holds what it must not.
var ErrHello = errors.New("wire: bad hello")

// DefaultWindow is the window of a hello that names none, in bytes.
const DefaultWindow = 256 << 10

// StreamWindow is the window that a stream begins with in each direction, in
// bytes, unless that of the hello is smaller.
const StreamWindow = 4 << 10

// MaxName bounds names (node, cluster) in bytes.
const MaxName = 128

// Hello is how each side of a connection introduces itself. Limits are those
// of the sender: what it accepts.
type Hello struct {
	Version  uint64 // protocol version; see Version
	Cluster  string // empty: a client that takes any cluster
	Name     string // the node's name; empty: a client, no member
	To       string // the name that the dialler expects to reach; may be empty
	Boot     uint64 // tells two lives of one name apart; 0 for a client
	KeyID    uint64 // identifies the gossip key without giving it away; 0: none
	MaxBody  uint64 // largest body accepted, in bytes
	MaxCalls uint64 // most calls in flight accepted
	// Window and ConnWindow are the bytes in data frames that may be sent on
	// one stream, and on the connection, before more are granted. 0 stands
	// for DefaultWindow.
	Window     uint64
	ConnWindow uint64
}

// AppendHello appends a hello's header with its map.
func AppendHello(dst []byte, h *Hello) []byte {
	dst = AppendUint(append(dst, 0x93, byte(KindHello)), h.Version)
	strs := [...]struct{ key, value string }{
		{"cluster", h.Cluster}, {"name", h.Name}, {"to", h.To},
	}
	numbers := [...]struct {
		key   string
		value uint64
	}{
		{"boot", h.Boot},
		{"key", h.KeyID},
		{"max_body", h.MaxBody},
		{"max_calls", h.MaxCalls},
		{"window", h.Window},
		{"conn_window", h.ConnWindow},
	}
	dst = AppendMapHeader(dst, len(strs)+len(numbers))
	for _, f := range strs {
		dst = AppendStr(AppendStr(dst, f.key), f.value)
	}
	for _, f := range numbers {
		dst = AppendUint(AppendStr(dst, f.key), f.value)
	}
	return dst
}

// ParseHello reads a hello frame (without its length). Keys that it does not
// know are passed over. Names are at most MaxName bytes and must be printable
// ASCII without spaces. Errors: ErrHello and those of Parse.
func ParseHello(frame []byte) (Hello, error) {
	var head Header
	rest, err := Parse(frame, &head)
	if err != nil {
		return Hello{}, err
	}
	if head.Kind != KindHello {
		return Hello{}, ErrHello
	}
	h := Hello{Version: head.Code}
	c := cursor{buf: rest[:min(len(rest), MaxHeader)]}
	for n := c.mapping(); n > 0 && c.err == nil; n-- {
		switch string(c.str()) {
		case "cluster":
			h.Cluster = c.name()
		case "name":
			h.Name = c.name()
		case "to":
			h.To = c.name()
		case "boot":
			h.Boot = c.uint()
		case "key":
			h.KeyID = c.uint()
		case "max_body":
			h.MaxBody = c.uint()
		case "max_calls":
			h.MaxCalls = c.uint()
		case "window":
			h.Window = c.uint()
		case "conn_window":
			h.ConnWindow = c.uint()
		default:
			c.skip()
		}
	}
	return h, c.err
}

// name reads a name of a node or a cluster.
func (c *cursor) name() string {
	b := c.str()
	if !ValidName(string(b)) && len(b) > 0 {
		c.fail(ErrHello)
	}
	return string(b)
}

// ValidName tells whether s can name a node or a cluster: 1 to MaxName bytes
// of printable ASCII without spaces.
func ValidName(s string) bool {
	if len(s) == 0 || len(s) > MaxName {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
