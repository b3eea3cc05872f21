// Package hosts reads what node_exporter says of the machines that servers run on: processor, memory, network and
// pressure.
//
//	h, err := hosts.New([]hosts.Host{{Server: "10.0.0.1:80", URL: "http://10.0.0.1:9100/metrics"}}, hosts.Config{})
//	go h.Run(ctx)
//	h.Now(time.Now())    // by server, with its age
//
// Rates are differences of counters between two pages. A page that is absent, late or no such page makes the reading
// stale, and nothing else: whoever uses readings goes on without. It knows neither NGINX nor who uses them.
package hosts
