package deathstarbench

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// shop is a scenario of two services that are no social network's.
const shop = `name = "shop"
duration = "60s"

[[workload]]
name = "checkout"
method = "POST"
path = "/cart?order={seq}"
body = '{"item": {id}, "note": "{text:20}"}'
bytes = 1200

[[workload]]
name = "search"
path = "/search/{text:8}"

[[server]]
name = "a"
slots = 2
service = { checkout = "40ms", search = "5ms" }

[[upstream]]
name = "checkout_backend"
workload = "checkout"
servers = ["a"]

[[upstream]]
name = "search_backend"
workload = "search"
servers = ["a"]

[[load]]
workload = "checkout"
arrival = "exp"
phases = [{ at = "0s", rate = 10 }]

[[load]]
workload = "search"
arrival = "exp"
phases = [{ at = "0s", rate = 20 }]
`

func TestOwnWorkloadsAreReadAndWritten(t *testing.T) {
	s, err := Parse("shop.toml", []byte(shop))
	if err != nil {
		t.Fatal(err)
	}
	checkout, search := s.Own("checkout"), s.Own("search")
	if checkout == nil || checkout.Verb() != "POST" || checkout.Bytes != 1200 || search == nil || search.Verb() != "GET" {
		t.Fatalf("got %+v", s.Workloads)
	}
	if s.Own(ComposePost) != nil || s.Own("") != nil {
		t.Error("a workload of the social network is none of the scenario's own")
	}
	again, err := Parse("shop.toml", s.Format(""))
	if err != nil || !slices.Equal(again.Workloads, s.Workloads) || !bytes.Equal(again.Format(""), s.Format("")) {
		t.Errorf("what Format prints is not read back as the same: %v\n%s", err, s.Format(""))
	}
}

func TestPiecesLeaveOtherBracesAlone(t *testing.T) {
	got := Pieces(`{"item": {id}, "of": {text:12}{seq}} {ids} {text:}`)
	want := []Piece{{Literal: `{"item": `}, {Kind: "id"}, {Literal: `, "of": `}, {Kind: "text", Length: 12},
		{Kind: "seq"}, {Literal: `} {ids} {text:}`}}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := Pieces(""); got != nil {
		t.Errorf("an empty template: got %+v, want nothing", got)
	}
}

func TestLocationIsWhatAllRequestsHaveInCommon(t *testing.T) {
	for _, c := range []struct {
		name, path, want string
		whole            bool
	}{
		{"a plain path", "/cart", "/cart", true},
		{"a query is not part of it", "/cart?n={id}", "/cart", true},
		{"a placeholder ends it", "/items/{id}/reviews", "/items/", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := Workload{Path: c.path}
			if got, whole := w.Location(); got != c.want || whole != c.whole {
				t.Errorf("got %q, %v, want %q, %v", got, whole, c.want, c.whole)
			}
		})
	}
}

func TestAnswersHaveTheMeanThatIsWanted(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	w := Workload{Bytes: 5000}
	const n = 50_000
	sum := 0.0
	for range n {
		sum += float64(w.AnswerBytes(rng.NormFloat64()))
	}
	// The standard error of the mean of n lognormal sizes is 5000·√(e^0.25 − 1)/√n = 12.
	if got := sum / n; math.Abs(got-5000) > 50 {
		t.Errorf("got a mean of %.0f bytes, want 5000 ± 50", got)
	}
	if got := w.AnswerBytes(100); got != 20_000 {
		t.Errorf("the largest answer: got %d, want 4 times the mean", got)
	}
}

func TestOwnWorkloadsThatCannotBeAreRefused(t *testing.T) {
	for _, c := range []struct{ name, old, replacement, want string }{
		{"a name of the social network", `name = "checkout"`, `name = "compose-post"`,
			`workload[0].name: "compose-post": another workload has this name`},
		{"a name twice", `name = "search"`, `name = "checkout"`, `workload[1].name: "checkout": another workload`},
		{"a method that is none", `"POST"`, `"SEND"`, `workload[0].method: "SEND": want one of GET, POST, PUT`},
		{"a body that GET does not have", `method = "POST"`, `method = "GET"`, "workload[0].body: GET has no body"},
		{"a negative size", "bytes = 1200", "bytes = -1", "workload[0].bytes: -1: want 0 to"},
		{"no path", `path = "/search/{text:8}"`, "", `workload[1].path: "": want a path such as "/cart"`},
		{"a path that would end a line of nginx.conf", `/search/{text:8}`, `/a;b`, `workload[1].path: "/a;b": want visible`},
		{"a placeholder that there is not in a path", `/search/{text:8}`, `/{user}`, `workload[1].path: "/{user}": want`},
		{"a text of nothing", `/search/{text:8}`, `/s/{text:0}`, "{text:N}: want N from 1 to 4096"},
		{"a text without end", `{text:20}`, `{text:99999999999999999999}`, "{text:N}: want N from 1 to 4096"},
		{"the path of another", `/search/{text:8}`, `/cart`, `/cart is already that of workload "checkout"`},
		{"the path of the status page", `/search/{text:8}`, `/status/format/json`, "is taken: by the status page"},
		{"a workload that nothing defines", `workload = "search"`, `workload = "find"`,
			`upstream[1].workload: "find": want one of compose-post, read-home-timeline, read-user-timeline, checkout, search`},
		{"a server without a service time for it", `, search = "5ms"`, ``, `server "a" has no service time for search`},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(shop, c.old, c.replacement, 1)
			if text == shop {
				t.Fatalf("the scenario has no %q", c.old)
			}
			if _, err := Parse("shop.toml", []byte(text)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}
