// Package sockaddr stands in for github.com/hashicorp/go-sockaddr where that
// module does not compile: it has no file for GOOS=wasip1. It has only what
// memberlist v0.7.0 uses: NewIPAddr, IfAddr, IfByRFC and GetPrivateIP, with the
// signatures that memberlist expects.
//
//	ip, err := sockaddr.NewIPAddr("203.0.113.7")
//	special, public, err := sockaddr.IfByRFC("6890", []sockaddr.IfAddr{{SockAddr: ip}})
//
// Nothing of this module imports it. It is an ordinary package so that it is
// vetted, tested and part of the module that users download; package exact
// copies it, with a go.mod of the other's name, beside the sources of a build
// for wasip1.
//
// # Concurrency
//
// All functions may be called concurrently, and values don't change.
//
// # Failures
//
// What is not the text of an IP address gives ErrAddress, and an RFC that this
// package knows nothing of gives ErrRFC.
package sockaddr
