package membership

import (
	"strings"
	"testing"
	"time"
)

// removal is how long a cluster takes from the crash of one to its removal from
// all others' snapshots; so many of them say so at once.
func removal(t *testing.T, p Profile, told int) (d time.Duration) {
	t.Helper()
	virtual(t, func(t *testing.T, l *lab) {
		nodes, names := startMany(l, p, 5)
		dead := nodes[4]
		boot := dead.cfg.Meta.Boot
		dead.crash()
		for _, n := range nodes[:told] {
			n.Suspect(names[4], boot)
		}
		d = agree(l.t, 2*time.Minute, nodes[:4], names[:4]...)
	})
	return d
}

// A crash that others report is found out sooner than by probes.
func TestSuspectShortensDetection(t *testing.T) {
	for _, p := range []Profile{Local, LAN} {
		alone := removal(t, p, 0)
		for _, by := range []int{2, 4} {
			told := removal(t, p, by)
			t.Logf("%v: removed after %v, and %v when %d nodes say so at once", p, alone, told, by)
			if told > alone {
				t.Errorf("%v: %v with Suspect by %d, %v without", p, told, by, alone)
			}
			// The suspicion's shortest time: two others confirm it, and with five
			// nodes that is all that it waits for.
			tune := p.tuning()
			if most := time.Duration(tune.suspicionMult+2) * tune.probeInterval; told > most {
				t.Errorf("%v: %v by %d, want at most %v", p, told, by, most)
			}
		}
	}
}

// A process that lives refutes what is said of it, encrypted gossip or not.
func TestSuspectIsRefuted(t *testing.T) {
	for name, key := range map[string][]byte{"plain": nil, "encrypted": []byte("0123456789abcdef")} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			var nodes []*labNode
			var names, seeds []string
			for _, name := range []string{"a", "b", strings.Repeat("c", MaxName)} {
				cfg := l.config(name, seeds...)
				cfg.GossipKey = key
				nodes, names = append(nodes, l.startConfig(cfg)), append(names, name)
				seeds = []string{nodes[0].seed()}
			}
			agree(t, 10*time.Second, nodes, names...)
			incarnation := func() uint32 {
				members, err := nodes[1].Members(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range members {
					if m.Name == names[2] {
						return m.Incarnation
					}
				}
				return 0
			}
			before := incarnation()
			nodes[0].Suspect(names[2], nodes[2].cfg.Meta.Boot)
			eventually(t, 10*time.Second, "the suspect refutes", func() bool { return incarnation() > before })
			agree(t, 10*time.Second, nodes, names...)
		})
	}
}

// Who is not meant is not suspected: another life of the name, nobody, oneself.
func TestSuspectOfTheWrong(t *testing.T) {
	virtual(t, func(t *testing.T, l *lab) {
		nodes, names := startMany(l, Local, 3)
		a := nodes[0]
		a.Suspect(names[1], nodes[1].cfg.Meta.Boot+1)
		a.Suspect("nobody", 1)
		a.Suspect(names[0], a.cfg.Meta.Boot)
		for range 10 * suspicionBacklog { // nobody is told twice in a probe interval
			a.Suspect(names[1], nodes[1].cfg.Meta.Boot)
		}
		l.pass(time.Second)
		if got := strings.Count(a.logs.String(), "telling gossip to suspect"); got != 1 {
			t.Errorf("gossip was told %d times:\n%s", got, a.logs)
		}
	})
}
