package deathstarbench

import (
	"slices"
	"time"
)

// Duration is a time.Duration written as text in a scenario file, such as "20ms".
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Std returns d as a time.Duration.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// Scenario describes one world: servers, upstream groups, load and faults; and services of one's own.
type Scenario struct {
	Name            string   `toml:"name"`
	Duration        Duration `toml:"duration"`
	Warmup          Duration `toml:"warmup"`           // left out of every score
	ControlInterval Duration `toml:"control_interval"` // how often a policy decides
	// Timeout is how long a client waits for its answer from when the request was due; then it closes the
	// connection, which is an error of that latency. 0 means DefaultTimeout.
	Timeout   Duration   `toml:"timeout"`
	Objective Objective  `toml:"objective"` // what is wanted of all upstreams together; empty: tardiness
	Workloads []Workload `toml:"workload"`  // own services beside those of the social network
	Servers   []Server   `toml:"server"`
	Upstreams []Upstream `toml:"upstream"`
	Loads     []Traffic  `toml:"load"`
	Faults    []Fault    `toml:"fault"`
	// Balancers are the NGINX in front of the servers; empty: one.
	Balancers []Balancer `toml:"balancer"`
}

// Server is one backend.
type Server struct {
	Name string `toml:"name"`
	// requests in service at once; more wait, first come first served
	Slots int `toml:"slots"`
	// coefficient of variation of the lognormal service time; 0: constant
	ServiceCV    float64             `toml:"service_cv"`
	Service      map[string]Duration `toml:"service"`       // mean service time by workload
	NetworkDelay Duration            `toml:"network_delay"` // added to every response, holding no slot
	// Distance is further network delay by workload, for worlds in which the clients of the workloads sit in
	// different places.
	Distance map[string]Duration `toml:"distance"`
	// waiting requests; beyond it 503 at once; 0 means DefaultQueueLimit
	QueueLimit int           `toml:"queue_limit"`
	Capacity   CapacityRange `toml:"capacity"` // within which scaling may change it; empty: Slots it has for good
}

// Delay is the network delay of the server for requests of the workload: NetworkDelay and Distance.
func (s *Server) Delay(workload string) time.Duration {
	return s.NetworkDelay.Std() + s.Distance[workload].Std()
}

// Upstream is one upstream group of NGINX and the workload that it serves.
type Upstream struct {
	Name      string            `toml:"name"`
	Workload  string            `toml:"workload"`
	Servers   []string          `toml:"servers"`
	Method    string            `toml:"method"`   // RoundRobin (default) or LeastConn
	Weights   []int             `toml:"weights"`  // what a run starts from; default all 1
	Deadline  Duration          `toml:"deadline"` // of the objective; 0: learned
	Priority  float64           `toml:"priority"` // of the objective; 0 means 1
	Objective UpstreamObjective `toml:"objective"`
}

// Traffic is an arrival process of one workload. Several of one workload add up.
type Traffic struct {
	Workload string  `toml:"workload"`
	Arrival  string  `toml:"arrival"` // fixed, exp, norm or zipf
	Phases   []Phase `toml:"phases"`
	// Pattern makes the phases, which must then be empty.
	Pattern Pattern `toml:"pattern"`
}

// Phase is a rate that holds from At until the next phase.
type Phase struct {
	At   Duration `toml:"at"`
	Rate float64  `toml:"rate"` // requests per second
}

// Fault is something that goes wrong on one server for a while. Which of the fields count depends on the kind.
type Fault struct {
	Server      string   `toml:"server"`
	Kind        string   `toml:"kind"`
	Factor      float64  `toml:"factor"`      // slowdown: service times that begin meanwhile are multiplied by it
	Slots       int      `toml:"slots"`       // capacity: slots meanwhile
	Probability float64  `toml:"probability"` // error, hang, shed: share of the requests; for the last two 0 means 1
	Latency     Duration `toml:"latency"`     // error, shed: time until the answer; for shed 0 means DefaultShedLatency
	Delay       Duration `toml:"delay"`       // network_delay: added to every response, holding no slot
	At          Duration `toml:"at"`          // from the start of the run
	Until       Duration `toml:"until"`       // from the start of the run; 0 means to the end
}

// The kinds of faults. Answers of Error and Shed hold no slot, and a Pause does not hold them back.
const (
	Slowdown     = "slowdown"
	Capacity     = "capacity"
	Error        = "error" // 500
	Down         = "down"  // connections refused, those open cut
	NetworkDelay = "network_delay"
	Pause        = "pause" // services in progress stand still, none begin: garbage collection
	Hang         = "hang"  // requests are taken, hold no slot and are never answered, also after the fault
	Shed         = "shed"  // 429
)

// FaultKinds returns all kinds of faults.
func FaultKinds() []string {
	return []string{Slowdown, Capacity, Error, Down, NetworkDelay, Pause, Hang, Shed}
}

// The methods of upstream groups.
const (
	RoundRobin = "round_robin"
	LeastConn  = "least_conn"
)

// What a scenario file may leave out.
const (
	DefaultQueueLimit      = 2000
	DefaultControlInterval = 3 * time.Second
	DefaultTimeout         = 30 * time.Second // the load generator's
	DefaultShedLatency     = time.Millisecond
)

// Complete fills in what may be left out of a fault by itself: everything but Until.
func (f *Fault) Complete() {
	if (f.Kind == Hang || f.Kind == Shed) && f.Probability == 0 {
		f.Probability = 1
	}
	if f.Kind == Shed && f.Latency == 0 {
		f.Latency = Duration(DefaultShedLatency)
	}
}

// Shorten gives a complete scenario another duration and, unless warmup is 0, another warm-up. Phases and faults that
// begin after it are left out.
func (s *Scenario) Shorten(duration, warmup time.Duration) error {
	s.Duration = Duration(duration)
	if warmup > 0 {
		s.Warmup = Duration(warmup)
	}
	for i := range s.Loads {
		l := &s.Loads[i]
		l.Phases = slices.DeleteFunc(l.Phases, func(p Phase) bool { return p.At >= s.Duration })
	}
	s.Faults = slices.DeleteFunc(s.Faults, func(f Fault) bool { return f.At >= s.Duration })
	return s.Validate()
}

// Complete fills in what may be left out, for scenarios that are not read from a file.
func (s *Scenario) Complete() { s.complete() }

// complete fills in what may be left out.
func (s *Scenario) complete() {
	if s.ControlInterval == 0 {
		s.ControlInterval = Duration(DefaultControlInterval)
	}
	if s.Timeout == 0 {
		s.Timeout = Duration(DefaultTimeout)
	}
	for i := range s.Servers {
		if s.Servers[i].QueueLimit == 0 {
			s.Servers[i].QueueLimit = DefaultQueueLimit
		}
	}
	for i := range s.Upstreams {
		u := &s.Upstreams[i]
		if u.Method == "" {
			u.Method = RoundRobin
		}
		if u.Weights == nil {
			u.Weights = make([]int, len(u.Servers))
			for j := range u.Weights {
				u.Weights[j] = 1
			}
		}
		if u.Priority == 0 {
			u.Priority = 1
		}
	}
	for i := range s.Loads {
		l := &s.Loads[i]
		if l.Pattern.Kind != "" && len(l.Phases) == 0 {
			l.Phases, _ = l.Pattern.phases(s.Duration.Std()) // what is wrong with it, faults says
		}
	}
	s.completeBalancers()
	for i := range s.Faults {
		s.Faults[i].Complete()
		if s.Faults[i].Until == 0 {
			s.Faults[i].Until = s.Duration
		}
	}
}

// Server returns the server of that name, or nil.
func (s *Scenario) Server(name string) *Server {
	for i := range s.Servers {
		if s.Servers[i].Name == name {
			return &s.Servers[i]
		}
	}
	return nil
}

// Upstream returns the upstream group of the workload, or nil.
func (s *Scenario) Upstream(workload string) *Upstream {
	for i := range s.Upstreams {
		if s.Upstreams[i].Workload == workload {
			return &s.Upstreams[i]
		}
	}
	return nil
}

// RateAt is the rate of the load at the offset t, in requests per second.
func (l *Traffic) RateAt(t time.Duration) float64 {
	rate := 0.0
	for _, p := range l.Phases {
		if p.At.Std() > t {
			break
		}
		rate = p.Rate
	}
	return rate
}

// RateAt is the rate of all loads of the workload at the offset t, in requests per second.
func (s *Scenario) RateAt(workload string, t time.Duration) float64 {
	rate := 0.0
	for i := range s.Loads {
		if s.Loads[i].Workload == workload {
			rate += s.Loads[i].RateAt(t)
		}
	}
	return rate
}
