package gym

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
)

// ParkID names the environment that is Park's load balancing (Mao et al., "Park", NeurIPS 2019).
const ParkID = "park/load_balance"

// ParkConfig are the parameters of Park's environment. The zero value of a field means Park's default.
type ParkConfig struct {
	ServiceRates []float64 `json:"service_rates"` // by server, size per unit of time; default 0.15, 0.25, … 1.05
	Jobs         int       `json:"jobs"`          // of an episode; default 1,000
	Interval     float64   `json:"interval"`      // mean time between jobs, exponential; default 55
	Shape        float64   `json:"shape"`         // of the Pareto distribution of sizes; default 1.5
	Scale        float64   `json:"scale"`         // its least size; default 100
	Most         float64   `json:"most"`          // largest number of an observation; default 50,000
}

const (
	mostParkServers = 1000
	mostParkJobs    = 10_000_000
)

func (c *ParkConfig) complete() error {
	fill := func(v *float64, d float64) {
		if *v == 0 {
			*v = d
		}
	}
	if len(c.ServiceRates) == 0 {
		for i := range 10 {
			c.ServiceRates = append(c.ServiceRates, 0.15+0.1*float64(i))
		}
	}
	if c.Jobs == 0 {
		c.Jobs = 1000
	}
	fill(&c.Interval, 55)
	fill(&c.Shape, 1.5)
	fill(&c.Scale, 100)
	fill(&c.Most, 50_000)
	for _, r := range c.ServiceRates {
		if !(r > 0) || math.IsInf(r, 0) {
			return fmt.Errorf("service rate %v: want above 0", r)
		}
	}
	if len(c.ServiceRates) > mostParkServers || c.Jobs < 1 || c.Jobs > mostParkJobs || !(c.Interval > 0) ||
		!(c.Shape > 1) || !(c.Scale > 0) || !(c.Most > 0) {
		return fmt.Errorf("park: %d servers, %d jobs, interval %v, shape %v, scale %v: want at most %d servers and "+
			"%d jobs, a shape above 1, all else above 0",
			len(c.ServiceRates), c.Jobs, c.Interval, c.Shape, c.Scale, mostParkServers, mostParkJobs)
	}
	return nil
}

// parkEnv places every job on a server of its choice; servers work first come, first served, one job at a time. The
// reward is minus the time that all jobs in the system have spent in it since the action before, so that rewards sum to
// minus the total time of all jobs.
type parkEnv struct {
	cfg     ParkConfig
	spec    Spec
	rng     *rand.Rand
	now     float64
	left    int // jobs that have not come
	size    float64
	servers []parkServer
	active  int
	done    bool
	steps   int
}

// parkServer holds the finishing times and sizes of its jobs, the one in service first.
type parkServer struct{ ends, sizes []float64 }

func newPark(c ParkConfig) (*parkEnv, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	var names []string
	for i := range c.ServiceRates {
		names = append(names, fmt.Sprintf("server_%d/work", i))
	}
	return &parkEnv{cfg: c, done: true, servers: make([]parkServer, len(c.ServiceRates)), spec: Spec{
		API: API, ID: ParkID, World: fmt.Sprintf("%d servers, %d jobs", len(c.ServiceRates), c.Jobs),
		Observation: box(append(names, "job/size"), 0, c.Most), Action: Space{Type: "discrete", N: len(c.ServiceRates)},
		Reward: "−Σ over the jobs in the system of the time since the last action",
		Ends:   "terminated when all jobs are finished; never truncated", MaxSteps: c.Jobs}}, nil
}

func (p *parkEnv) Spec() Spec { return p.spec }

func (p *parkEnv) Reset(seed uint64) ([]float64, Info, error) {
	p.rng = rand.New(rand.NewPCG(seed, 0x7061726b))
	p.now, p.left, p.active, p.steps, p.done = 0, p.cfg.Jobs, 0, 0, false
	for i := range p.servers {
		p.servers[i] = parkServer{}
	}
	p.arrive(p.rng.ExpFloat64() * p.cfg.Interval)
	return p.observe(), Info{"curr_time": p.now}, nil
}

// arrive is the arrival of the next job at a time.
func (p *parkEnv) arrive(at float64) {
	p.now = at
	p.left--
	p.size = p.cfg.Scale * math.Pow(1-p.rng.Float64(), -1/p.cfg.Shape)
}

// run plays until a time, and returns the time that jobs spent in the system meanwhile.
func (p *parkEnv) run(until float64) (spent float64) {
	for {
		next, at := math.Inf(1), -1
		for i := range p.servers {
			if s := &p.servers[i]; len(s.ends) > 0 && s.ends[0] < next {
				next, at = s.ends[0], i
			}
		}
		if next > until {
			if !math.IsInf(until, 1) {
				spent += (until - p.now) * float64(p.active)
				p.now = until
			}
			return spent
		}
		if at < 0 {
			return spent
		}
		spent += (next - p.now) * float64(p.active)
		p.now = next
		p.servers[at].ends, p.servers[at].sizes = p.servers[at].ends[1:], p.servers[at].sizes[1:]
		p.active--
	}
}

func (p *parkEnv) Step(action []float64) (Step, error) {
	if p.done {
		return Step{}, errEnded
	}
	if err := p.spec.Action.Check(action); err != nil {
		return Step{}, err
	}
	i := int(action[0])
	s := &p.servers[i]
	begins := p.now
	if n := len(s.ends); n > 0 {
		begins = s.ends[n-1]
	}
	s.ends, s.sizes = append(s.ends, begins+p.size/p.cfg.ServiceRates[i]), append(s.sizes, p.size)
	p.active++
	p.steps++
	var spent float64
	if p.left > 0 {
		at := p.now + p.rng.ExpFloat64()*p.cfg.Interval
		spent = p.run(at)
		p.arrive(at)
	} else {
		spent = p.run(math.Inf(1))
		p.size, p.done = 0, true
	}
	return Step{Observation: p.observe(), Reward: -spent, Terminated: p.done, Info: Info{"curr_time": p.now}}, nil
}

// observe is the work left at every server and the size of the job that waits to be placed.
func (p *parkEnv) observe() []float64 {
	out := make([]float64, len(p.servers)+1)
	for i := range p.servers {
		s := &p.servers[i]
		for j, size := range s.sizes {
			if j == 0 {
				size = (s.ends[0] - p.now) * p.cfg.ServiceRates[i]
			}
			out[i] += size
		}
		out[i] = min(out[i], p.cfg.Most)
	}
	out[len(p.servers)] = min(p.size, p.cfg.Most)
	return out
}

var (
	_ Env = (*parkEnv)(nil)
	_ Env = (*weightsEnv)(nil)

	errUnknown = errors.New("unknown environment")
)
