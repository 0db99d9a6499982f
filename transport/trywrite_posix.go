//go:build unix && !linux

package transport

import "syscall"

// writeBoth writes a and, if all of it was taken, b.
func writeBoth(fd int, a, b []byte) (int, error) {
	if len(a) == 0 {
		return syscall.Write(fd, b)
	}
	return syscall.Write(fd, a)
}
