//go:build !windows

package disk

import (
	"errors"
	"io/fs"
	"syscall"
)

// isFull takes a quota for a smaller disk.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func isReadOnly(err error) bool {
	return errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission)
}
