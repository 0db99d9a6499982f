//go:build unix

package transport

import (
	"net"
	"syscall"
)

// tryWriter gives a function that writes a and then b, as much as the operating
// system takes at once, and never waits; nil if nc has none. It is not for
// concurrent use.
func tryWriter(nc net.Conn) func(a, b []byte) (int, error) {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	// One closure for all writes, so that none allocates.
	w := &attempt{}
	step := w.step
	return func(a, b []byte) (int, error) {
		w.a, w.b, w.n, w.err = a, b, 0, nil
		err := raw.Write(step)
		w.a, w.b = nil, nil
		if err == nil {
			err = w.err
		}
		return w.n, err
	}
}

// attempt is one write that does not wait.
type attempt struct {
	a, b []byte
	n    int
	err  error
}

// step writes until all is taken, or nothing more is. It always tells that it is
// done: the runtime would wait otherwise.
func (w *attempt) step(fd uintptr) bool {
	for w.n < len(w.a)+len(w.b) {
		a, b := w.a[min(w.n, len(w.a)):], w.b[max(0, w.n-len(w.a)):]
		n, err := writeBoth(int(fd), a, b)
		w.n += max(n, 0)
		switch err {
		case nil, syscall.EINTR:
		case syscall.EAGAIN:
			return true
		default:
			w.err = err
			return true
		}
	}
	return true
}
