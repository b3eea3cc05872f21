package dns_test

import (
	"fmt"
	"slices"
	"testing"
)

// A round of the balancing is exactly the weights; NGINX's two workers pick each for themselves, and one connection stays
// with one of them.
func TestNGINXGoesByTheWeights(t *testing.T) {
	b := newBed(t, 3, "", false)
	a := b.actuator(t)
	for _, c := range []struct {
		name    string
		weights []int
	}{
		{"small weights", []int{1, 2, 4}},
		{"beyond a hundred", []int{300, 100, 1000}},
		{"equal", []int{1, 1, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := a.Apply(t.Context(), b.want(c.weights...))
			if err != nil || r.Confirmed.IsZero() {
				t.Fatalf("got %+v, %v", r, err)
			}
			t.Logf("confirmed after %v", r.Took)
			sum := c.weights[0] + c.weights[1] + c.weights[2]
			if got := b.answers(t, sum); !slices.Equal(got, c.weights) {
				t.Errorf("got %v, want %v", got, c.weights)
			}
			now, err := a.InForce(t.Context())
			if err != nil || fmt.Sprint(now) != fmt.Sprint(b.want(c.weights...)) {
				t.Errorf("in force: got %v, %v", now, err)
			}
		})
	}
}
