// Package datadir keeps what a node of the daemon must know after a restart, in a
// directory of its own: who it is, and the peers it knew.
//
//	dir, err := datadir.Open(datadir.Config{Path: "/var/lib/meshnode/a", Name: "a", DefaultCluster: "meshnode"})
//	defer dir.Close()
//	who := dir.Identity()    // the same at every start
//	peers, err := dir.Peers() // as last saved
//	err = dir.SavePeers(peers)
//
// The files, all readable by their owner alone:
//
//	LOCK           locked by the process that uses the directory; its number is in it
//	identity.json  {"format", "name", "cluster", "created"}, written once
//	peers.json     {"format", "saved", "peers": [{"name", "addr"}]}
//
// # Concurrency
//
// One process at a time has a directory open; the operating system gives the lock
// back however that process ends. The methods of a Dir may be called from several
// goroutines. No goroutine is started.
//
// # Failures
//
// A file is replaced as a whole: written under another name, synced, renamed, and the
// directory synced. After a crash or a power failure it is the old one or the new
// one. A file that is damaged all the same, or of a newer format, is a named error
// (ErrDamaged, ErrNewerFormat) with its path, and stays as it is until it is written again.
package datadir
