package orders

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trimtab/weights"
)

var began = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func given(w ...int) map[string]Weight {
	out := map[string]Weight{}
	for i, n := range w {
		out[string(rune('a'+i))] = Weight{Weight: n}
	}
	return out
}

func TestShape(t *testing.T) {
	for _, c := range []struct {
		name   string
		base   map[string]Weight
		orders map[string]Order
		limits map[string]weights.Limits
		after  time.Duration
		want   map[string]float64 // shares
	}{
		{"no orders change nothing", given(1, 2, 4), nil, nil, 0, map[string]float64{"a": 1. / 7, "b": 2. / 7,
			"c": 4. / 7}},
		{"a drained server gets nothing, the others what they had of the rest", given(1, 2, 4),
			map[string]Order{"c": {Drain: true}}, nil, 0, map[string]float64{"a": 1. / 3, "b": 2. / 3, "c": 0}},
		{"a canary gets its share whatever its weight", given(1, 2, 4), map[string]Order{"c": {Pin: 0.05}}, nil, 0,
			map[string]float64{"a": 0.95 / 3, "b": 2 * 0.95 / 3, "c": 0.05}},
		{"a slow start begins small", given(1, 1), map[string]Order{"b": {Since: began, Ramp: time.Minute}}, nil, 0,
			map[string]float64{"a": 1 / 1.05, "b": 0.05 / 1.05}},
		{"and has half of its weight after half the time", given(1, 1), map[string]Order{"b": {Since: began,
			Ramp: time.Minute}}, nil, 30 * time.Second, map[string]float64{"a": 2. / 3, "b": 1. / 3}},
		{"and all of it at the end", given(1, 1), map[string]Order{"b": {Since: began, Ramp: time.Minute}}, nil,
			time.Minute, map[string]float64{"a": 0.5, "b": 0.5}},
		{"an order that is over counts no more", given(1, 1), map[string]Order{"b": {Drain: true,
			Until: began.Add(time.Minute)}}, nil, time.Minute, map[string]float64{"a": 0.5, "b": 0.5}},
		{"a least share", given(1, 9), nil, map[string]weights.Limits{"a": {Min: 0.25}}, 0,
			map[string]float64{"a": 0.25,
				"b": 0.75}},
		{"a largest share, divided among the others in proportion", given(1, 3, 16), nil,
			map[string]weights.Limits{"c": {Max: 0.5}}, 0, map[string]float64{"a": 0.125, "b": 0.375, "c": 0.5}},
		{"a limit within a canary's rest", given(1, 9, 5), map[string]Order{"c": {Pin: 0.2}},
			map[string]weights.Limits{"a": {Min: 0.2}}, 0, map[string]float64{"a": 0.2, "b": 0.6, "c": 0.2}},
		{"a slow start up to a least share begins small too", given(1, 1),
			map[string]Order{"b": {Since: began, Ramp: time.Minute}},
			map[string]weights.Limits{"b": {Min: 0.4}}, 0, map[string]float64{"a": 1 / 1.05, "b": 0.05 / 1.05}},
		{"everybody is pinned: in proportion", given(1, 1), map[string]Order{"a": {Pin: 0.2}, "b": {Pin: 0.6}}, nil,
			0, map[string]float64{"a": 0.25, "b": 0.75}},
	} {
		for _, most := range []int{100, 65535} {
			t.Run(fmt.Sprintf("%s, weights to %d", c.name, most), func(t *testing.T) {
				got, err := Shape(c.base, c.orders, c.limits, most, began.Add(c.after))
				if err != nil {
					t.Fatal(err)
				}
				sum := 0.0
				for _, w := range got {
					if !w.Down {
						sum += float64(w.Weight)
					}
				}
				for server, want := range c.want {
					w := got[server]
					if want == 0 {
						if !w.Down {
							t.Errorf("server %s: got %+v, want it out", server, w)
						}
						continue
					}
					if share := float64(w.Weight) / sum; w.Down || math.Abs(share-want) > 0.012*want ||
						w.Weight < 1 || w.Weight > most {
						t.Errorf("server %s: got weight %d, share %.4f; want %.4f (%v)", server, w.Weight, share,
							want, got)
					}
				}
			})
		}
	}
	if _, err := Shape(given(1, 1), map[string]Order{"a": {Drain: true}, "b": {Drain: true}}, nil, 100,
		began); !errors.Is(err, ErrNobody) {
		t.Errorf("everybody drained: got %v", err)
	}
	got, err := Shape(given(1, 1), nil, map[string]weights.Limits{"a": {Max: 0.2}, "b": {Max: 0.3}}, 100, began)
	if !errors.Is(err, ErrLimits) || !strings.Contains(err.Error(), "to nobody") ||
		3*got["a"].Weight != 2*got["b"].Weight {
		t.Errorf("limits that cannot hold: got %v, %v, want them in proportion", got, err)
	}
}

func TestOrdersAreKeptAndExpire(t *testing.T) {
	s := Store{Path: filepath.Join(t.TempDir(), "state", "orders.json")}
	_, err := s.Update(func(o *Orders) (bool, error) {
		o.Upstreams["app"] = map[string]Order{"a": {Pin: 0.05, Since: began, Until: began.Add(20 * time.Minute),
			By: "test"}, "b": {Drain: true, Since: began}}
		o.Before["app"] = given(1, 2)
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	o, err := s.Read()
	if err != nil || o.Upstreams["app"]["a"].Pin != 0.05 || o.Before["app"]["b"].Weight != 2 || !o.Active("app",
		began) {
		t.Fatalf("got %+v, %v", o, err)
	}
	if got := o.Upstreams["app"]["a"].Text(began.Add(time.Minute)); got != "pinned to 5 % of the requests, for "+
		"another 19m0s" {
		t.Errorf("got %q", got)
	}
	if !o.Expire(began.Add(20*time.Minute)) || len(o.Upstreams["app"]) != 1 || o.Upstreams["app"]["b"].Drain != true {
		t.Errorf("expired: got %+v, want the pin gone and the drain kept", o.Upstreams)
	}
	for _, c := range []struct {
		name, why string
		order     map[string]Order
	}{
		{"a share of everything", "less than 1", map[string]Order{"a": {Pin: 1}}},
		{"shares of more than everything", "add up to 120 %", map[string]Order{"a": {Pin: 0.6}, "b": {Pin: 0.6}}},
		{"drained and pinned", "cannot be drained and pinned", map[string]Order{"a": {Pin: 0.1, Drain: true}}},
		{"a ramp backwards", "slow start", map[string]Order{"a": {Ramp: -1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := s.Update(func(o *Orders) (bool, error) { o.Upstreams["app"] = c.order; return true, nil })
			if err == nil || !strings.Contains(err.Error(), c.why) {
				t.Errorf("got %v, want %q", err, c.why)
			}
		})
	}
}

func TestLimitsAreKeptAndExpire(t *testing.T) {
	s := Store{Path: filepath.Join(t.TempDir(), "orders.json")}
	_, err := s.Update(func(o *Orders) (bool, error) {
		o.Bound("app", "a", Limit{Min: 0.1, Max: 0.4, Since: began, Until: began.Add(20 * time.Minute)})
		o.Bound("app", Every, Limit{Max: 0.6, Since: began})
		return o.Bound("app", "b", Limit{Keep: true, Since: began}), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	o, err := s.Read()
	if err != nil || len(o.InForce(began)["app"]) != 3 || len(o.InForce(began.Add(20 * time.Minute))["app"]) != 2 ||
		o.Active("app", began) {
		t.Fatalf("got %+v, %v", o, err)
	}
	for server, want := range map[string]string{
		"a":   "server a of app has 10 to 40 % of the requests, for another 19m0s",
		"b":   "server b of app keeps the share that your weights give it",
		Every: "every server of app has at most 60 % of the requests",
	} {
		if got := o.Limits["app"][server].Text("app", server, began.Add(time.Minute)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if !o.Expire(began.Add(time.Hour)) || len(o.Limits["app"]) != 2 {
		t.Errorf("expired: got %+v", o.Limits)
	}
	if !o.Bound("app", "b", Limit{}) || o.Bound("app", "b", Limit{}) || !o.Bound("app", Every, Limit{}) ||
		len(o.Limits) != 0 {
		t.Errorf("taken back: got %+v", o.Limits)
	}
	for _, c := range []struct {
		name, why string
		limits    map[string]Limit
	}{
		{"upside down", "no share is both", map[string]Limit{"a": {Min: 0.5, Max: 0.2}}},
		{"more than everything", "add up to 120 %", map[string]Limit{"a": {Min: 0.6}, "b": {Min: 0.6}}},
		{"kept and bounded", "keeps its share", map[string]Limit{"a": {Keep: true, Max: 0.2}}},
		{"nothing", "bounds nothing", map[string]Limit{"a": {By: "me"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := s.Update(func(o *Orders) (bool, error) {
				o.Limits = map[string]map[string]Limit{"app": c.limits}
				return true, nil
			})
			if err == nil || !strings.Contains(err.Error(), c.why) {
				t.Errorf("got %v, want %q", err, c.why)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"format":1,"upstreams":{"app":{"a":{"pin":0.05,"since":"2026-01-01T00:00:00Z"}}},"before":{"app":{"a":{"weight":3}}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		o, err := Parse(text)
		if err != nil {
			return
		}
		for name, servers := range o.Upstreams {
			got, err := Shape(given(3, 1, 2), servers, nil, 100, began)
			if err != nil {
				continue
			}
			for server, w := range got {
				if !w.Down && (w.Weight < 1 || w.Weight > 100) {
					t.Errorf("upstream %q: server %s has weight %d", name, server, w.Weight)
				}
			}
		}
	})
}
