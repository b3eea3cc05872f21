package daemon

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"trimtab/orders"
	"trimtab/vts"
	"trimtab/weights"
)

const wishes = `[[upstream]]
name = "app"
slow_start = "60s"
max_share = 0.5
[[upstream.server]]
address = "10.0.0.1:80"
pin = 0.05
[[upstream.server]]
address = "10.0.0.2:80"
min_share = 0.1
slow_start = "0s"
[[upstream.server]]
address = "10.0.0.3:80"
tune = false
[[upstream]]
name = "web"
tune = false
`

func TestWhatIsWantedOfSingleServers(t *testing.T) {
	c, err := ParseConfig("trimtab.toml", wishes)
	if err != nil {
		t.Fatal(err)
	}
	got := c.tunerConfig().Groups["app"].Limits
	want := weights.GroupLimits{
		Each: weights.Limits{Max: 0.5},
		Servers: map[string]weights.Limits{"10.0.0.1:80": {Min: 0.05, Max: 0.05},
			"10.0.0.2:80": {Min: 0.1, Max: 0.5}},
		Keep: map[string]bool{"10.0.0.3:80": true},
	}
	if got.Each != want.Each || !maps.Equal(got.Servers, want.Servers) || !maps.Equal(got.Keep, want.Keep) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for server, want := range map[string]time.Duration{"10.0.0.1:80": time.Minute, "10.0.0.2:80": 0,
		"10.0.0.9:80": time.Minute} {
		if got := c.SlowStart("app", server); got != want {
			t.Errorf("slow start of %s: got %s, want %s", server, got, want)
		}
	}
	sample := &vts.Sample{Groups: []vts.GroupSample{{Name: "app", Peers: []vts.PeerSample{{Server: "10.0.0.1:80"},
		{Server: "10.0.0.2:80"}, {Server: "10.0.0.3:80"}, {Server: "10.0.0.9:80"}}},
		{Name: "web", Peers: []vts.PeerSample{{Server: "w"}}}, {Name: "free", Peers: []vts.PeerSample{{Server: "f"}}}}}
	shown := map[string]map[string]string{"app": {"10.0.0.1:80": "pinned 5 %", "10.0.0.2:80": "10 to 50 %",
		"10.0.0.3:80": "not tuned", "10.0.0.9:80": "at most 50 %"}, "web": {"w": "not tuned"}}
	if got := c.serversInWords(sample); !reflect.DeepEqual(got, shown) {
		t.Errorf("on the page: got %v, want %v", got, shown)
	}
	limits := c.limits("app", nil, []string{"10.0.0.1:80", "10.0.0.9:80"})
	if limits["10.0.0.1:80"] != (weights.Limits{Min: 0.05, Max: 0.05}) ||
		limits["10.0.0.9:80"] != (weights.Limits{Max: 0.5}) {
		t.Errorf("limits while something is ordered: got %+v", limits)
	}
	if c.limits("web", nil, []string{"10.0.0.1:80"}) != nil || c.tunes("web") || !c.tunes("app") {
		t.Error("an upstream without limits has some, or tune is not followed")
	}
	ordered := c.bounds("app", map[string]orders.Limit{"10.0.0.1:80": {Min: 0.2}, "10.0.0.3:80": {Max: 0.3},
		"10.0.0.2:80": {Keep: true},
		orders.Every:  {Max: 0.7}})
	if ordered.Each != (weights.Limits{Max: 0.7}) || !maps.Equal(ordered.Keep, map[string]bool{"10.0.0.2:80": true}) ||
		!maps.Equal(ordered.Servers,
			map[string]weights.Limits{"10.0.0.1:80": {Min: 0.2}, "10.0.0.3:80": {Max: 0.3}}) {
		t.Errorf("what is ordered goes before the configuration: got %+v", ordered)
	}
	words := c.Wishes()
	for _, want := range []string{"every server of app has at most 50 %", "server 10.0.0.1:80 of app has 5 % of",
		"server 10.0.0.2:80 of app has 10 to 50 %", "server 10.0.0.3:80 of app keeps", "upstream web is not tuned"} {
		if !slices.ContainsFunc(words, func(line string) bool { return strings.Contains(line, want) }) {
			t.Errorf("got %q, want a line with %q", words, want)
		}
	}
}
