package vts

import (
	"context"
	"fmt"
	"time"
)

// Diagnosis is what some polls of a status page say about it as a source of telemetry.
type Diagnosis struct {
	Version    string // of the module, or of the shim that stands in for it
	NginxVer   string
	Servers    int
	Bytes      int           // of one page
	PollMean   time.Duration // one request and its decoding, here
	PollMax    time.Duration
	Requests   uint64 // of all servers together, since the counters began
	Histograms bool   // some server has one
	// PassedOver are servers that ought to have had requests, going by their group's, and have none: dead ones that
	// proxy_next_upstream passes over without a record.
	PassedOver []string
	Zone       Zone
	ClockSkew  time.Duration // the server's clock minus the local one
}

// Diagnose polls the page a few times and reports on it.
func (c *Client) Diagnose(ctx context.Context, polls int) (Diagnosis, error) {
	var d Diagnosis
	var st Status
	var body []byte
	for i := range max(polls, 1) {
		began := time.Now()
		var err error
		if body, err = c.Body(ctx, body); err != nil {
			return d, err
		}
		at := time.Now()
		if err := DecodeContext(ctx, body, at, &st); err != nil {
			return d, fmt.Errorf("decode the reply of %s: %w", c.shown, err)
		}
		if err := st.Shows(); err != nil {
			return d, fmt.Errorf("%s: %w", c.shown, err)
		}
		took := time.Since(began)
		d.PollMean += (took - d.PollMean) / time.Duration(i+1)
		d.PollMax = max(d.PollMax, took)
		d.ClockSkew = time.UnixMilli(st.NowMsec).Sub(at.Add(-took / 2))
	}
	d.Bytes = len(body)
	d.judge(&st)
	return d, nil
}

// judge fills in what one status shows.
func (d *Diagnosis) judge(st *Status) {
	d.Version, d.NginxVer, d.Zone = st.ModuleVer, st.NginxVer, st.Zone
	for _, u := range st.Upstreams {
		var requests uint64
		weights := 0
		for i := range u.Peers {
			p := &u.Peers[i]
			requests += p.Requests
			d.Histograms = d.Histograms || len(p.Buckets) > 0
			if !p.Pseudo(u.Name) && u.Name != noGroups {
				d.Servers++
			}
			if !p.Down && !p.Backup {
				weights += p.Weight
			}
		}
		d.Requests += requests
		for _, p := range u.Peers {
			if p.Requests == 0 && p.Weight > 0 && !p.Down && !p.Backup &&
				float64(requests)*float64(p.Weight)/float64(weights) >= passedOverAt {
				d.PassedOver = append(d.PassedOver, p.Server+" of "+u.Name)
			}
		}
	}
}

// passedOverAt is how many requests a server must have been due by its weight for having none to be no chance: even a
// balancer that draws at random leaves it out with a probability of e^-30 only.
const passedOverAt = 30
