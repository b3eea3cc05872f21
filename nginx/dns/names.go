package dns

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// DefaultZone is under which all names stand. No such top-level domain exists.
const DefaultZone = "trimtab."

// Service is what the server line says: service=http makes NGINX ask for _http._tcp.
const Service = "http"

const servicePrefix = "_" + Service + "._tcp."

// maxLabel is how long a part of a name may be (RFC 1035).
const maxLabel = 63

// Label is the name of an upstream in DNS: the upstream's own where DNS has room for it, else one made from its hash.
// Dots, capitals and all that a name may not hold would make NGINX ask for something else, or not at all.
func Label(upstream string) string {
	plain := upstream != "" && len(upstream) <= maxLabel && !strings.HasPrefix(upstream, "u--") &&
		strings.Trim(upstream, "abcdefghijklmnopqrstuvwxyz0123456789-_") == "" && upstream[0] != '-' &&
		upstream[len(upstream)-1] != '-'
	if plain {
		return upstream
	}
	sum := sha256.Sum256([]byte(upstream))
	return "u--" + hex.EncodeToString(sum[:12])
}

// Host is the name that stands in the server line of an upstream, without the dot at its end.
func Host(upstream, zone string) string { return Label(upstream) + "." + strings.TrimSuffix(zone, ".") }

// target is the name of a server: its address spelled out, so that it never means another.
func target(a netip.Addr, zone string) string {
	if a.Is4() {
		return "a-" + strings.ReplaceAll(a.String(), ".", "-") + "." + zone
	}
	raw := a.As16()
	return "s-" + hex.EncodeToString(raw[:]) + "." + zone
}

// addressOf reads the address out of the first label of a target.
func addressOf(label string) (netip.Addr, bool) {
	if v4, ok := strings.CutPrefix(label, "a-"); ok {
		a, err := netip.ParseAddr(strings.ReplaceAll(v4, "-", "."))
		return a, err == nil && a.Is4()
	}
	if v6, ok := strings.CutPrefix(label, "s-"); ok {
		raw, err := hex.DecodeString(v6)
		if err != nil || len(raw) != 16 {
			return netip.Addr{}, false
		}
		return netip.AddrFrom16([16]byte(raw)), true
	}
	return netip.Addr{}, false
}

// under returns what stands before the zone in a lower-cased name.
func under(name, zone string) (string, bool) {
	if name == zone {
		return "", true
	}
	rest, ok := strings.CutSuffix(name, "."+zone)
	return rest, ok
}

// cleanZone checks a zone's name and gives it its dot.
func cleanZone(zone string) (string, error) {
	if zone == "" {
		return DefaultZone, nil
	}
	zone = strings.ToLower(dns.Fqdn(zone))
	if _, ok := dns.IsDomainName(zone); !ok || zone == "." || strings.Trim(zone,
		"abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		return "", refuse("DNS zone %q: want a name such as trimtab", zone)
	}
	if len(zone) > 100 {
		return "", refuse("DNS zone %q: want at most 100 characters, so that upstreams have room", zone)
	}
	return zone, nil
}
