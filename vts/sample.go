package vts

import (
	"fmt"
	"time"
)

// Sample is what happened between two readings of the status page.
type Sample struct {
	At         time.Time     // end of the interval, local wall clock
	Interval   time.Duration // by the server's clock
	Generation int64         // loadMsec of the configuration in force at the end of the interval
	// Reloaded says that the configuration changed within the interval, so that two weight vectors share it.
	Reloaded    bool
	Connections Connections
	Groups      []GroupSample // sorted by name
	Hosts       []HostSample  // of the servers whose machines are watched, and have said something lately
}

// HostSample is what the machine of a server said of itself. Shares are of 0…1; −1: it does not say.
type HostSample struct {
	Server         string  `json:"server"`
	CPU            float64 `json:"cpu"`
	Memory         float64 `json:"memory"`
	Received       float64 `json:"received_bytes_per_s"`
	Sent           float64 `json:"sent_bytes_per_s"`
	CPUPressure    float64 `json:"cpu_pressure"`
	MemoryPressure float64 `json:"memory_pressure"`
	IOPressure     float64 `json:"io_pressure"`
}

// GroupSample is the share of one upstream group in a Sample.
type GroupSample struct {
	Name  string
	Peers []PeerSample // in the order of the page; pseudo servers left out
	// NoLive is how many requests found no live server and were refused by NGINX itself.
	NoLive uint64
	// Refused is how many requests admission control refused before a server was chosen. They are no failures of any
	// server, and in no other count.
	Refused uint64
	// Ever and Upgraded are the requests of the group since its counters began, at the end of the interval, and those
	// of them answered by 101 Switching Protocols. Both are 0 where only the interval is known.
	Ever, Upgraded uint64
}

// upgradedShare is the share of requests from which on they say what the group is for. A WebSocket lasts minutes where
// a request lasts milliseconds: 1 in 10,000 is a tenth of the response time.
const upgradedShare = 1e-4

// LongLived says why the group's response times are no measure of its servers; empty when they are. With WebSockets the
// time that a client stays counts as one response, in the interval in which it leaves. Long polls cannot be told from
// slow requests: they are taken for such, the same on all servers.
func (g GroupSample) LongLived() string {
	if g.Upgraded == 0 || float64(g.Upgraded) < upgradedShare*float64(g.Ever) {
		return ""
	}
	return fmt.Sprintf("it carries WebSockets (%d of %d answers were 101 Switching Protocols), and how long they "+
		"stay open counts as response time: "+
		"give them an upstream of their own", g.Upgraded, g.Ever)
}

// PeerSample is what one server of a group did in the interval.
type PeerSample struct {
	Server       string
	Weight       int
	Backup, Down bool
	Failed       bool // as Peer's, at the end of the interval
	// Known is false when no attempt finished on the server in the interval: nothing is known about it, which
	// is not the same as good (a dead peer that proxy_next_upstream passes over shows 0 requests too).
	Known        bool
	Requests     uint64
	InBytes      uint64
	OutBytes     uint64
	Responses    Responses
	RequestMsec  uint64 // sum of request times of the interval, ms
	ResponseMsec uint64 // sum of upstream response times of the interval, ms
	// BucketsMsec are upper bounds in ms without +Inf; Buckets the cumulative counts of the interval at or below
	// each. The last bound's count may be lower than Requests: the rest is above it. Both empty without histogram.
	BucketsMsec []float64
	Buckets     []uint64
}

// RatePerSec is the rate of finished requests per second over the interval.
func (p PeerSample) RatePerSec(interval time.Duration) float64 {
	if interval <= 0 {
		return 0
	}
	return float64(p.Requests) / interval.Seconds()
}

// MeanResponse is the mean upstream response time of the interval; 0 when nothing finished.
func (p PeerSample) MeanResponse() time.Duration {
	if p.Requests == 0 {
		return 0
	}
	return time.Duration(float64(p.ResponseMsec) / float64(p.Requests) * float64(time.Millisecond))
}

// InFlight estimates the mean number of requests in service by Little's law, L = λW.
func (p PeerSample) InFlight(interval time.Duration) float64 {
	if interval <= 0 {
		return 0
	}
	return float64(p.ResponseMsec) / 1e3 / interval.Seconds()
}

// Requests is the number of requests of all servers of the group.
func (g GroupSample) Requests() uint64 {
	var n uint64
	for _, p := range g.Peers {
		n += p.Requests
	}
	return n
}
