package vtstest

import (
	"encoding/json"
	"time"
)

// Version is the age of a module.
type Version string

// Versions of nginx-module-vts that differ in what they list.
const (
	V0118 Version = "v0.1.18"
	V022  Version = "v0.2.2"
	V027  Version = "v0.2.7"
	After Version = "v0.2.7-after" // the branch after 0.2.7
)

// Versions are all of them.
func Versions() []Version { return []Version{V0118, V022, V027, After} }

// saysFree reports whether sharedZones has freeSize.
func (v Version) saysFree() bool { return v == V027 || v == After }

// keepsGone reports whether servers that were removed stay listed, with weight 0.
func (v Version) keepsGone() bool { return v == After }

// counters are those of one server.
type counters struct {
	requests, in, out       uint64
	classes                 [5]uint64
	requestMsec, answerMsec uint64
}

func (c *counters) add(o Outcome) {
	c.requests++
	c.in += 100
	c.out += 500
	c.classes[o.Class-1]++
	ms := uint64(o.Lasts.Milliseconds())
	c.requestMsec += ms
	if o.Answered {
		c.answerMsec += ms
	}
}

type serverRow struct {
	Server              string            `json:"server"`
	RequestCounter      uint64            `json:"requestCounter"`
	InBytes             uint64            `json:"inBytes"`
	OutBytes            uint64            `json:"outBytes"`
	Responses           map[string]uint64 `json:"responses"`
	RequestMsecCounter  uint64            `json:"requestMsecCounter"`
	RequestMsec         uint64            `json:"requestMsec"`
	ResponseMsecCounter uint64            `json:"responseMsecCounter"`
	ResponseMsec        uint64            `json:"responseMsec"`
	Weight              int               `json:"weight"`
	MaxFails            int               `json:"maxFails"`
	FailTimeout         int               `json:"failTimeout"`
	Backup              bool              `json:"backup"`
	Down                bool              `json:"down"`
}

func (c *counters) row(server string, weight int, down, backup bool) serverRow {
	names := [5]string{"1xx", "2xx", "3xx", "4xx", "5xx"}
	r := serverRow{Server: server, RequestCounter: c.requests, InBytes: c.in, OutBytes: c.out,
		Responses:          map[string]uint64{},
		RequestMsecCounter: c.requestMsec, ResponseMsecCounter: c.answerMsec, Weight: weight, MaxFails: 1,
		FailTimeout: 10, Backup: backup, Down: down}
	for i, n := range c.classes {
		r.Responses[names[i]] = n
	}
	return r
}

// render writes a page.
func (v Version) render(now time.Time, loadMsec int64, requests uint64, groups map[string][]serverRow) ([]byte, error) {
	zone := map[string]any{"name": "ngx_http_vhost_traffic_status", "maxSize": 1048575, "usedSize": 3510,
		"usedNode": len(groups)}
	if v.saysFree() {
		zone["freeSize"] = 1040000
	}
	return json.Marshal(map[string]any{
		"hostName": "test", "moduleVersion": string(v), "nginxVersion": "1.22.1", "loadMsec": loadMsec,
		"nowMsec": now.UnixMilli(),
		"connections": map[string]uint64{"active": 1, "reading": 0, "writing": 1, "waiting": 0, "accepted": requests,
			"handled": requests, "requests": requests},
		"sharedZones": zone, "serverZones": map[string]any{}, "upstreamZones": groups,
	})
}
