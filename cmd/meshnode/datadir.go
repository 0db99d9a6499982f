package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/meshnode/meshnode/internal/datadir"
	"github.com/meshnode/meshnode/membership"
	"github.com/meshnode/meshnode/node"
)

// peerMemory is the peers of a data directory as a node takes them.
type peerMemory struct {
	dir   *datadir.Dir
	known []node.KnownPeer
}

// Known implements node.Memory.
func (m *peerMemory) Known() []node.KnownPeer { return m.known }

// Remember implements node.Memory.
func (m *peerMemory) Remember(peers []node.KnownPeer) error {
	kept := make([]datadir.Peer, len(peers))
	for i, p := range peers {
		kept[i] = datadir.Peer(p)
	}
	return m.dir.SavePeers(kept)
}

// String implements node.Memory.
func (m *peerMemory) String() string { return m.dir.PeersFile() }

// openDataDir opens --data-dir for a node and completes its configuration by what is
// there. named tells whether --cluster was given. The caller closes the directory.
func openDataDir(path string, cfg *node.Config, named bool) (*datadir.Dir, error) {
	want := datadir.Config{Path: path, Name: cfg.Name, DefaultCluster: cfg.Cluster, Check: membership.CheckNames}
	if named {
		want.Cluster = cfg.Cluster
	}
	if cfg.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, usagef("no --name given and the host has none: %w", err)
		}
		want.DefaultName = host
	}
	dir, err := datadir.Open(want)
	if err != nil {
		return nil, badConfig(err)
	}
	memory, err := recallPeers(dir, cfg)
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	who := dir.Identity()
	cfg.Name, cfg.Cluster, cfg.Remember = who.Name, who.Cluster, memory
	cfg.Logger.Info().Str("dir", dir.Path()).Str("name", who.Name).Str("cluster", who.Cluster).
		Time("since", who.Created).Int("peers", len(memory.known)).Msg("data directory")
	return dir, nil
}

// recallPeers reads the peers. Those that cannot be read are a warning beside seeds;
// without any, a node that forgot its peers would begin a cluster of its own beside
// theirs.
func recallPeers(dir *datadir.Dir, cfg *node.Config) (*peerMemory, error) {
	memory := &peerMemory{dir: dir}
	peers, err := dir.Peers()
	if err != nil && len(cfg.Seeds) == 0 {
		return nil, fmt.Errorf("%w; give a member with --join, or remove the file to begin a cluster of its own", err)
	}
	if err != nil {
		cfg.Logger.Warn().Err(err).Msg("the peers that this node knew cannot be read; joining by --join alone")
	}
	for _, p := range peers {
		memory.known = append(memory.known, node.KnownPeer(p))
	}
	return memory, nil
}
