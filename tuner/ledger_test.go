package tuner

import (
	"fmt"
	"reflect"
	"testing"

	"trimtab/weights"
)

// of are settings by server name: "a3" is a weight of 3 for a, "b1!" is b with weight 1, down.
func of(list ...string) weights.Group {
	g := weights.Group{}
	for _, text := range list {
		var n int
		if _, err := fmt.Sscanf(text[1:], "%d", &n); err != nil {
			panic(err)
		}
		g[text[:1]] = weights.Setting{Weight: weights.Clamp(n), Down: text[len(text)-1] == '!'}
	}
	return g
}

func TestLedgerKnowsWhoseWeightsAre(t *testing.T) {
	type step struct {
		asked  weights.Group // what was committed before the sample; nil: nothing new
		shows  weights.Group
		edited bool
	}
	for _, c := range []struct {
		name     string
		steps    []step
		operator weights.Group // whose base is that at the end
	}{
		{"what is found at the start is the operator's", []step{{shows: of("a3", "b1")}, {shows: of("a3", "b1")}},
			of("a3", "b1")},
		{"what we asked for is no edit", []step{{shows: of("a1", "b1")},
			{asked: of("a4", "b1"), shows: of("a4", "b1")}, {shows: of("a4", "b1")}},
			of("a1", "b1")},
		{"it may come later", []step{{shows: of("a1", "b1")}, {asked: of("a4", "b1"), shows: of("a1", "b1")},
			{shows: of("a4", "b1")}}, of("a1", "b1")},
		{"somebody edits a weight: the new base", []step{{shows: of("a1", "b1")},
			{shows: of("a9", "b1"), edited: true}, {shows: of("a9", "b1")}},
			of("a9", "b1")},
		{"somebody takes back ours: the new base", []step{{shows: of("a1", "b1")},
			{asked: of("a4", "b1"), shows: of("a4", "b1")},
			{shows: of("a1", "b1"), edited: true}}, of("a1", "b1")},
		{"somebody marks a server down", []step{{shows: of("a1", "b1")}, {shows: of("a1", "b1!"), edited: true}},
			of("a1", "b1!")},
		{"a server comes with a weight of its own", []step{{shows: of("a1", "b1")}, {shows: of("a1", "b1", "c5")}},
			of("a1", "b1", "c5")},
		{"a server goes", []step{{shows: of("a1", "b1", "c5")}, {shows: of("a1", "b1")}}, of("a1", "b1")},
		{"a server comes while ours are in force", []step{{shows: of("a1", "b1")},
			{asked: of("a4", "b1"), shows: of("a4", "b1")},
			{shows: of("a4", "b1", "c2")}, {shows: of("a4", "b1", "c2")}}, of("a1", "b1", "c2")},
		{"a server comes in the interval in which ours come into force",
			[]step{{shows: of("a1", "b1")}, {asked: of("a4", "b1"), shows: of("a4", "b1", "c2")}},
			of("a1", "b1", "c2")},
		{"a server comes and another's weight was edited", []step{{shows: of("a1", "b1")},
			{shows: of("a7", "b1", "c2"), edited: true}},
			of("a7", "b1", "c2")},
		{"all servers are renamed", []step{{shows: of("a1", "b1")}, {shows: of("c2", "d3")}}, of("c2", "d3")},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l ledger
			for i, s := range c.steps {
				if s.asked != nil {
					l.Asked = s.asked
				}
				if got := l.observe(s.shows); got != s.edited {
					t.Errorf("step %d: edited %t, want %t", i+1, got, s.edited)
				}
				if !l.InForce.Equal(s.shows) {
					t.Errorf("step %d: in force %v, want %v", i+1, l.InForce, s.shows)
				}
			}
			if !reflect.DeepEqual(l.Operator, c.operator) {
				t.Errorf("the operator's are %v, want %v", l.Operator, c.operator)
			}
		})
	}
}
