package sockaddr

import (
	"errors"
	"net/netip"
	"testing"
)

func TestNewIPAddr(t *testing.T) {
	for text, want := range map[string]string{
		"10.1.2.3": "10.1.2.3", "::ffff:10.1.2.3": "10.1.2.3", "2001:DB8::1": "2001:db8::1", "fe80::1%eth0": "fe80::1%eth0",
	} {
		if got, err := NewIPAddr(text); err != nil || got.String() != want {
			t.Errorf("NewIPAddr(%q) = %v, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "<nil>", "10.1.2", "10.1.2.3:80", "10.1.2.3/8", "host"} {
		if _, err := NewIPAddr(text); !errors.Is(err, ErrAddress) {
			t.Errorf("NewIPAddr(%q): %v, want ErrAddress", text, err)
		}
	}
}

func TestIfByRFC(t *testing.T) {
	for text, want := range map[string]bool{
		"0.0.0.0": true, "9.255.255.255": false, "10.0.0.0": true, "10.255.255.255": true, "11.0.0.0": false,
		"100.63.255.255": false, "100.64.0.0": true, "100.127.255.255": true, "100.128.0.0": false,
		"127.0.0.1": true, "169.254.1.1": true, "172.15.255.255": false, "172.16.0.0": true, "172.31.255.255": true,
		"172.32.0.0": false, "192.0.0.8": true, "192.0.1.0": false, "192.0.2.1": true, "192.168.0.1": true,
		"192.88.99.1": true, "198.17.255.255": false, "198.19.255.255": true, "198.51.100.1": true,
		"203.0.113.1": true, "224.0.0.1": false, "240.0.0.0": true, "255.255.255.255": true, "8.8.8.8": false,
		"::": true, "::1": true, "::2": false, "::ffff:8.8.8.8": false, "::ffff:10.0.0.1": true,
		"64:ff9b::1": true, "64:ff9c::1": false, "100::1": true, "100:0:0:1::1": false, "2001::1": true,
		"2001:1ff::1": true, "2001:200::1": false, "2001:db8::1": true, "2001:db9::1": false, "2002::1": true,
		"fbff::1": false, "fc00::1": true, "fdff::1": true, "fe00::1": false, "fe80::1": true, "fe80::1%eth0": true,
		"febf::1": true, "fec0::1": false, "2606:4700::1": false,
	} {
		ip, err := NewIPAddr(text)
		if err != nil {
			t.Fatal(err)
		}
		matched, rest, err := IfByRFC("6890", []IfAddr{{SockAddr: ip}})
		if err != nil || len(matched)+len(rest) != 1 || (len(matched) == 1) != want {
			t.Errorf("IfByRFC(%s) = %v, %v, %v; want special: %v", text, matched, rest, err, want)
		}
	}
}

func TestIfByRFCKeepsTheOrder(t *testing.T) {
	var addrs IfAddrs
	for _, text := range []string{"8.8.8.8", "10.0.0.1", "9.9.9.9", "10.0.0.2"} {
		ip, err := NewIPAddr(text)
		if err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, IfAddr{SockAddr: ip})
	}
	matched, rest, err := IfByRFC("6890", addrs)
	if err != nil || len(matched) != 2 || len(rest) != 2 {
		t.Fatalf("IfByRFC gives %v, %v, %v", matched, rest, err)
	}
	for i, want := range []string{"10.0.0.1", "10.0.0.2", "8.8.8.8", "9.9.9.9"} {
		if got := append(matched, rest...)[i].SockAddr.String(); got != want {
			t.Errorf("at %d: %s, want %s", i, got, want)
		}
	}
	if _, _, err := IfByRFC("1918", addrs); !errors.Is(err, ErrRFC) {
		t.Errorf("another RFC gives %v, want ErrRFC", err)
	}
}

func TestGetPrivateIP(t *testing.T) {
	text, err := GetPrivateIP()
	if err != nil {
		t.Fatal(err)
	}
	if text == "" {
		t.Log("this host has no private address")
		return
	}
	if ip, err := netip.ParseAddr(text); err != nil || !ip.Is4() || !ip.IsPrivate() {
		t.Errorf("GetPrivateIP gives %q: %v", text, err)
	}
}
