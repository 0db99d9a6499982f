package membership

import (
	"math/rand/v2"
	"time"
)

// bootRandomBits are the low bits of a boot id that keep two processes
// started in one millisecond apart.
const bootRandomBits = 20

// NewBoot gives the boot id of a process that starts at now: Unix milliseconds
// in the upper 44 bits and 20 random ones below. Of two boot ids the smaller
// one belongs to the process that started first, as far as clocks agree. It is
// never 0.
func NewBoot(now time.Time, rnd *rand.Rand) uint64 {
	ms := uint64(max(now.UnixMilli(), 1))
	return ms<<bootRandomBits | rnd.Uint64N(1<<bootRandomBits)
}

// BootTime gives the start time within a boot id, to the millisecond.
func BootTime(boot uint64) time.Time {
	return time.UnixMilli(int64(boot >> bootRandomBits))
}
