package scenario

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/meshnode/meshnode/internal/simnet"
)

// Duration is a time.Duration that is written as "1.5s", "20ms", "2m".
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v < 0 {
		return fmt.Errorf("%q is no time; want one such as 20ms, 1.5s or 2m", text)
	}
	*d = Duration(v)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String gives the text that UnmarshalText reads.
func (d Duration) String() string { return time.Duration(d).String() }

// D gives the standard type.
func (d Duration) D() time.Duration { return time.Duration(d) }

// IsZero tells whether the duration is left out.
func (d Duration) IsZero() bool { return d == 0 }

// Dist is a distribution of times that is written as "2ms" (always that),
// "uniform 1ms 5ms", "normal 10ms 2ms" (mean, standard deviation) or
// "pareto 1ms 1.5" (the least, and the tail's exponent).
type Dist struct{ simnet.Dist }

// IsZero tells whether the distribution is left out.
func (d Dist) IsZero() bool { return d.Dist == simnet.Dist{} }

var errDist = errors.New(`want "2ms", "uniform 1ms 5ms", "normal 10ms 2ms" or "pareto 1ms 1.5"`)

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Dist) UnmarshalText(text []byte) error {
	f := strings.Fields(string(text))
	bad := fmt.Errorf("%q is no distribution of times; %w", text, errDist)
	times := make([]time.Duration, len(f))
	for i := range f {
		t, err := time.ParseDuration(f[i])
		if err == nil && t >= 0 {
			times[i] = t
		} else if i > 0 && !(f[0] == "pareto" && i == 2) || len(f) == 1 {
			return bad
		}
	}
	switch {
	case len(f) == 1:
		d.Dist = simnet.Constant(times[0])
	case len(f) != 3:
		return bad
	case f[0] == "uniform" && times[1] <= times[2]:
		d.Dist = simnet.Uniform(times[1], times[2])
	case f[0] == "normal":
		d.Dist = simnet.Normal(times[1], times[2])
	case f[0] == "pareto":
		alpha, err := strconv.ParseFloat(f[2], 64)
		if err != nil || !(alpha > 0 && alpha <= 100) {
			return bad
		}
		d.Dist = simnet.Pareto(times[1], alpha)
	default:
		return bad
	}
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Dist) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String gives the text that UnmarshalText reads.
func (d Dist) String() string {
	switch d.Kind {
	case simnet.KindUniform:
		return fmt.Sprintf("uniform %v %v", d.A, d.B)
	case simnet.KindNormal:
		return fmt.Sprintf("normal %v %v", d.A, d.B)
	case simnet.KindPareto:
		return fmt.Sprintf("pareto %v %v", d.A, d.Alpha)
	}
	return d.A.String()
}
