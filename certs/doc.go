// Package certs makes certificates for development clusters, and says how a
// certificate names a node. It needs nothing but the standard library.
//
//	ca, err := certs.NewAuthority(certs.AuthorityOptions{})
//	err = ca.Pair().WriteFiles("certs/ca.crt", "certs/ca.key", false)
//	pair, err := ca.IssueNode("node-1", certs.DefaultValid)
//	err = pair.WriteFiles("certs/node-1.crt", "certs/node-1.key", false)
//
// A production cluster has its own authority. What the mesh wants of a node's
// certificate: it names the node (see Names), and may be used by both ends of a
// connection (extended key usages serverAuth and clientAuth). A certificate of a
// client needs clientAuth only, and no name of a node.
//
// # Concurrency
//
// An Authority is immutable and safe for concurrent use.
//
// # Failures
//
// Errors say what is wrong and with which file. ErrExists tells that a file
// would have been overwritten; nothing was written then.
package certs
