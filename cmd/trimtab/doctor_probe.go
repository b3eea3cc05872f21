package main

import (
	"context"

	"trimtab/setup"
	"trimtab/vts"
)

// probes is how many requests are sent to NGINX to see whether the page counts them.
const probes = 5

// probe sends requests to the NGINX that would be changed and looks whether the page counts them. Requests of others
// may hide that a busy page is another's; that the page stands still while they are answered cannot be explained away.
func (x *examination) probe(ctx context.Context, client *vts.Client, todo string) {
	if x.master == 0 {
		return
	}
	before, err := client.Status(ctx)
	if err != nil {
		return // said already
	}
	to, err := setup.Probe(ctx, x.master, x.loaded, probes)
	if err != nil {
		x.skip(areaTelemetry, "probe", "%v", err)
		return
	}
	after, err := client.Status(ctx)
	if err != nil {
		x.skip(areaTelemetry, "probe", "%v", err)
		return
	}
	c := after.Connections
	switch counted := c.Requests - before.Connections.Requests; {
	case after.LoadMsec != before.LoadMsec:
		x.skip(areaTelemetry, "probe", "NGINX was reloaded meanwhile")
	case counted >= probes && c.Requests >= before.Connections.Requests:
		x.ok(areaTelemetry, "probe", "%d requests to %s are counted by the page (%d more)", probes, to, counted)
	case c.Requests == c.Accepted && c.Accepted == c.Handled:
		x.skip(areaTelemetry, "probe", "this page counts requests of upstreams only")
	default:
		x.fail(areaTelemetry, "probe", todo, "%d requests to %s, an address of master %d, were answered, and the page "+
			"counted %d: it is another NGINX's", probes, to, x.master, counted)
	}
}
