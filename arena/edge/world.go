package edge

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
)

// World is one world, a scenario file of its own kind. Times in files are text such as "300ms".
type World struct {
	Name     string
	Duration Duration
	Regions  []string
	Delay    [][]float64 // s per MB from a client's region (row) to a server's
	Network  bool        // off: there are no delays
	Servers  []Server
	Clients  []Client
}

// Server is one server.
type Server struct {
	Name   string  `toml:"name"`
	Region string  `toml:"region"`
	Slots  int     `toml:"slots"` // requests served at once; others wait, first come, first served
	Models []Model `toml:"models"`
}

// Model is one way to answer.
type Model struct {
	Name    string   `toml:"name"`
	Service Duration `toml:"service"` // mean; lognormal with ServiceCV
	Quality float64  `toml:"quality"` // accuracy of its answers, 0…1
}

// Client is a source of requests in a region, with exponential gaps.
type Client struct {
	Region   string     `toml:"region"`
	Rate     float64    `toml:"rate"`     // requests per second
	MB       [2]float64 `toml:"mb"`       // size, uniform
	Within   [2]float64 `toml:"within"`   // s: the time that is wanted, uniform; default 1 to 10
	Accuracy [2]float64 `toml:"accuracy"` // that is wanted, uniform
}

// ServiceCV is the coefficient of variation of service times.
const ServiceCV = 0.3

const (
	mostServers = 256
	mostChoices = 1024
	mostSeconds = 100 * 3600
)

// Validate reports all that is wrong with a world.
func (w *World) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(w.Duration > 0 && w.Duration.Std().Seconds() <= mostSeconds, "duration %v: want above 0, at most %d s",
		w.Duration.Std(), mostSeconds)
	check(len(w.Regions) > 0, "no regions")
	for i, r := range w.Regions {
		check(r != "" && w.region(r) == i, "region %q: want a name of its own", r)
	}
	check(len(w.Delay) == len(w.Regions), "delay of %d rows for %d regions", len(w.Delay), len(w.Regions))
	for i, row := range w.Delay {
		check(len(row) == len(w.Regions), "delay, row %d: %d numbers for %d regions", i+1, len(row), len(w.Regions))
		for _, v := range row {
			check(v >= 0 && !math.IsInf(v, 1), "delay, row %d: %v: want 0 or more", i+1, v)
		}
	}
	check(len(w.Servers) > 0 && len(w.Servers) <= mostServers, "%d servers: want 1 to %d", len(w.Servers), mostServers)
	seen, choices := map[string]bool{}, 0
	for _, s := range w.Servers {
		check(s.Name != "" && !seen[s.Name], "server %q: want a name of its own", s.Name)
		seen[s.Name] = true
		check(w.region(s.Region) >= 0, "server %s: unknown region %q", s.Name, s.Region)
		check(s.Slots >= 1, "server %s: %d slots: want at least 1", s.Name, s.Slots)
		check(len(s.Models) > 0, "server %s: no models", s.Name)
		choices += len(s.Models)
		for _, m := range s.Models {
			check(m.Service > 0, "server %s: model %s: service %v: want above 0", s.Name, m.Name,
				m.Service.Std())
			check(m.Quality >= 0 && m.Quality <= 1, "server %s: model %s: quality %v: want 0 to 1", s.Name, m.Name,
				m.Quality)
			check(m.Name != "" && !strings.ContainsAny(m.Name, "/ \t"), "server %s: model %q: want a name without / "+
				"and spaces", s.Name, m.Name)
		}
	}
	check(choices <= mostChoices, "%d models: want at most %d", choices, mostChoices)
	total := 0.0
	for i, c := range w.Clients {
		check(w.region(c.Region) >= 0, "client %d: unknown region %q", i+1, c.Region)
		check(c.Rate >= 0 && c.Rate <= 1e5, "client %d: rate %v: want 0 to 100,000", i+1, c.Rate)
		total += c.Rate
		for what, r := range map[string][2]float64{"mb": c.MB, "within": c.Within, "accuracy": c.Accuracy} {
			check(r[0] >= 0 && r[1] >= r[0] && !math.IsInf(r[1], 1), "client %d: %s %v: want two numbers, not falling",
				i+1, what, r)
		}
	}
	check(total > 0, "every rate is 0: there is nothing to place")
	return errors.Join(errs...)
}

// Arrivals are how many requests a run has, about.
func (w *World) Arrivals() float64 {
	rate := 0.0
	for _, c := range w.Clients {
		rate += c.Rate
	}
	return rate * w.Duration.Std().Seconds()
}

func (w *World) region(name string) int {
	for i, r := range w.Regions {
		if r == name {
			return i
		}
	}
	return -1
}

// delay is the delay of a request to a server, s.
func (w *World) delay(r *Request, server int) float64 {
	if !w.Network {
		return 0
	}
	return w.Delay[r.Region][w.region(w.Servers[server].Region)] * r.MB
}

// Request is one request.
type Request struct {
	At       float64 // s from the start
	Region   int     // of its client
	MB       float64
	Within   float64 // s
	Accuracy float64
	normal   float64 // standard normal deviate of its service time
}

// Requests are all requests of a run, by time: the same seed, the same requests.
func (w *World) Requests(seed uint64) []Request {
	var out []Request
	uniform := func(rng *rand.Rand, r [2]float64) float64 { return r[0] + (r[1]-r[0])*rng.Float64() }
	type stream struct {
		rng  *rand.Rand
		next float64
	}
	streams := make([]stream, len(w.Clients))
	for i, c := range w.Clients {
		streams[i].rng = rand.New(rand.NewPCG(seed, 0xed6e+uint64(i)))
		streams[i].next = math.Inf(1)
		if c.Rate > 0 {
			streams[i].next = streams[i].rng.ExpFloat64() / c.Rate
		}
	}
	for {
		first := 0
		for i := range streams {
			if streams[i].next < streams[first].next {
				first = i
			}
		}
		s, c := &streams[first], &w.Clients[first]
		if s.next >= w.Duration.Std().Seconds() {
			return out
		}
		out = append(out, Request{At: s.next, Region: w.region(c.Region), MB: uniform(s.rng, c.MB),
			Within:   uniform(s.rng, c.Within),
			Accuracy: uniform(s.rng, c.Accuracy), normal: s.rng.NormFloat64()})
		s.next += s.rng.ExpFloat64() / c.Rate
	}
}

// service is the service time of a request by a model, s.
func (m *Model) service(r *Request) float64 {
	v := math.Log1p(ServiceCV * ServiceCV)
	return m.Service.Std().Seconds() * math.Exp(math.Sqrt(v)*r.normal-v/2)
}
