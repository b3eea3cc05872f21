package daemon

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trimtab/control"
	"trimtab/tuner"
	"trimtab/vts"
)

// chain goes all the way from the bytes of a status page to what is said of a decision: decode, difference, decide,
// metrics, explanation, JSON. Its worlds are random: 2 to 200 servers, any interval, any histogram, any counters, and
// now and then a page that is broken.
type chain struct {
	rng     *rand.Rand
	cfg     *Config
	twin    float64 // part of its usual requests that the twin plays
	policy  control.Policy
	metrics *loopMetrics
	reg     *prometheus.Registry

	groups     []chainGroup
	now, load  int64
	last, page vts.Status
	text       []byte
	began      bool

	// what came of the pages
	pages, rejected, samples, decisions, applied int
}

type chainGroup struct {
	name   string
	bounds []float64
	peers  []chainPeer
}

type chainPeer struct {
	server                          string
	weight                          int
	down, backup                    bool
	requests, reqMsec, respMsec, in uint64
	responses                       [5]uint64
	buckets                         []uint64
	perSec, msec, failing           float64 // how it behaves
}

// Names as NGINX may take them.
var chainNames = []string{"app", "web\xff", "a\x1b[31m", "<b>", `a\b`, "größe", "a,b"}

func newChain(seed, world uint64) (*chain, error) {
	c := &chain{rng: rand.New(rand.NewPCG(seed, world)), now: 1_700_000_000_000, load: 1_690_000_000_000}
	c.cfg = Defaults()
	c.cfg.Interval = Span(time.Duration(100 * math.Pow(36000,
		c.rng.Float64()) * float64(time.Millisecond))) // 100 ms to 1 h
	c.cfg.Tuner.Eject, c.cfg.Tuner.Seed = []Eject{ejectNever, ejectIdle, ejectAlways}[c.rng.IntN(3)], c.rng.Uint64()
	c.cfg.Regimes.Off = c.rng.IntN(4) > 0
	c.cfg.Regimes.Observe = Span(time.Duration(c.rng.IntN(3600)) * time.Second)
	if c.rng.IntN(2) == 0 {
		c.cfg.Actuator.Kind = "live" // no budget of changes
	}
	c.cfg.methods = map[string]string{}
	// Most worlds are small, so that there are many; one in a hundred has more than 150 servers.
	most := int(2 * math.Pow(100, math.Pow(c.rng.Float64(), 6)))
	for g := range 1 + c.rng.IntN(3) {
		group := chainGroup{name: chainNames[c.rng.IntN(len(chainNames))] + strconv.Itoa(g), bounds: c.bounds()}
		if method := []string{"", "least_conn", "least_time"}[c.rng.IntN(3)]; method != "" {
			c.cfg.methods[group.name] = method
		}
		shared := c.rng.IntN(2)
		level := math.Pow(10, 4*c.rng.Float64()-1)
		for i := range 2 + c.rng.IntN(max(1, most-1)) {
			group.peers = append(group.peers, chainPeer{
				server: fmt.Sprintf("10.%d.%d.%d:80", g*shared, i/250,
					i%250), weight: 1 + c.rng.IntN(100)*c.rng.IntN(2),
				buckets: make([]uint64, len(group.bounds)), perSec: level * c.rng.ExpFloat64(), msec: math.Pow(10,
					5*c.rng.Float64()-1),
				failing: max(0, c.rng.Float64()*2-1), backup: c.rng.IntN(30) == 0,
			})
		}
		c.groups = append(c.groups, group)
	}
	var err error
	// Nearly all of the time would go into the requests that the twin plays: in most worlds it plays a handful, in one of
	// 400 all.
	switch n := c.rng.IntN(400); {
	case n == 0:
		c.twin = 1
	case n < 10:
		c.twin = 0.02
	default:
		c.twin = 1e-3
	}
	if c.policy, err = c.newPolicy(); err != nil {
		return nil, err
	}
	c.reg = prometheus.NewRegistry()
	c.metrics = newLoopMetrics(c.reg)
	return c, nil
}

func (c *chain) newPolicy() (control.Policy, error) {
	cfg := c.cfg.tunerConfig()
	cfg.Twin = c.twin
	return tuner.New(cfg)
}

func (c *chain) bounds() []float64 {
	switch c.rng.IntN(32) {
	case 0: // which takes long to read
		return []float64{5e-324, 1e-300}
	case 1:
		return []float64{1, 2, 5, 10, 1e308, math.MaxFloat64}
	case 2:
		return []float64{1e308}
	case 3, 4:
		return []float64{5}
	case 5, 6:
		return []float64{-5, 0, 10, 3, 10}
	case 7, 8, 9, 10:
		return nil
	}
	bounds := make([]float64, 1+c.rng.IntN(20))
	at := 0.0
	for i := range bounds {
		at += c.rng.ExpFloat64() * math.Pow(3, float64(i)/2)
		bounds[i] = at
	}
	return bounds
}

// pass has time pass, and the counters grow as they may.
func (c *chain) pass() {
	sec := time.Duration(c.cfg.Interval).Seconds()
	switch c.rng.IntN(40) {
	case 0:
		sec *= c.rng.ExpFloat64() * 100
	case 1:
		sec = 0
	case 2:
		sec = -sec
	}
	c.now += int64(sec * 1e3)
	if c.rng.IntN(50) == 0 {
		c.load += 1 + c.rng.Int64N(max(1, c.now-c.load)) // reloaded
	}
	wave := c.rng.ExpFloat64()
	for g := range c.groups {
		group := &c.groups[g]
		for i := range group.peers {
			p := &group.peers[i]
			switch c.rng.IntN(400) {
			case 0:
				p.failing = max(0, c.rng.Float64()*2-1)
			case 1:
				p.msec = math.Pow(10, 5*c.rng.Float64()-1)
			case 2:
				p.perSec *= 10 * c.rng.Float64()
			case 3:
				p.weight, p.down = c.rng.IntN(101), c.rng.IntN(3) == 0 // an operator's edit
			case 4:
				p.requests = 0 // a counter that goes back
			}
			n := uint64(max(0, p.perSec*wave*max(sec, 0)*c.rng.ExpFloat64()))
			if c.rng.IntN(4000) == 0 {
				n = c.rng.Uint64() >> c.rng.UintN(64)
			}
			msec := p.msec * c.rng.ExpFloat64()
			p.requests += n
			p.in += n
			failed := uint64(float64(n) * p.failing)
			p.responses[1] += n - min(failed, n)
			p.responses[2+c.rng.IntN(3)] += failed
			p.respMsec += uint64(min(float64(n)*msec, 1e18))
			p.reqMsec += uint64(min(float64(n)*msec*(1+c.rng.ExpFloat64()*p.failing), 1e18))
			for b := range p.buckets {
				p.buckets[b] += uint64(float64(n) * (1 - math.Exp(-max(0, group.bounds[b])/max(msec, 1e-9))))
			}
		}
	}
}

// write writes the page as the module does, or nearly.
func (c *chain) write() {
	b := fmt.Appendf(c.text[:0], `{"hostName":"h","moduleVersion":"v0.2.7","nginxVersion":"1.30.0","loadMsec":%d,"nowMsec":%d,`+
		`"connections":{"active":1,"reading":0,"writing":1,"waiting":0,"accepted":%d,"handled":%[3]d,"requests":%[3]d},"upstreamZones":{`, c.load, c.now, c.pages)
	for g := range c.groups {
		if g > 0 {
			b = append(b, ',')
		}
		group := &c.groups[g]
		b = append(chainString(b, group.name), ':', '[')
		for i := range group.peers {
			if i > 0 {
				b = append(b, ',')
			}
			p := &group.peers[i]
			b = append(b, `{"server":`...)
			b = chainString(b, p.server)
			b = fmt.Appendf(b, `,"requestCounter":%d,"inBytes":%d,"outBytes":0,"responses":{"1xx":%d,"2xx":%d,"3xx":%d,"4xx":%d,"5xx":%d},`+
				`"requestMsecCounter":%d,"responseMsecCounter":%d,"weight":%d,"maxFails":1,"failTimeout":10,"backup":%t,"down":%t`,
				p.requests, p.in, p.responses[0], p.responses[1], p.responses[2], p.responses[3], p.responses[4],
				p.reqMsec, p.respMsec, p.weight, p.backup, p.down)
			if len(p.buckets) > 0 {
				b = append(b, `,"responseBuckets":{"msecs":[`...)
				for k, bound := range group.bounds {
					if k > 0 {
						b = append(b, ',')
					}
					b = strconv.AppendFloat(b, bound, 'g', -1, 64)
				}
				b = append(b, `],"counters":[`...)
				for k, n := range p.buckets {
					if k > 0 {
						b = append(b, ',')
					}
					b = strconv.AppendUint(b, n, 10)
				}
				b = append(b, `]}`...)
			}
			b = append(b, '}')
		}
		b = append(b, ']')
	}
	b = append(b, `}}`...)
	switch c.rng.IntN(200) {
	case 0: // cut off
		b = b[:c.rng.IntN(len(b))]
	case 1, 2: // bytes turned into others
		for range 1 + c.rng.IntN(4) {
			b[c.rng.IntN(len(b))] = byte(c.rng.UintN(256))
		}
	case 3: // a number that is another one
		text := strings.Replace(string(b), `Counter":`,
			`Counter":`+strconv.FormatUint(c.rng.Uint64()>>c.rng.UintN(64), 10), 1+c.rng.IntN(3))
		b = append(b[:0], text...)
	}
	c.text = b
}

// chainString writes a string as the module does: bytes as they are, but for what JSON needs.
func chainString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch ch := s[i]; {
		case ch == '"' || ch == '\\':
			b = append(b, '\\', ch)
		case ch < ' ':
			b = fmt.Appendf(b, `\u%04x`, ch)
		default:
			b = append(b, ch)
		}
	}
	return append(b, '"')
}
