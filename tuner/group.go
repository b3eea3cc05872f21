package tuner

import (
	"math"
	"time"

	"trimtab/objective"
	"trimtab/vts"
)

// Method is how NGINX spreads the requests of a group over its servers.
type Method string

// RoundRobin sends shares in proportion to the weights; LeastConn sends to the fewest active requests per weight.
const (
	RoundRobin Method = "round_robin"
	LeastConn  Method = "least_conn"
)

// group is one upstream group: what it asks for and what its servers gave.
type group struct {
	name     string
	index    int // in the pool's groups
	method   Method
	links    []*link
	priority float64
	deadline float64 // s; 0 until learned
	given    bool    // the deadline was configured

	rate        float64 // arrivals per second, smoothed; what the plan serves
	now         float64 // arrivals per second of the last interval
	requests    float64 // finished in the last interval
	sinceChange float64 // requests since the weights last changed
	typical     float64 // s, mean service time over the servers
	cv2         float64 // squared coefficient of variation of service times

	learned moments            // of response times while nothing was saturated: for the deadline
	cost    float64            // smoothed measured cost per request
	reward  objective.Measured // measured in the last interval
}

// link is one server as one group uses it.
type link struct {
	group   *group
	station *station
	at      int // position in group.links and in the group's weight vectors
	pos     int // position in station.links and in the station's per-class vectors

	weight   int
	down     bool
	share    float64 // of the group's requests by weight, 0 when down or passed over
	asked    float64 // the share that its weight asks for, 0 when down
	arrive   float64 // arrivals per second, estimated
	done     float64 // completions per second
	latency  float64 // mean response time of the interval, s; 0 when nothing usable finished
	count    float64 // requests behind latency
	requests float64 // finished in the interval
	fails    float64 // failed requests of the interval
	missing  bool    // requests are sent to it and it finishes none: it hangs
	out      bool    // NGINX passes it over: it finishes next to nothing and the others take its share
	backlog  float64 // requests waiting beyond the steady state

	errors            float64 // moving share of failed requests
	errorsOf          float64 // requests behind errors, after forgetting
	failed, recovered bool    // it failed and has not answered well since; it does now
	ejected           ejection
	released          bool // let back in this decision
}

// missingCount is how many failed requests count for a server that got requests and finished none.
const missingCount = 20

// observe takes the group's counters of an interval into its links. weights are those in force.
func (g *group) observe(sample vts.GroupSample, interval time.Duration) {
	g.requests = 0
	sum := 0.0
	for i, l := range g.links {
		p := sample.Peers[i]
		if !l.down {
			sum += float64(l.weight)
		}
		n := float64(p.Requests)
		g.requests += n
		l.requests = n
		l.done = n / interval.Seconds()
		l.fails = float64(p.Responses.Errors())
		l.latency, l.count = 0, 0
		if n > 0 && l.fails < 0.1*n {
			// Answers of a failing server say nothing of its speed.
			l.latency = math.Max(float64(p.ResponseMsec), 0.4*n) / n / 1e3
			l.count = n
		}
	}
	for _, l := range g.links {
		l.share = 0
		if !l.down && sum > 0 {
			l.share = float64(l.weight) / sum
		}
		l.asked = l.share
	}
	g.passedOver(interval.Seconds())
	g.sinceChange += g.requests
	g.arrivals(interval.Seconds())
	g.failures()
	g.reward = objective.Measure(sample, g.deadline)
}

// passedOver finds the servers that get requests by weight and finish next to none. NGINX passes over a server that
// refuses connections, and the others take its share at once: then weights have nothing to mend, and its weight is
// kept for when it returns. When the group as a whole finishes less than it did, the requests hang instead.
func (g *group) passedOver(seconds float64) {
	total := 0.0
	for _, l := range g.links {
		total += l.done
	}
	out := 0.0
	for _, l := range g.links {
		expected := total * l.asked * seconds
		// A probe or two per fail_timeout still reach it, and fail.
		silent := !l.down && expected >= 10 && l.requests <= 0.05*expected+2 && l.requests-l.fails < 0.05*expected
		l.out = silent && g.rate > 0 && total > 0.85*g.rate
		l.missing = silent && !l.out && l.requests == l.fails
		if l.out {
			out += l.asked
			l.share = 0
		}
	}
	if out > 0 && out < 1 {
		for _, l := range g.links {
			l.share /= 1 - out
		}
	}
}

// off reports whether the server takes no requests: marked down, or passed over by NGINX.
func (l *link) off() bool { return l.down || l.out }

// arrivals splits the interval's arrivals over the links. Round robin sends exact shares, so the servers that keep
// up tell what was sent to those that do not. For least_conn arrivals are taken as completions.
func (g *group) arrivals(seconds float64) {
	total := 0.0
	for _, l := range g.links {
		total += l.done
	}
	g.now = total
	if g.method == LeastConn {
		for _, l := range g.links {
			l.arrive = l.done
		}
		g.follow(seconds)
		return
	}
	// Those that were saturated before may finish more than they were sent, or less: they do not count.
	keepsUp := func(l *link, rate float64) bool {
		sent := rate * l.share
		noise := 2 + 0.04*sent*seconds
		return l.share > 0 && !l.station.full && (l.done-sent)*seconds > -noise
	}
	for range 4 {
		done, share := 0.0, 0.0
		for _, l := range g.links {
			if keepsUp(l, g.now) {
				done += l.done
				share += l.share
			}
		}
		if share < 0.05 {
			break
		}
		g.now = done / share
	}
	for _, l := range g.links {
		l.arrive = g.now * l.share
		if l.missing {
			l.arrive = 0
		}
	}
	g.follow(seconds)
}

// follow smooths the group's rate: slowly within the noise of counting, at once beyond it.
func (g *group) follow(seconds float64) {
	noise := math.Sqrt(math.Max(g.now, 1)/seconds) * 3
	switch {
	case g.rate == 0 || math.Abs(g.now-g.rate) > noise+0.05*g.rate:
		g.rate = g.now
	default:
		g.rate += 0.3 * (g.now - g.rate)
	}
}

// failures updates the error share of every link: four tenths of what is known are forgotten with each news.
func (g *group) failures() {
	for _, l := range g.links {
		n, bad := l.requests, l.fails
		if l.missing {
			n, bad = missingCount, missingCount
		}
		if n == 0 || l.out {
			continue
		}
		keep := l.errorsOf * 0.6
		l.errors = (keep*l.errors + bad) / (keep + n)
		l.errorsOf = keep + n
		if l.errors > failing {
			l.failed = true
		}
		l.recovered = l.failed && l.errors < failing/3
		if l.recovered {
			l.failed = false
		}
	}
}
