package vts

import (
	"encoding/json"
	"testing"
	"time"
)

// fullStatus is the page as encoding/json needs it described: every field of it, the rings included.
type fullStatus struct {
	HostName      string                         `json:"hostName"`
	ModuleVersion string                         `json:"moduleVersion"`
	NginxVersion  string                         `json:"nginxVersion"`
	LoadMsec      int64                          `json:"loadMsec"`
	NowMsec       int64                          `json:"nowMsec"`
	Connections   map[string]uint64              `json:"connections"`
	SharedZones   fullZone                       `json:"sharedZones"`
	ServerZones   map[string]fullPeer            `json:"serverZones"`
	UpstreamZones map[string][]fullPeer          `json:"upstreamZones"`
	FilterZones   map[string]map[string]fullPeer `json:"filterZones"`
}

type fullZone struct {
	Name                                  string
	MaxSize, UsedSize, UsedNode, FreeSize uint64
}

type fullRing struct {
	Times []int64  `json:"times"`
	Msecs []uint64 `json:"msecs"`
}

type fullBuckets struct {
	Msecs    []float64 `json:"msecs"`
	Counters []uint64  `json:"counters"`
}

type fullPeer struct {
	Server              string            `json:"server"`
	RequestCounter      uint64            `json:"requestCounter"`
	InBytes             uint64            `json:"inBytes"`
	OutBytes            uint64            `json:"outBytes"`
	Responses           map[string]uint64 `json:"responses"`
	RequestMsecCounter  uint64            `json:"requestMsecCounter"`
	RequestMsec         uint64            `json:"requestMsec"`
	RequestMsecs        fullRing          `json:"requestMsecs"`
	RequestBuckets      fullBuckets       `json:"requestBuckets"`
	ResponseMsecCounter uint64            `json:"responseMsecCounter"`
	ResponseMsec        uint64            `json:"responseMsec"`
	ResponseMsecs       fullRing          `json:"responseMsecs"`
	ResponseBuckets     fullBuckets       `json:"responseBuckets"`
	Weight              int               `json:"weight"`
	MaxFails            int               `json:"maxFails"`
	FailTimeout         int               `json:"failTimeout"`
	Backup              bool              `json:"backup"`
	Down                bool              `json:"down"`
	OverCounts          map[string]uint64 `json:"overCounts"`
}

// BenchmarkDecode compares one decode and difference of a page with 100 groups of 100 servers, rings and histograms
// included, with encoding/json alone; the two run turn by turn. It reports how many times faster ours is.
func BenchmarkDecode(b *testing.B) {
	body := page(100, 100, 8, 63)
	b.Logf("page of %.1f MB", float64(len(body))/1e6)
	prev, cur := new(Status), new(Status)
	if err := Decode(body, time.Time{}, prev); err != nil {
		b.Fatal(err)
	}
	prev.NowMsec -= 1000
	var ours, theirs time.Duration
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		if err := Decode(body, time.Time{}, cur); err != nil {
			b.Fatal(err)
		}
		if _, err := Delta(prev, cur); err != nil {
			b.Fatal(err)
		}
		ours += time.Since(began)
		began = time.Now()
		var full fullStatus
		if err := json.Unmarshal(body, &full); err != nil {
			b.Fatal(err)
		}
		theirs += time.Since(began)
	}
	b.ReportMetric(ours.Seconds()*1e3/float64(b.N), "ours-ms")
	b.ReportMetric(theirs.Seconds()*1e3/float64(b.N), "json-ms")
	b.ReportMetric(theirs.Seconds()/ours.Seconds(), "times-faster")
}

func TestDecodingAllocatesNothingForRings(t *testing.T) {
	allocs := func(ring int) float64 {
		body := page(3, 3, 8, ring)
		return testing.AllocsPerRun(50, func() {
			var st Status
			if err := Decode(body, time.Time{}, &st); err != nil {
				t.Fatal(err)
			}
		})
	}
	short, long := allocs(0), allocs(5000)
	if long != short {
		t.Errorf("got %v allocations with rings of 5000, want the %v of empty ones", long, short)
	}
	body, st := page(3, 3, 8, 63), new(Status)
	again := testing.AllocsPerRun(50, func() {
		if err := Decode(body, time.Time{}, st); err != nil {
			t.Fatal(err)
		}
	})
	// The scratch space for bounds is all that a steady page costs.
	if again > 4 {
		t.Errorf("got %v allocations for a page decoded again into the same status, want at most 4", again)
	}
}
