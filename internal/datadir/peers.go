package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"time"
)

// MaxPeers is how many peers are kept: the first ones.
const MaxPeers = 256

// maxPeersFile bounds the file, in bytes; MaxPeers of the longest take a tenth.
const maxPeersFile = 1 << 20

// Peer is another member of the cluster.
type Peer struct {
	Name string
	Addr netip.AddrPort // UDP and TCP
}

// peersFile is peers.json. Addresses are read as text, so that one that is not valid
// does not spoil the others.
type peersFile struct {
	Format int         `json:"format"`
	Saved  time.Time   `json:"saved"`
	Peers  []peerEntry `json:"peers"`
}

type peerEntry struct {
	Name string `json:"name"`
	Addr string `json:"addr"`
}

// parsePeers reads peers.json: the first MaxPeers entries with a name and an address.
// Errors: ErrNewerFormat, ErrDamaged.
func parsePeers(data []byte) ([]Peer, error) {
	var f peersFile
	if err := parse(data, &f); err != nil {
		return nil, err
	}
	peers := make([]Peer, 0, min(len(f.Peers), MaxPeers))
	for _, e := range f.Peers {
		addr, err := netip.ParseAddrPort(e.Addr)
		if err != nil || e.Name == "" || addr.Port() == 0 {
			continue
		}
		if peers = append(peers, Peer{Name: e.Name, Addr: addr}); len(peers) == MaxPeers {
			break
		}
	}
	return peers, nil
}

// PeersFile is the path of the file with the peers.
func (d *Dir) PeersFile() string { return filepath.Join(d.path, peersName) }

// Peers gives the peers as they were last saved, none if none were. The slice is the
// caller's. Errors: ErrDamaged, ErrNewerFormat, or of the file system, with the path.
func (d *Dir) Peers() ([]Peer, error) {
	data, err := readFile(d.PeersFile(), maxPeersFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	peers, err := parsePeers(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.PeersFile(), err)
	}
	return peers, nil
}

// SavePeers keeps the first MaxPeers of peers, on the disk when it returns. Errors:
// ErrClosed, or of the file system; the peers that were saved before are still there
// then.
func (d *Dir) SavePeers(peers []Peer) error {
	f := peersFile{Format: format, Saved: time.Now().UTC().Truncate(time.Second), Peers: []peerEntry{}}
	for _, p := range peers[:min(len(peers), MaxPeers)] {
		f.Peers = append(f.Peers, peerEntry{Name: p.Name, Addr: p.Addr.String()})
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return fmt.Errorf("%w: %s", ErrClosed, d.path)
	}
	return writeFile(d.path, peersName, f)
}
