package deathstarbench

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"trimtab/loadgen/arrival"
)

// Validate reports all that is wrong with a complete scenario, joined: one that came from Load or Parse, or that was
// built with every field set. Places are paths such as server[1].slots, counted from 0.
func (s *Scenario) Validate() error {
	var errs []error
	for _, f := range s.faults() {
		errs = append(errs, errors.New(f.String()))
	}
	return errors.Join(errs...)
}

// checker collects faults.
type checker struct{ faults []fault }

// want records a fault unless ok.
func (c *checker) want(ok bool, where, format string, args ...any) {
	if !ok {
		c.faults = append(c.faults, fault{where, fmt.Sprintf(format, args...)})
	}
}

func (s *Scenario) faults() []fault {
	c := &checker{}
	c.want(s.Name != "", "name", "missing")
	c.want(s.Duration > 0, "duration", "%s: want more than 0", s.Duration.Std())
	c.want(s.Warmup >= 0 && (s.Warmup < s.Duration || s.Duration <= 0), "warmup", "%s: want at least 0 and less than "+
		"the duration", s.Warmup.Std())
	c.want(s.ControlInterval > 0, "control_interval", "%s: want more than 0", s.ControlInterval.Std())
	c.want(s.Timeout >= 0, "timeout", "%s: want at least 0", s.Timeout.Std())
	c.want(len(s.Servers) > 0, "server", "missing: want at least one [[server]]")
	c.want(len(s.Upstreams) > 0, "upstream", "missing: want at least one [[upstream]]")
	c.want(len(s.Loads) > 0, "load", "missing: want at least one [[load]]")
	s.checkWorkloads(c)
	s.checkServers(c)
	s.checkUpstreams(c)
	s.checkLoads(c)
	s.checkFaults(c)
	s.checkBalancers(c)
	s.checkObjective(c)
	return c.faults
}

func (s *Scenario) checkServers(c *checker) {
	seen := map[string]bool{}
	for i := range s.Servers {
		v := &s.Servers[i]
		at := fmt.Sprintf("server[%d].", i)
		checkName(c, at+"name", "server", v.Name, seen)
		c.want(v.Slots > 0, at+"slots", "%d: want at least 1", v.Slots)
		c.want(v.ServiceCV >= 0, at+"service_cv", "%g: want at least 0", v.ServiceCV)
		c.want(v.NetworkDelay >= 0, at+"network_delay", "%s: want at least 0", v.NetworkDelay.Std())
		c.want(v.QueueLimit >= 0, at+"queue_limit", "%d: want at least 0", v.QueueLimit)
		c.want(len(v.Service) > 0, at+"service", "missing: want the mean service time of every workload that the "+
			"server gets")
		for _, name := range sortedKeys(v.Service) {
			c.want(s.isWorkload(name), at+"service."+name, "unknown workload; known are %s",
				strings.Join(s.WorkloadNames(), ", "))
			c.want(v.Service[name] > 0, at+"service."+name, "%s: want more than 0", v.Service[name].Std())
		}
		for _, name := range sortedKeys(v.Distance) {
			c.want(s.isWorkload(name), at+"distance."+name, "unknown workload; known are %s",
				strings.Join(s.WorkloadNames(), ", "))
			c.want(v.Distance[name] >= 0, at+"distance."+name, "%s: want at least 0", v.Distance[name].Std())
		}
	}
}

// checkName wants a name that can stand in nginx.conf, in a file name and in a report, and that is used once.
func checkName(c *checker, where, what, name string, seen map[string]bool) {
	plain := !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' ||
			r == '.')
	})
	c.want(name != "", where, "missing")
	c.want(plain, where, "%q: want letters, digits, '-', '_' and '.' only", name)
	c.want(name == "" || !seen[name], where, "%q: another %s has this name", name, what)
	seen[name] = true
}

func (s *Scenario) checkUpstreams(c *checker) {
	seen, served := map[string]bool{}, map[string]string{}
	for i := range s.Upstreams {
		u := &s.Upstreams[i]
		at := fmt.Sprintf("upstream[%d].", i)
		checkName(c, at+"name", "upstream", u.Name, seen)
		c.want(s.isWorkload(u.Workload), at+"workload", "%q: want one of %s", u.Workload,
			strings.Join(s.WorkloadNames(), ", "))
		other, taken := served[u.Workload]
		c.want(!taken, at+"workload", "%s is already served by upstream %q", u.Workload, other)
		served[u.Workload] = u.Name
		c.want(u.Method == RoundRobin || u.Method == LeastConn, at+"method", "%q: want %s or %s", u.Method, RoundRobin,
			LeastConn)
		c.want(u.Deadline >= 0, at+"deadline", "%s: want at least 0", u.Deadline.Std())
		c.want(u.Priority > 0, at+"priority", "%g: want more than 0", u.Priority)
		c.want(len(u.Servers) > 0, at+"servers", "missing: want at least one server")
		c.want(len(u.Weights) == len(u.Servers), at+"weights", "%d weights for %d servers", len(u.Weights),
			len(u.Servers))
		for _, w := range u.Weights {
			c.want(w >= 1 && w <= 100, at+"weights", "%d: want 1 to 100", w)
		}
		for j, name := range u.Servers {
			c.want(!slices.Contains(u.Servers[:j], name), at+"servers", "%q stands twice", name)
			server := s.Server(name)
			c.want(server != nil, at+"servers", "unknown server %q; known are %s", name,
				strings.Join(s.serverNames(), ", "))
			if server != nil && s.isWorkload(u.Workload) {
				_, ok := server.Service[u.Workload]
				c.want(ok, at+"servers", "server %q has no service time for %s", name, u.Workload)
			}
		}
	}
}

func (s *Scenario) checkLoads(c *checker) {
	for i := range s.Loads {
		l := &s.Loads[i]
		at := fmt.Sprintf("load[%d].", i)
		switch {
		case l.Workload == Mixed:
			c.want(false, at+"workload", "%q: write one load for each of %s", l.Workload,
				strings.Join(s.WorkloadNames(), ", "))
		case !s.isWorkload(l.Workload):
			c.want(false, at+"workload", "%q: want one of %s", l.Workload, strings.Join(s.WorkloadNames(), ", "))
		default:
			c.want(s.Upstream(l.Workload) != nil, at+"workload", "%s has no upstream", l.Workload)
		}
		l.Pattern.check(c, at+"pattern", s.Duration.Std())
		kinds := []arrival.Kind{arrival.Fixed, arrival.Exp, arrival.Norm, arrival.Zipf}
		c.want(slices.Contains(kinds, arrival.Kind(l.Arrival)), at+"arrival", "%q: want fixed, exp, norm or zipf",
			l.Arrival)
		c.want(len(l.Phases) > 0, at+"phases", "missing: want at least one, such as { at = \"0s\", rate = 100 }")
		for j, p := range l.Phases {
			where := fmt.Sprintf("%sphases[%d]", at, j)
			c.want(p.Rate >= 0, where+".rate", "%g: want at least 0 requests per second", p.Rate)
			c.want(p.At >= 0, where+".at", "%s: want at least 0", p.At.Std())
			c.want(p.At < s.Duration || s.Duration <= 0, where+".at", "%s: the run is over after %s", p.At.Std(),
				s.Duration.Std())
			if j > 0 {
				before := l.Phases[j-1].At
				c.want(p.At > before, where+".at", "%s: phases overlap, the one before begins at %s", p.At.Std(),
					before.Std())
			}
		}
	}
}

func (s *Scenario) checkFaults(c *checker) {
	for i := range s.Faults {
		f := &s.Faults[i]
		at := fmt.Sprintf("fault[%d].", i)
		c.want(s.Server(f.Server) != nil, at+"server", "unknown server %q; known are %s", f.Server,
			strings.Join(s.serverNames(), ", "))
		c.want(f.At >= 0, at+"at", "%s: want at least 0", f.At.Std())
		c.want(f.Until > f.At, at+"until", "%s: want more than at = %s", f.Until.Std(), f.At.Std())
		f.check(c, at)
		for j := range i {
			o := &s.Faults[j]
			apart := o.Server != f.Server || o.Kind != f.Kind || o.Until <= f.At || f.Until <= o.At
			c.want(apart, at+"at", "overlaps fault[%d], also %s of server %q", j, f.Kind, f.Server)
		}
	}
}

// Check reports all that is wrong with a fault by itself, whatever its server and times.
func (f *Fault) Check() error {
	c := &checker{}
	f.check(c, "")
	var errs []error
	for _, e := range c.faults {
		errs = append(errs, errors.New(e.String()))
	}
	return errors.Join(errs...)
}

func (f *Fault) check(c *checker, at string) {
	unused := func(set bool, key string) {
		c.want(!set, at+key, "not used by kind %q", f.Kind)
	}
	if !slices.Contains(FaultKinds(), f.Kind) {
		c.want(false, at+"kind", "%q: want one of %s", f.Kind, strings.Join(FaultKinds(), ", "))
		return
	}
	if f.Kind == Slowdown {
		c.want(f.Factor > 0, at+"factor", "%g: want more than 0", f.Factor)
	} else {
		unused(f.Factor != 0, "factor")
	}
	if f.Kind == Capacity {
		c.want(f.Slots > 0, at+"slots", "%d: want at least 1", f.Slots)
	} else {
		unused(f.Slots != 0, "slots")
	}
	if f.Kind == Error || f.Kind == Hang || f.Kind == Shed {
		c.want(f.Probability > 0 && f.Probability <= 1, at+"probability", "%g: want more than 0 and at most 1",
			f.Probability)
	} else {
		unused(f.Probability != 0, "probability")
	}
	if f.Kind == Error || f.Kind == Shed {
		c.want(f.Latency >= 0, at+"latency", "%s: want at least 0", f.Latency.Std())
	} else {
		unused(f.Latency != 0, "latency")
	}
	if f.Kind == NetworkDelay {
		c.want(f.Delay > 0, at+"delay", "%s: want more than 0", f.Delay.Std())
	} else {
		unused(f.Delay != 0, "delay")
	}
}

func (s *Scenario) serverNames() []string {
	names := make([]string, len(s.Servers))
	for i := range s.Servers {
		names[i] = s.Servers[i].Name
	}
	return names
}

func sortedKeys(m map[string]Duration) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
