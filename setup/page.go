package setup

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"trimtab/nginx"
	"trimtab/vts"
)

// pagePaths are where status pages usually are: the shim's, and the one of the module's own example.
var pagePaths = []string{"/status/format/json", "/vts/format/json"}

var pageLocation = regexp.MustCompile(
	`location\s+(?:=\s*|\^~\s*)?(/[^\s{]*)\s*\{[^{}]*vhost_traffic_status_display\s*;`)

// Pages are the status pages that NGINX serves on the addresses it listens on: at the usual paths, and at the locations
// of its configuration (nil: not known) that display one. Each answers and is a page.
func Pages(ctx context.Context, n NGINX, cfg *nginx.Config) []string {
	paths := slices.Clone(pagePaths)
	if cfg != nil {
		for _, f := range cfg.Files {
			for _, m := range pageLocation.FindAllSubmatch(f.Data, -1) {
				path := strings.TrimSuffix(string(m[1]), "/")
				paths = append(paths, path+"/format/json")
			}
		}
	}
	var out []string
	for _, a := range n.Listens {
		for _, path := range paths {
			url := fmt.Sprintf("http://%s%s", reachable(a), path)
			if !slices.Contains(out, url) && isPage(ctx, url) {
				out = append(out, url)
			}
		}
	}
	return out
}

// reachable is the address by which this machine reaches one that is listened on.
func reachable(a netip.AddrPort) netip.AddrPort {
	if !a.Addr().IsUnspecified() {
		return a
	}
	if a.Addr().Is4() {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), a.Port())
	}
	return netip.AddrPortFrom(netip.IPv6Loopback(), a.Port())
}

// pagePatience bounds one try.
const pagePatience = 2 * time.Second

func isPage(ctx context.Context, url string) bool {
	client, err := vts.NewClient(vts.ClientConfig{URL: url, Timeout: pagePatience, FreshConnections: true})
	if err != nil {
		return false
	}
	defer client.Close()
	st, err := client.Status(ctx)
	return err == nil && st.Shows() == nil
}
