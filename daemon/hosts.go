package daemon

import (
	"fmt"
	"log/slog"
	"time"

	"trimtab/hosts"
	"trimtab/vts"
)

// HostConfig is one [[host]] of trimtab.toml: where the machine of a server tells its metrics.
type HostConfig struct {
	Server string `toml:"server"` // as the status page names it
	URL    string `toml:"url"`    // of node_exporter, such as http://10.0.0.1:9100/metrics
}

// checkHosts reports what is wrong with [[host]].
func (c *Config) checkHosts() (errs []error) {
	seen := map[string]bool{}
	for i, h := range c.Host {
		if err := (hosts.Host{Server: h.Server, URL: h.URL}).Validate(); err != nil {
			errs = append(errs, fmt.Errorf("host %d: %w", i+1, err))
		}
		if seen[h.Server] {
			errs = append(errs, fmt.Errorf("host %q is there twice", h.Server))
		}
		seen[h.Server] = true
	}
	return errs
}

// newHosts returns what reads the machines' pages; nil: none are configured.
func newHosts(c *Config, log *slog.Logger) (*hosts.Hosts, error) {
	if len(c.Host) == 0 {
		return nil, nil
	}
	var list []hosts.Host
	for _, h := range c.Host {
		list = append(list, hosts.Host{Server: h.Server, URL: h.URL})
	}
	return hosts.New(list, hosts.Config{Interval: time.Duration(c.Interval), Timeout: time.Duration(c.Status.Timeout),
		Logger: log})
}

// HostSamples are the readings that count now. Those that are stale are left out: nothing waits for them.
func HostSamples(h *hosts.Hosts, at time.Time) []vts.HostSample {
	var out []vts.HostSample
	for _, r := range h.Now(at) {
		if !r.Stale {
			out = append(out, vts.HostSample{Server: r.Server, CPU: r.CPU, Memory: r.Memory, Received: r.Received,
				Sent:        r.Sent,
				CPUPressure: r.CPUPressure, MemoryPressure: r.MemoryPressure, IOPressure: r.IOPressure})
		}
	}
	return out
}

// hosts sets the gauges of the machines; a figure that a machine does not tell, or that is stale, has no series.
func (m *loopMetrics) hosts(sample *vts.Sample) {
	defer drop(m.hostCPU, m.hostMemory, m.hostPressure, m.hostBytes)
	if sample == nil {
		return
	}
	known := func(g *gauges, v float64, labels ...string) {
		if v >= 0 {
			g.set(v, labels...)
		}
	}
	for _, h := range sample.Hosts {
		server := label(h.Server)
		known(m.hostCPU, h.CPU, server)
		known(m.hostMemory, h.Memory, server)
		known(m.hostPressure, h.CPUPressure, server, "cpu")
		known(m.hostPressure, h.MemoryPressure, server, "memory")
		known(m.hostPressure, h.IOPressure, server, "io")
		known(m.hostBytes, h.Received, server, "received")
		known(m.hostBytes, h.Sent, server, "sent")
	}
}
