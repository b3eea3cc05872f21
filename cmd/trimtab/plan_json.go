package main

import (
	"trimtab/nginx"
	"trimtab/pursuit"
)

// planJSON is what an objective would give at one load.
type planJSON struct {
	Kind        string         `json:"kind"` // "load"
	Share       float64        `json:"share_of_time"`
	Reward      float64        `json:"reward"`
	NowReward   float64        `json:"now_reward"`
	Capacity    float64        `json:"capacity_units"`
	NowCapacity float64        `json:"now_capacity_units"`
	Upstreams   []plannedGroup `json:"upstreams"`
}

// plannedGroup is one upstream of it.
type plannedGroup struct {
	Upstream   string                   `json:"upstream"`
	Offered    float64                  `json:"offered_per_s"`
	Carried    float64                  `json:"carried_per_s"`
	DelayMS    float64                  `json:"delay_ms"`
	Held       float64                  `json:"held"`
	Blocked    float64                  `json:"blocked"`
	Weights    map[string]nginx.Setting `json:"weights"` // by server
	NowCarried float64                  `json:"now_carried_per_s"`
	NowDelayMS float64                  `json:"now_delay_ms"`
	NowHeld    float64                  `json:"now_held"`
	LeastMS    *float64                 `json:"least_delay_ms"` // null: none is short enough
}

// tradeOffJSON is what a bound would give at the busiest load.
type tradeOffJSON struct {
	Kind     string  `json:"kind"` // "trade_off"
	Factor   float64 `json:"bound_factor"`
	Units    int     `json:"units"`
	Offered  float64 `json:"offered_per_s"`
	Carried  float64 `json:"carried_per_s"`
	Capacity float64 `json:"capacity_units"`
	Reward   float64 `json:"reward"`
	Held     float64 `json:"held"`
}

// planRow is an answer as JSON.
func planRow(a pursuit.Answer) planJSON {
	out := planJSON{Kind: "load", Share: a.Share, Reward: a.Best.Value.Reward, NowReward: a.Now.Reward,
		Capacity: a.Best.Value.Mean.Capacity, NowCapacity: a.Now.Mean.Capacity, Upstreams: []plannedGroup{}}
	for k := range a.World.Services {
		v := &a.World.Services[k]
		best, now := a.Best.Value.Mean.Services[k], a.Now.Mean.Services[k]
		g := plannedGroup{Upstream: v.Name, Offered: v.OfferedPerSec, Carried: best.CarriedPerSec,
			DelayMS: best.DelaySec * 1e3, Held: a.Best.Value.Held[k], Blocked: a.Best.Setting.Blocked[k],
			Weights: map[string]nginx.Setting{}, NowCarried: now.CarriedPerSec, NowDelayMS: now.DelaySec * 1e3,
			NowHeld: a.Now.Held[k]}
		for i, l := range v.Links {
			w := a.Best.Setting.Weights[k][i]
			g.Weights[a.World.Servers[l.Server].Name] = nginx.Setting{Weight: max(w, 1), Down: w == 0}
		}
		const never = 1e6 // s
		if sec := a.Best.Least[k]; sec <= never {
			ms := sec * 1e3
			g.LeastMS = &ms
		}
		out.Upstreams = append(out.Upstreams, g)
	}
	return out
}
