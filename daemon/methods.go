package daemon

import (
	"maps"
	"reflect"
	"slices"

	"trimtab/nginx"
	"trimtab/tuner"
)

// methodsOf are the balancing methods of the upstreams of NGINX's configuration that a learner plans for as such.
func methodsOf(cfg *nginx.Config) map[string]string {
	methods := map[string]string{}
	for _, u := range cfg.Upstreams {
		methods[u.Name] = u.Method
	}
	return loadAware(methods)
}

// loadAware are those of the methods, by upstream, that a learner plans for as such.
func loadAware(methods map[string]string) map[string]string {
	maps.DeleteFunc(methods, func(_, method string) bool { return !tuner.Method(method).LoadAware() })
	return methods
}

// followMethods gives the session a policy that plans for the balancing methods that NGINX's configuration says now,
// and within the limits of shares that are ordered. It goes on where the last one stands.
func (d *Service) followMethods(s *Session) {
	s.mu.Lock()
	methods, limits := s.methods, s.orders.limits
	s.mu.Unlock()
	if methods == nil {
		methods = s.cfg.methods
	}
	if maps.Equal(methods, s.cfg.methods) && reflect.DeepEqual(limits, s.cfg.ordered) {
		return
	}
	before, newLimits := s.cfg.tunerConfig(), !reflect.DeepEqual(limits, s.cfg.ordered)
	s.cfg.methods, s.cfg.ordered = methods, limits
	if reflect.DeepEqual(before, s.cfg.tunerConfig()) {
		return
	}
	last := s.policy
	next, err := d.newPolicy(s)
	if err != nil {
		d.log.Error("the balancing methods of NGINX's configuration are not planned for", "error", err)
		return
	}
	s.policy = next
	d.carryOver(s, last)
	if newLimits {
		d.log.Info("planning within the limits of shares that are ordered now", "upstreams",
			slices.Sorted(maps.Keys(limits)))
		return
	}
	d.log.Info("planning for the balancing methods of NGINX's configuration", "methods", methods)
}
