package transport

import (
	"syscall"
	"unsafe"
)

// writeBoth writes a and then b in one system call, as far as fd takes them.
func writeBoth(fd int, a, b []byte) (int, error) {
	if len(b) == 0 {
		return syscall.Write(fd, a)
	}
	if len(a) == 0 {
		return syscall.Write(fd, b)
	}
	parts := [2]syscall.Iovec{{Base: &a[0]}, {Base: &b[0]}}
	parts[0].SetLen(len(a))
	parts[1].SetLen(len(b))
	n, _, errno := syscall.Syscall(syscall.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&parts[0])), 2)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
