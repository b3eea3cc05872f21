package testbed

import (
	"strings"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"trimtab/deathstarbench"
)

const twoServices = `name = "shop"
duration = "60s"

[[workload]]
name = "checkout"
method = "PUT"
path = "/cart/{id}"
body = "n={seq}"

[[workload]]
name = "search"
path = "/search?q={text:3}"

[[server]]
name = "a"
slots = 2
service = { checkout = "40ms", search = "5ms" , read-home-timeline = "5ms" }

[[upstream]]
name = "one"
workload = "checkout"
servers = ["a"]

[[upstream]]
name = "two"
workload = "search"
servers = ["a"]

[[upstream]]
name = "three"
workload = "read-home-timeline"
servers = ["a"]

[[load]]
workload = "checkout"
arrival = "exp"
phases = [{ at = "0s", rate = 10 }]

[[load]]
workload = "search"
arrival = "exp"
phases = [{ at = "0s", rate = 20 }]

[[load]]
workload = "read-home-timeline"
arrival = "exp"
phases = [{ at = "0s", rate = 20 }]
`

func TestLoadsOfOwnServicesAreTheirRequests(t *testing.T) {
	sc, err := deathstarbench.Parse("shop.toml", []byte(twoServices))
	if err != nil {
		t.Fatal(err)
	}
	loads, err := Workloads(sc, "http://lb", time.Minute, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"PUT http://lb/cart/", "GET http://lb/search?q=", "GET http://lb/wrk2-api/home-timeline/read?user_id="}
	if len(loads) != len(want) {
		t.Fatalf("got %d loads, want %d", len(loads), len(want))
	}
	for i, l := range loads {
		var target vegeta.Target
		if err := l.Targeter(&target); err != nil {
			t.Fatal(err)
		}
		if got := target.Method + " " + target.URL; !strings.HasPrefix(got, want[i]) {
			t.Errorf("load %s: got %s, want %s…", l.Name, got, want[i])
		}
	}
}

func TestOwnServicesHaveLocationsOfTheirOwn(t *testing.T) {
	sc, err := deathstarbench.Parse("shop.toml", []byte(twoServices))
	if err != nil {
		t.Fatal(err)
	}
	for workload, want := range map[string]string{"checkout": "^~ /cart/", "search": "= /search",
		"read-home-timeline": "/wrk2-api/home-timeline/read"} {
		if got := location(sc, workload); got != want {
			t.Errorf("%s: got %q, want %q", workload, got, want)
		}
	}
}
