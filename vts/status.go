package vts

import (
	"strings"
	"time"
)

// Status is one reply of the status page: cumulative counters as read.
type Status struct {
	At time.Time // local clock when the reply was read
	// Took is how long the request took: the server wrote NowMsec between At-Took and At. 0 when that is not known.
	Took        time.Duration
	NowMsec     int64 // the server's clock, ms since the Unix epoch
	LoadMsec    int64 // when the running configuration was loaded, ms since the Unix epoch
	NginxVer    string
	ModuleVer   string
	Connections Connections
	Zone        Zone
	Upstreams   []Upstream // sorted by name
	// Hosts are what the machines of servers said last, of those that are watched: no page has them, a record may.
	Hosts []HostSample

	keys uint // those that the page had, see Shows
}

// Zone is the shared memory that the page keeps its counters in.
type Zone struct {
	MaxBytes, UsedBytes uint64
	// FreeBytes is what new servers may take; modules before 0.2.7 do not say, and then FreeUnknown is true.
	FreeBytes   uint64
	FreeUnknown bool
	// Dropped is how often the shim could not count something because its dictionary was full; the module does not
	// say, and simply stops counting new servers.
	Dropped uint64
}

// Connections are NGINX's own connection counters.
type Connections struct {
	Active, Reading, Writing, Waiting uint64 // now
	Accepted, Handled, Requests       uint64 // cumulative in a Status, differences in a Sample
}

// Upstream is one upstream group of a Status.
type Upstream struct {
	Name  string
	Peers []Peer // in the order of the page
}

// Peer is one server of an upstream group, with its counters since the server started.
type Peer struct {
	Server string // address as NGINX prints it, such as 127.0.0.1:9001
	// NoWeight says that the page does not know the server's settings (null): the shim on an NGINX whose memory it does
	// not read. Weight, MaxFails, FailTimeout, Backup and Down are then to be taken from the configuration.
	NoWeight     bool
	Weight       int
	MaxFails     int
	FailTimeout  int // s
	Backup, Down bool
	// Failed says that NGINX passes over the server because it failed, where a page calls that down. No page says so:
	// it is what is left when those that the configuration marks are taken away.
	Failed       bool
	Requests     uint64
	InBytes      uint64
	OutBytes     uint64
	Responses    Responses
	RequestMsec  uint64 // total request time, ms
	ResponseMsec uint64 // total upstream response time, ms
	// BucketsMsec are the upper bounds of the histogram of upstream response times in ms, without +Inf, and
	// Buckets the cumulative counts at or below each; both empty when the page has no histogram.
	BucketsMsec []float64
	Buckets     []uint64
}

// Responses counts responses by status class; index 0 is 1xx.
type Responses [5]uint64

// Errors is the number of 5xx responses.
func (r Responses) Errors() uint64 { return r[4] }

// Settings reports whether Down is what somebody has set. nginx-module-vts also calls a server down while NGINX passes
// over it because it failed; the shim does not.
func (st *Status) Settings() bool { return strings.HasPrefix(st.ModuleVer, shim) }

// shim is how the version of Trimtab's own module begins.
const shim = "trimtab-lua-"

// CountsOnly reports whether the page is that of a shim that does not read NGINX's memory: it lists no server before
// its first request, and no settings.
func (st *Status) CountsOnly() bool { return strings.HasSuffix(st.ModuleVer, "-variables") }
