package router

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"
)

// Limits and defaults of members and parameters.
const (
	// DefaultPartitions is the number of partitions if Params.Partitions is 0.
	DefaultPartitions = 1 << 14
	// MinPartitions is the least number of partitions.
	MinPartitions = 1 << 4
	// MaxPartitions is the largest number of partitions.
	MaxPartitions = 1 << 20
	// DefaultSlackPermille is the slack, in thousandths, if Params.SlackPermille is 0.
	DefaultSlackPermille = 50
	// MaxSlackPermille is the largest slack, in thousandths.
	MaxSlackPermille = 1000
	// MinWeight is the smallest weight of a member, other than 0 for the default of 1.
	MinWeight = 0.1
	// MaxWeight is the largest weight of a member.
	MaxWeight = 100
	// MaxMembers is the largest number of members of a table.
	MaxMembers = 1 << 16
)

// Errors of New and Params.Validate. They come wrapped with details.
var (
	// ErrNoName tells of a member whose name is empty.
	ErrNoName = errors.New("router: member without a name")
	// ErrDuplicateName tells of two members with one name.
	ErrDuplicateName = errors.New("router: duplicate member name")
	// ErrWeight tells of a weight that is neither 0 nor within MinWeight to MaxWeight.
	ErrWeight = errors.New("router: weight out of range")
	// ErrTooManyMembers tells of more than MaxMembers members.
	ErrTooManyMembers = errors.New("router: too many members")
	// ErrPartitions tells of a number of partitions that is neither 0 nor a
	// power of two within MinPartitions to MaxPartitions.
	ErrPartitions = errors.New("router: invalid number of partitions")
	// ErrSlack tells of a slack outside 0 to MaxSlackPermille.
	ErrSlack = errors.New("router: slack out of range")
)

// thousandths is the unit in which weights are kept: 1000 is a weight of 1.
const thousandths = 1000

// Member is one process that can own partitions.
type Member struct {
	// Name is the identity of the member: not empty, unique in its cluster,
	// compared byte by byte.
	Name string
	// Zone names what fails together with the member, such as a rack or a
	// data centre. It may be empty: members without a zone share one.
	Zone string
	// Weight is the share of the member relative to others, from MinWeight
	// to MaxWeight, rounded to thousandths. 0 means 1.
	Weight float64
}

// Params are the settings that every member of a cluster must share. The zero
// value is ready to use and stands for the defaults.
type Params struct {
	// Partitions is the number of parts of the key space: a power of two
	// from MinPartitions to MaxPartitions. 0 means DefaultPartitions. Shares
	// are even when there are at least a hundred partitions per member.
	Partitions uint32
	// SlackPermille is how far the partitions of a member may exceed its
	// fair share, in thousandths of that share, from 1 to MaxSlackPermille.
	// 0 means DefaultSlackPermille. Less slack balances better and moves
	// more when members change.
	SlackPermille int
}

// Validate returns nil if New accepts the parameters, and otherwise an error
// that is ErrPartitions or ErrSlack.
func (p Params) Validate() error {
	if n := p.Partitions; n != 0 && (n < MinPartitions || n > MaxPartitions || bits.OnesCount32(n) != 1) {
		return fmt.Errorf("%w: %d is not a power of two from %d to %d", ErrPartitions, n, MinPartitions, MaxPartitions)
	}
	if s := p.SlackPermille; s < 0 || s > MaxSlackPermille {
		return fmt.Errorf("%w: %d is not within 0 to %d permille", ErrSlack, s, MaxSlackPermille)
	}
	return nil
}

// WithDefaults returns p with the defaults in place of zeros.
func (p Params) WithDefaults() Params {
	if p.Partitions == 0 {
		p.Partitions = DefaultPartitions
	}
	if p.SlackPermille == 0 {
		p.SlackPermille = DefaultSlackPermille
	}
	return p
}

// normalise returns a copy of members sorted by name and with weights
// rounded, and those weights in thousandths.
func normalise(members []Member) ([]Member, []uint32, error) {
	if len(members) > MaxMembers {
		return nil, nil, fmt.Errorf("%w: %d, at most %d", ErrTooManyMembers, len(members), MaxMembers)
	}
	sorted := slices.Clone(members)
	slices.SortFunc(sorted, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	weights := make([]uint32, len(sorted))
	for i := range sorted {
		m := &sorted[i]
		if m.Name == "" {
			return nil, nil, fmt.Errorf("%w (zone %q, weight %v)", ErrNoName, m.Zone, m.Weight)
		}
		if i > 0 && m.Name == sorted[i-1].Name {
			return nil, nil, fmt.Errorf("%w: %q", ErrDuplicateName, m.Name)
		}
		w, ok := quantise(m.Weight)
		if !ok {
			return nil, nil, fmt.Errorf("%w: %q has %v, want 0 or %v to %v", ErrWeight, m.Name, m.Weight, MinWeight, MaxWeight)
		}
		weights[i] = w
		m.Weight = float64(w) / thousandths
	}
	return sorted, weights, nil
}

// quantise returns a weight in thousandths, and whether it is within range.
func quantise(weight float64) (uint32, bool) {
	if weight == 0 {
		return thousandths, true
	}
	// The conversion keeps the product from being fused with what follows.
	scaled := math.Round(float64(weight * thousandths))
	if !(scaled >= MinWeight*thousandths && scaled <= MaxWeight*thousandths) {
		return 0, false
	}
	return uint32(scaled), true
}
