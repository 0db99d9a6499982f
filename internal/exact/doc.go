// Package exact runs a program so that it does the same thing every time: the
// program is compiled for GOOS=wasip1 and run under wazero, with one source of
// randomness, seeded, and a clock that moves only when all of it sleeps.
//
//	prog, err := exact.Build(ctx, exact.BuildConfig{Package: "./internal/exact/simulator"})
//	res, err := exact.Run(ctx, prog, exact.RunConfig{Args: []string{"-nodes", "30"}, Seed: 7, Stdout: os.Stdout})
//
// A Go program has no more sources of chance than these: WebAssembly has one
// thread and no preemption, so the scheduler's choices, the order of maps and
// of select, and math/rand/v2 follow from the random bytes that the runtime
// asks for at its start; the collector runs when so much has been allocated.
// Hence one Program, one seed, and the same arguments, input and environment
// give the same output, byte for byte, on every machine. Another version of Go
// or of the sources may give another output; Program tells both.
//
// # Building
//
// Build needs the go command and the sources of this module, and keeps what it
// has built in the user's cache, under a hash of the sources. It copies those
// that the program consists of and builds the copy: so the result depends on
// neither the folder nor what else is in it. One dependency of memberlist does
// not compile for wasip1; package sockaddr stands in for it there.
//
// A program built with the tag meshnode_exact carries what
//
//	go run ./internal/exact/embed
//
// has written before, and Build then gives that, without a go command.
//
// # Concurrency
//
// All functions may be called concurrently, also by several processes that
// share a cache. A Program does not change.
//
// # Failures
//
// Build gives ErrNoGo, ErrNoSource, ErrBuild with what the compiler said, or
// ErrCache. Run gives ErrConfig, ErrStuck when the virtual clock stands still
// for too long, ErrTrap when the program breaks the rules of WebAssembly, an
// ExitError for an exit status other than 0, or the error of ctx. A Go program
// whose goroutines all wait for each other ends with status 2 and says so on
// its standard error.
package exact
