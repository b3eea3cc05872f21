package deathstarbench

import "time"

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

// Scenario describes one world: servers, upstream groups, load and faults.
type Scenario struct {
	Name            string     `toml:"name"`
	Duration        Duration   `toml:"duration"`
	Warmup          Duration   `toml:"warmup"`           // left out of every score
	ControlInterval Duration   `toml:"control_interval"` // how often a policy decides
	Servers         []Server   `toml:"server"`
	Upstreams       []Upstream `toml:"upstream"`
	Loads           []Load     `toml:"load"`
	Faults          []Fault    `toml:"fault"`
}

// Server is one backend.
type Server struct {
	Name         string              `toml:"name"`
	Slots        int                 `toml:"slots"`         // requests in service at once; more wait, first come first served
	ServiceCV    float64             `toml:"service_cv"`    // coefficient of variation of the lognormal service time
	Service      map[string]Duration `toml:"service"`       // mean service time by workload
	NetworkDelay Duration            `toml:"network_delay"` // added to every response
	QueueLimit   int                 `toml:"queue_limit"`   // waiting requests; beyond it 503 at once
}

// Upstream is one upstream group of NGINX and the workload that it serves.
type Upstream struct {
	Name     string   `toml:"name"`
	Workload string   `toml:"workload"`
	Servers  []string `toml:"servers"`
	Method   string   `toml:"method"`   // round_robin (default) or least_conn
	Weights  []int    `toml:"weights"`  // what a run starts from; default all 1
	Deadline Duration `toml:"deadline"` // of the objective; 0: learned
	Priority float64  `toml:"priority"` // of the objective; 0 means 1
}

// Load is the arrival process of one workload.
type Load struct {
	Workload string  `toml:"workload"`
	Arrival  string  `toml:"arrival"` // fixed, exp, norm or zipf
	Phases   []Phase `toml:"phases"`
}

// Phase is a rate that holds from At until the next phase.
type Phase struct {
	At   Duration `toml:"at"`
	Rate float64  `toml:"rate"` // requests per second
}

// Fault is something that goes wrong on one server for a while.
type Fault struct {
	Server      string   `toml:"server"`
	Kind        string   `toml:"kind"` // slowdown, capacity, error, down or network_delay
	Factor      float64  `toml:"factor"`
	Slots       int      `toml:"slots"`
	Probability float64  `toml:"probability"`
	Latency     Duration `toml:"latency"`
	Delay       Duration `toml:"delay"`
	At          Duration `toml:"at"`
	Until       Duration `toml:"until"`
}
