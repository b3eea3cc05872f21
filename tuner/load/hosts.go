package load

import "trimtab/cluster"

// newCollector gathers what the present model is of: a model that was given may have machines of servers among its
// features, and so has the one that takes its place.
func (r *Regimes) newCollector() *cluster.Collector {
	c := cluster.NewCollector(cluster.LoadFeatures)
	if m := r.Model(); m != nil {
		return c.WithHosts(m.Schema.Hosts)
	}
	return c
}
