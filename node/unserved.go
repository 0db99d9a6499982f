package node

import (
	"fmt"
	"sync"

	"github.com/meshnode/meshnode/rpc"
	"github.com/meshnode/meshnode/transport"
)

// maxUnserved is how many methods that are not served a node logs: strangers can ask for any.
const maxUnserved = 64

// unserved is the methods that this node was asked for by key, owns the key, and does not serve.
// The zero value is ready.
//
// Invariant: each is in told once it is logged, and there are at most maxUnserved.
type unserved struct {
	mu   sync.Mutex
	told map[string]bool
}

// news reports whether a method is to be logged, which it is once.
func (u *unserved) news(method string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.told[method] || len(u.told) >= maxUnserved {
		return false
	}
	if u.told == nil {
		u.told = make(map[string]bool)
	}
	u.told[method] = true
	return true
}

// refuseUnserved answers a call of a method that this node does not serve. Of a call with a key
// it says so only if the key is this node's: else the owner may well serve it.
func (n *Node) refuseUnserved(in *transport.Incoming) {
	v, method := n.view.Load(), string(in.Method)
	key := info{keyed: in.Meta.Partition != transport.NoPartition, partition: uint32(in.Meta.Partition)}
	if key.keyed {
		refusal := n.refuseKeyed(v, in.Meta)
		if refusal == nil {
			if owner := v.ownerOf(key.partition, method); owner != n.cfg.Name {
				refusal = n.notOwner(v, key.partition, owner)
			}
		}
		if refusal != nil {
			_ = in.Reply(uint64(rpc.NotOwner), refusal, nil)
			return
		}
	}
	_ = in.Reply(uint64(rpc.Unimplemented), n.refusal(v, "%s", n.whyUnserved(method, key)), nil)
}

// whyUnserved says that this node does not serve a method and, if it should as the owner of a
// key, what to do. It counts that, and logs it once for each method.
func (n *Node) whyUnserved(method string, key info) string {
	if !key.keyed {
		return fmt.Sprintf("node %s serves no method %.128q", n.cfg.Name, method)
	}
	n.stats.add(KeyedUnserved)
	service := serviceOf(method)
	why := fmt.Sprintf("node %s owns the key (partition %d) and serves no method %.128q: keys are dealt out among all members that serve, "+
		"whatever methods they have; register the method on each of them, or have those without it call SetServiceServing(%.128q, false) or be observers",
		n.cfg.Name, key.partition, method, service)
	if n.unserved.news(method) {
		n.log.Warn().Str("method", method).Uint32("partition", key.partition).Msg(
			"this node owns keys of a method that it does not serve: calls to them fail; register the method, or take the service from this node (SetServiceServing, Observer)")
	}
	return why
}

// withServer adds to the error of a call whose owner does not serve its method that this node
// does, if so: the two differ in what they serve.
func (o *outgoing) withServer(err error) error {
	e, ok := err.(*rpc.Error)
	if ok && o.call.Peer != o.n.cfg.Name && o.n.handlers.find(o.call.Spec.Name()) != nil {
		e.Message += "; node " + o.n.cfg.Name + " serves it"
	}
	return err
}
