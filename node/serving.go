package node

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/meshnode/meshnode/membership"
)

// serving is what the application says about itself.
type serving struct {
	off  bool // it serves nothing
	down membership.Services
}

// SetServing says whether the application can serve, for one whose process is
// well but whose database, say, is not. While it cannot, the node owns no keys
// and gets no calls to rpc.Any; it goes on to route its own calls, and calls
// that name it still reach it. The news spreads by gossip: calls that are under
// way meanwhile are served. It may be called before Start.
func (n *Node) SetServing(can bool) error {
	return n.setServing(func(s *serving) { s.off = !can })
}

// SetServiceServing is SetServing for one service, which is what the names of its
// methods begin with: "greeter" for "greeter.Hello". Others then take the
// service's keys from this node, the next owner of each; keys of other services
// stay. The error says that more services are down than gossip has room for.
func (n *Node) SetServiceServing(service string, can bool) error {
	if service == "" || strings.ContainsAny(service, " .") {
		return fmt.Errorf("node: bad service name %q; want what precedes the last dot of a method's name", service)
	}
	return n.setServing(func(s *serving) {
		names := slices.DeleteFunc(s.down.Names(), func(name string) bool { return name == service })
		if !can {
			names = append(names, service)
		}
		s.down = membership.ServicesOf(names...)
	})
}

func (n *Node) setServing(edit func(*serving)) error {
	next, err := n.edited(edit)
	if err != nil {
		return err
	}
	if cluster := n.cluster.Load(); cluster != nil && next {
		return cluster.UpdateMeta(n.describe)
	}
	return nil
}

// edited changes what the application says and tells whether that is news. The
// error says that gossip has no room for it.
func (n *Node) edited(edit func(*serving)) (news bool, err error) {
	n.servingMu.Lock()
	defer n.servingMu.Unlock()
	next := n.serving
	edit(&next)
	largest := membership.Meta{
		Boot: math.MaxUint64, Zone: n.cfg.Zone, Protocol: math.MaxUint16, Down: next.down,
		Params: membership.TableParams{Partitions: math.MaxUint32, SlackPermille: math.MaxUint16},
	}
	if _, err := largest.Encode(); err != nil {
		return false, err
	}
	news = next != n.serving
	n.serving = next
	return news, nil
}

// describe writes what the application says into the metadata of a member that
// has joined and does not leave.
func (n *Node) describe(m *membership.Meta) {
	n.servingMu.Lock()
	defer n.servingMu.Unlock()
	m.Down = n.serving.down
	if m.State != membership.StateServing && m.State != membership.StateStandby || n.life.isStopping() {
		return
	}
	m.State = membership.StateServing
	if n.serving.off || n.cfg.Observer {
		m.State = membership.StateStandby
	}
}

// serviceOf is the service of a method: what precedes the last dot of its name.
func serviceOf[S string | []byte](method S) S {
	for i := len(method) - 1; i >= 0; i-- {
		if method[i] == '.' {
			return method[:i]
		}
	}
	return method
}

// downs gives, for each service that some member cannot serve, who cannot; nil:
// all can serve everything.
func downs(members []membership.Member) map[string][]string {
	var all map[string][]string
	for i := range members {
		if members[i].Down == "" {
			continue
		}
		if all == nil {
			all = make(map[string][]string)
		}
		for _, service := range members[i].Down.Names() {
			all[service] = append(all[service], members[i].Name)
		}
	}
	return all
}

// ownerOf is the owner of a partition for calls of a method: the first by the
// table that can serve it or, if none can, the first.
func (v *view) ownerOf(partition uint32, method string) string {
	if v.down == nil {
		return v.table.Owner(partition)
	}
	owners := v.ownersOf(partition, 1, method)
	if len(owners) == 0 {
		return ""
	}
	return owners[0]
}

// ownersOf are the first n owners of a partition who can serve a method; if
// nobody can, those of the table.
func (v *view) ownersOf(partition uint32, n int, method string) []string {
	down := v.down[serviceOf(method)]
	owners := v.table.Owners(partition, n+len(down), make([]string, 0, n+len(down)))
	able := slices.DeleteFunc(slices.Clone(owners), func(name string) bool { return slices.Contains(down, name) })
	if len(able) == 0 {
		able = owners
	}
	return able[:min(n, len(able))]
}
