package disk

import (
	"errors"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
)

// The process's number begins behind the first byte, which Windows lets nobody
// else read while it is locked, and has a fixed width: the file needs no cutting.
const (
	pidOffset = 1
	pidWidth  = 20
)

// lock locks a file by the operating system, which frees it when the process ends,
// however it does.
func lock(name string) (io.Closer, error) {
	l := flock.New(name, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(fileMode))
	got, err := l.TryLock()
	if err != nil {
		return nil, errors.Join(Classify(err), l.Close())
	}
	if !got {
		return nil, errors.Join(&InUseError{Name: name, PID: readPID(name)}, l.Close())
	}
	if err := writePID(name); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// writePID is for people, so it is not synced.
func writePID(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, fileMode)
	if err != nil {
		return Classify(err)
	}
	pid := strconv.Itoa(os.Getpid())
	text := pid + strings.Repeat(" ", pidWidth-1-len(pid)) + "\n"
	_, err = f.WriteAt([]byte(text), pidOffset)
	return Classify(errors.Join(err, f.Close()))
}

// readPID is 0 if the file does not say.
func readPID(name string) int {
	f, err := os.Open(name)
	if err != nil {
		return 0
	}
	defer f.Close() // only read
	text := make([]byte, pidWidth)
	n, _ := f.ReadAt(text, pidOffset)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}
