package main

import (
	"os"

	"golang.org/x/term"
)

// terminalSize gives the size of the terminal that stream writes to. ok is
// false when it is none.
func terminalSize(stream any) (columns, rows int, ok bool) {
	f, isFile := stream.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return 0, 0, false
	}
	columns, rows, err := term.GetSize(int(f.Fd()))
	if err != nil || columns <= 0 || rows <= 0 {
		return 80, 24, true
	}
	return columns, rows, true
}

// isTerminal tells whether stream writes to a terminal.
func isTerminal(stream any) bool {
	_, _, ok := terminalSize(stream)
	return ok
}

// colours tells whether text on stream may be coloured.
func colours(stream any) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isTerminal(stream)
}
