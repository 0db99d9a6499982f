// Package archtest keeps the shape of the repository: who may import whom, where sockets, clocks and randomness may
// come from, what must be documented, how long a file may grow.
//
// The rules are data, all of them in rules.go, and each check is a function from parsed source to a list of problems:
//
//	pkgs, err := archtest.Load("../..")
//	for _, p := range archtest.Check(archtest.House(), pkgs) {
//		fmt.Println(p) // router/table.go:12: stdlib: package router may not import "time"
//	}
//
// Files are read as they lie in the tree, so those for another operating system or behind a build tag are held to the
// rules as well. Most checks work on syntax alone: they are meant to catch a slip, not someone who sets out to get
// around them. The tests in this package run the checks over the repository, and over planted violations that show
// that each of them can fail.
//
// Nothing here keeps state; all functions may be called from several goroutines.
package archtest
