package sockaddr

import "net/netip"

// special tells whether RFC 6890 lists the block of ip.
func special(ip netip.Addr) bool {
	ip = ip.WithZone("")
	for _, block := range blocks() {
		if block.Contains(ip) {
			return true
		}
	}
	return false
}

// blocks are those of RFC 6890, sections 2.2.2 and 2.2.3. One that lies in
// another is left out, and so is the one of IPv4 in IPv6 form: IPAddr has none.
// They are made anew for each call, of which a node makes a handful in its life.
func blocks() []netip.Prefix {
	v4 := func(a, b, c, d byte, bits int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{a, b, c, d}), bits)
	}
	v6 := func(bits int, head ...byte) netip.Prefix {
		var ip [16]byte
		copy(ip[:], head)
		return netip.PrefixFrom(netip.AddrFrom16(ip), bits)
	}
	loopback6 := [16]byte{15: 1}
	return []netip.Prefix{
		v4(0, 0, 0, 0, 8),           // this host on this network
		v4(10, 0, 0, 0, 8),          // private use
		v4(100, 64, 0, 0, 10),       // shared address space
		v4(127, 0, 0, 0, 8),         // loopback
		v4(169, 254, 0, 0, 16),      // link local
		v4(172, 16, 0, 0, 12),       // private use
		v4(192, 0, 0, 0, 24),        // protocol assignments
		v4(192, 0, 2, 0, 24),        // documentation
		v4(192, 88, 99, 0, 24),      // 6to4 relays
		v4(192, 168, 0, 0, 16),      // private use
		v4(198, 18, 0, 0, 15),       // benchmarking
		v4(198, 51, 100, 0, 24),     // documentation
		v4(203, 0, 113, 0, 24),      // documentation
		v4(240, 0, 0, 0, 4),         // reserved, and the limited broadcast
		v6(128, loopback6[:]...),    // loopback
		v6(128),                     // unspecified
		v6(96, 0, 0x64, 0xff, 0x9b), // translation from IPv4
		v6(64, 1, 0),                // discard only
		v6(23, 0x20, 1),             // protocol assignments, with Teredo, ORCHID and benchmarking
		v6(32, 0x20, 1, 0x0d, 0xb8), // documentation
		v6(16, 0x20, 2),             // 6to4
		v6(7, 0xfc),                 // unique local
		v6(10, 0xfe, 0x80),          // link local
	}
}
