package nginx

import (
	"fmt"
	"net/netip"
	"strings"
)

// printedAddrPort is how NGINX prints an address with a port.
func printedAddrPort(ap netip.AddrPort) string {
	if !ap.Addr().Is6() {
		return ap.String()
	}
	return fmt.Sprintf("[%s]:%d", printedIPv6(ap.Addr()), ap.Port())
}

// printedIPv6 is ngx_inet6_ntop. It differs from RFC 5952 in one thing: where the longest run of zeros stands at the
// beginning and covers six groups, or seven (except in ::1 and what is below ::100), the last four bytes are printed as
// those of an IPv4 address. A zone is left out: NGINX takes none.
func printedIPv6(a netip.Addr) string {
	p := a.As16()
	group := func(i int) int { return int(p[2*i])<<8 | int(p[2*i+1]) }
	zero, length := -1, 1 // the longest run of zero groups, of two or more
	for i := 0; i < 8; {
		from := i
		for i < 8 && group(i) == 0 {
			i++
		}
		if i-from > length {
			zero, length = from, i-from
		}
		if i == from {
			i++
		}
	}
	groups := 8
	if zero == 0 && (length == 5 && group(5) == 0xffff || length == 6 || length == 7 && p[14] != 0 && p[15] != 1) {
		groups = 6
	}
	var b strings.Builder
	if zero == 0 {
		b.WriteByte(':')
	}
	for i := 0; i < groups; i++ {
		if i == zero {
			b.WriteByte(':')
			i += length - 1
			continue
		}
		fmt.Fprintf(&b, "%x", group(i))
		if i < 7 {
			b.WriteByte(':')
		}
	}
	if groups == 6 {
		fmt.Fprintf(&b, "%d.%d.%d.%d", p[12], p[13], p[14], p[15])
	}
	return b.String()
}
