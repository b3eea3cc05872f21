package autoscale

import (
	"math"
	"math/rand/v2"
)

// Request is one request.
type Request struct {
	At float64 // s from the start
	// Normal are standard normal deviates of the service times, by service; NaN: it is not needed.
	Normal []float64
}

// needs reports whether the request visits a service.
func (r *Request) needs(service int) bool { return !math.IsNaN(r.Normal[service]) }

// time is the service time of the request at a service, s, with so many processors.
func (w *World) time(r *Request, service int, cpus float64) float64 {
	v := math.Log1p(ServiceCV * ServiceCV)
	return w.Services[service].ServiceSec / cpus * math.Exp(math.Sqrt(v)*r.Normal[service]-v/2)
}

// load is what comes in a run: the same seed, the same requests in both worlds.
type load struct {
	w          *World
	bursts     []float64
	arrivals   *rand.Rand
	attributes *rand.Rand
	forecaster *rand.Rand
	at         float64 // of the next request
}

func (w *World) load(seed uint64) *load {
	l := &load{w: w, arrivals: rand.New(rand.NewPCG(seed, 0x6175746f)),
		attributes: rand.New(rand.NewPCG(seed, 0x73657276)),
		forecaster: rand.New(rand.NewPCG(seed, 0x666f7265))}
	for range w.Bursts {
		l.bursts = append(l.bursts, l.arrivals.Float64()*w.Minutes*60)
	}
	l.advance()
	return l
}

// advance draws when the next request comes, by thinning.
func (l *load) advance() {
	wave := l.w.Base + l.w.Swing
	top := wave + float64(l.w.Bursts)*l.w.Burst
	for {
		l.at += l.arrivals.ExpFloat64() / top
		// Most candidates are beyond the top of the wave and what bursts add now: they need no cosine.
		if u := l.arrivals.Float64() * top; u < wave+l.w.bursting(l.at, l.bursts) && u < l.w.rate(l.at, l.bursts) {
			return
		}
	}
}

// next is the next request.
func (l *load) next() Request {
	r := Request{At: l.at, Normal: make([]float64, len(l.w.Services))}
	for i, s := range l.w.Services {
		r.Normal[i] = math.NaN()
		if visits, normal := l.attributes.Float64() < s.Visits, l.attributes.NormFloat64(); visits {
			r.Normal[i] = normal
		}
	}
	l.advance()
	return r
}

// forecast is what is forecast at a time of the interval that follows.
func (l *load) forecast(at float64) float64 {
	return l.w.rate(at+l.w.IntervalSec/2, l.bursts) * (1 + l.w.ForecastCV*l.forecaster.NormFloat64())
}

// sizing is the size of a service: what goes away goes at once, what comes needs an interval.
type sizing struct{ size, coming Size }

// start is what every service begins with.
func (w *World) start(service int) sizing {
	s := Size{min(2, w.Services[service].Most), 1}
	return sizing{s, s}
}

// want asks for a size, at the end of an interval, and reports whether that is another one.
func (s *sizing) want(size Size) bool {
	changed := s.coming != size
	s.size, s.coming = s.coming, size
	s.size.Replicas = min(s.size.Replicas, size.Replicas)
	s.size.CPU = size.CPU
	return changed
}
