package faulty

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// Crash gives the file system as it may be after a power failure now: see the package
// comment. The same seed after the same operations gives the same one. The old one goes
// on as if nothing had been.
func (s *FS) Crash(seed uint64) *FS {
	s.mu.Lock()
	defer s.mu.Unlock()
	random := rand.New(rand.NewPCG(seed, 0xd15c))
	names := maps.Clone(s.durable)
	for _, c := range s.changes {
		if random.IntN(2) == 0 {
			c.apply(names)
		}
	}
	after := New()
	maps.Copy(after.dirs, s.dirs)
	made := make(map[*inode]*inode) // an inode may have two names: a rename that is half there is none, but two renames may be
	for _, name := range slices.Sorted(maps.Keys(names)) {
		old := names[name]
		if made[old] == nil {
			made[old] = newInode(old.crash(random))
		}
		after.names[name], after.durable[name] = made[old], made[old]
	}
	return after
}

// Kill gives the file system as it is after the process dies now, but not the system: all
// that was written is there, and as durable as it was.
func (s *FS) Kill() *FS {
	s.mu.Lock()
	defer s.mu.Unlock()
	after := New()
	maps.Copy(after.dirs, s.dirs)
	made := make(map[*inode]*inode)
	move := func(n *inode) *inode {
		if n != nil && made[n] == nil {
			made[n] = n.clone()
		}
		return made[n]
	}
	for name, n := range s.names {
		after.names[name] = move(n)
	}
	for name, n := range s.durable {
		after.durable[name] = move(n)
	}
	for _, c := range s.changes {
		c.node = move(c.node)
		after.changes = append(after.changes, c)
	}
	return after
}

func (n *inode) clone() *inode {
	versions := make(map[int64][][]byte, len(n.versions))
	for i, v := range n.versions {
		versions[i] = slices.Clone(v) // what a version holds never changes
	}
	return &inode{
		now: slices.Clone(n.now), synced: slices.Clone(n.synced), versions: versions,
		dirty: maps.Clone(n.dirty), sizes: slices.Clone(n.sizes),
	}
}

// crash gives what the file may hold.
func (n *inode) crash(random *rand.Rand) []byte {
	size := int64(len(n.synced))
	if i := random.IntN(len(n.sizes) + 1); i > 0 {
		size = n.sizes[i-1]
	}
	b := make([]byte, size)
	copy(b, n.synced)
	for _, i := range slices.Sorted(maps.Keys(n.versions)) {
		versions := n.versions[i]
		v := random.IntN(len(versions) + 1)
		begin := i * sectorBytes
		if v == 0 || begin >= size {
			continue
		}
		end := min(begin+sectorBytes, size)
		clear(b[begin:end])
		copy(b[begin:end], versions[v-1])
	}
	return b
}
