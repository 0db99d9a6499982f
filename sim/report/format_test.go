package report

import "testing"

func TestUnits(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{count(1234567), "1,234,567"},
		{count(-1234), "-1,234"},
		{count(999), "999"},
		{count(1e300), "1e+300"},
		{seconds(0), "0.00 s"},
		{seconds(0.0312), "31.2 ms"},
		{seconds(0.9999), "1.00 s"},
		{seconds(1234.5), "1,234 s"},
		{millis(0.4211), "0.42 ms"},
		{millis(12.44), "12.4 ms"},
		{percent(1), "100%"},
		{percent(0.9999999), "99.999%"},
		{percent(0.29), "29.000%"},
		{share(0), "0%"},
		{share(0.0000001), "0.001%"},
		{list([]string{"a", "b", "c"}, 2), "a, b and 1 more"},
		{plural(1, "call", "calls"), "1 call"},
		{plural(0, "call", "calls"), "0 calls"},
	} {
		if c.got != c.want {
			t.Errorf("%s, not %s", c.got, c.want)
		}
	}
}
