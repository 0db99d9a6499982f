package main

import (
	"fmt"
	"slices"
	"sort"
	"strconv"

	"github.com/buraksezer/consistent"
	"github.com/cespare/xxhash/v2"

	"github.com/meshnode/meshnode/router"
)

// placement says which member owns a key.
type placement interface {
	// owner of a key, by its string.
	owner(key string) string
	// shares gives the exact part of the key space of each member.
	shares() map[string]float64
	// join and leave give the placement with one member more or less.
	join(member router.Member) (placement, error)
	leave(name string) (placement, error)
}

// placementType is one way to place keys.
type placementType struct {
	name    string
	weights bool // it knows of weights
	build   func(members []router.Member, partitions uint32) (placement, error)
}

func placementTypes() []placementType {
	return []placementType{
		{"meshnode", true, buildTable},
		{"ring, 100 vnodes", false, buildRing},
		{"consistent, load 1.25", false, buildConsistent(1.25)},
		{"consistent, load 1.05", false, buildConsistent(1.05)},
	}
}

// tablePlacement is this project's.
type tablePlacement struct {
	table   *router.Table
	members []router.Member
}

func buildTable(members []router.Member, partitions uint32) (placement, error) {
	t, err := router.New(members, router.Params{Partitions: partitions})
	return tablePlacement{t, members}, err
}

func (p tablePlacement) owner(key string) string {
	_, owner := p.table.Lookup(key)
	return owner
}

func (p tablePlacement) shares() map[string]float64 {
	all := make(map[string]float64)
	for _, s := range p.table.Shares() {
		all[s.Name] = s.Fraction
	}
	return all
}

func (p tablePlacement) with(members []router.Member) (placement, error) {
	t, err := p.table.With(members)
	return tablePlacement{t, members}, err
}

func (p tablePlacement) join(m router.Member) (placement, error) {
	return p.with(append(slices.Clone(p.members), m))
}

func (p tablePlacement) leave(name string) (placement, error) {
	return p.with(slices.DeleteFunc(slices.Clone(p.members), func(m router.Member) bool { return m.Name == name }))
}

// ringPlacement is the usual ring of virtual nodes.
type ringPlacement struct{ points []ringPoint }

type ringPoint struct {
	hash uint64
	name string
}

// vnodes is how many points a member has on the ring.
const vnodes = 100

func ringPoints(name string) []ringPoint {
	points := make([]ringPoint, vnodes)
	for i := range points {
		points[i] = ringPoint{xxhash.Sum64String(name + "#" + strconv.Itoa(i)), name}
	}
	return points
}

func buildRing(members []router.Member, _ uint32) (placement, error) {
	var r ringPlacement
	for _, m := range members {
		r.points = append(r.points, ringPoints(m.Name)...)
	}
	r.sort()
	return &r, nil
}

func (r *ringPlacement) sort() {
	sort.Slice(r.points, func(i, j int) bool { return r.points[i].hash < r.points[j].hash })
}

func (r *ringPlacement) owner(key string) string {
	hash := xxhash.Sum64String(key)
	i := sort.Search(len(r.points), func(i int) bool { return r.points[i].hash >= hash })
	if i == len(r.points) {
		i = 0
	}
	return r.points[i].name
}

func (r *ringPlacement) shares() map[string]float64 {
	all := make(map[string]float64)
	before := r.points[len(r.points)-1].hash
	for _, p := range r.points {
		all[p.name] += float64(p.hash-before) / (1 << 63) / 2 // wraps around at the first
		before = p.hash
	}
	return all
}

func (r *ringPlacement) join(m router.Member) (placement, error) {
	next := &ringPlacement{append(slices.Clone(r.points), ringPoints(m.Name)...)}
	next.sort()
	return next, nil
}

func (r *ringPlacement) leave(name string) (placement, error) {
	return &ringPlacement{slices.DeleteFunc(slices.Clone(r.points), func(p ringPoint) bool { return p.name == name })}, nil
}

// consistentPlacement is github.com/buraksezer/consistent, which changes in
// place: join and leave build it anew, but for the one that is timed.
type consistentPlacement struct {
	c       *consistent.Consistent
	members []router.Member
	config  consistent.Config
}

type consistentMember string

func (m consistentMember) String() string { return string(m) }

type xxhasher struct{}

func (xxhasher) Sum64(b []byte) uint64 { return xxhash.Sum64(b) }

func buildConsistent(load float64) func([]router.Member, uint32) (placement, error) {
	return func(members []router.Member, partitions uint32) (placement, error) {
		config := consistent.Config{
			Hasher: xxhasher{}, PartitionCount: int(partitions), ReplicationFactor: 20, Load: load,
		}
		return newConsistent(members, config)
	}
}

// newConsistent turns its panic, when the members have no room for all
// partitions, into an error.
func newConsistent(members []router.Member, config consistent.Config) (p placement, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("consistent: %v", r)
		}
	}()
	all := make([]consistent.Member, len(members))
	for i, m := range members {
		all[i] = consistentMember(m.Name)
	}
	return &consistentPlacement{consistent.New(all, config), members, config}, nil
}

func (p *consistentPlacement) owner(key string) string { return p.c.LocateKey([]byte(key)).String() }

func (p *consistentPlacement) shares() map[string]float64 {
	all := make(map[string]float64)
	for name, partitions := range p.c.LoadDistribution() {
		all[name] = partitions / float64(p.config.PartitionCount)
	}
	return all
}

func (p *consistentPlacement) join(m router.Member) (placement, error) {
	return newConsistent(append(slices.Clone(p.members), m), p.config)
}

func (p *consistentPlacement) leave(name string) (placement, error) {
	rest := slices.DeleteFunc(slices.Clone(p.members), func(m router.Member) bool { return m.Name == name })
	return newConsistent(rest, p.config)
}
