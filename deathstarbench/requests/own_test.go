package requests

import (
	"encoding/json"
	"regexp"
	"testing"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"trimtab/deathstarbench"
)

func TestOwnRequestsAreFilledIn(t *testing.T) {
	w := &deathstarbench.Workload{Name: "checkout", Method: "POST", Path: "/cart/{id}?n={seq}",
		Body: `{"item": {id}, "note": "{text:20}"}`}
	url := regexp.MustCompile(`^http://lb/cart/[0-9]{1,3}\?n=([0-9]+)$`)
	draw := func(seed uint64) (out []vegeta.Target) {
		next, err := NewOwnTargeter(w, "http://lb/", seed)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			var target vegeta.Target
			if err := next(&target); err != nil {
				t.Fatal(err)
			}
			out = append(out, target)
		}
		return out
	}
	first, same, other := draw(1), draw(1), draw(2)
	differ := 0
	for i, target := range first {
		m := url.FindStringSubmatch(target.URL)
		if m == nil || target.Method != "POST" || target.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("request %d: got %s %s %v", i, target.Method, target.URL, target.Header)
		}
		var body struct {
			Item *int
			Note string
		}
		if err := json.Unmarshal(target.Body, &body); err != nil || body.Item == nil || len(body.Note) != 20 {
			t.Errorf("request %d: body %s: %v", i, target.Body, err)
		}
		if target.URL != same[i].URL || string(target.Body) != string(same[i].Body) {
			t.Errorf("request %d: the same seed gives %s, then %s", i, target.URL, same[i].URL)
		}
		if string(target.Body) != string(other[i].Body) {
			differ++
		}
	}
	if differ == 0 {
		t.Error("another seed gives the same requests")
	}
	if _, err := NewOwnTargeter(w, "lb:80", 1); err == nil {
		t.Error("a target that is no URL is accepted")
	}
}

func TestOwnRequestsWithoutBodyHaveNone(t *testing.T) {
	next, err := NewOwnTargeter(&deathstarbench.Workload{Name: "s", Path: "/s"}, "http://lb", 1)
	if err != nil {
		t.Fatal(err)
	}
	var target vegeta.Target
	if err := next(&target); err != nil || target.Method != "GET" || target.URL != "http://lb/s" || target.Body != nil ||
		len(target.Header) != 0 {
		t.Errorf("got %+v, %v, want a bare GET", target, err)
	}
}
