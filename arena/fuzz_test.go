package arena

import (
	"strings"
	"testing"
)

func FuzzParsePolicies(f *testing.F) {
	for _, s := range []string{"equal", "least_conn/l3, oracle", "least_time", "a/b/c", ",", "/", "equal,equal"} {
		f.Add(s)
	}
	choosers := Choosers(nil)
	f.Fuzz(func(t *testing.T, list string) {
		policies, err := ParsePolicies(list, choosers)
		if err != nil {
			return
		}
		var names []string
		for _, p := range policies {
			if p.New == nil || choosers[p.Chooser] == nil || p.Method != "" && !isMethod(p.Method) {
				t.Fatalf("%q: got %+v", list, p)
			}
			names = append(names, p.Name)
		}
		again, err := ParsePolicies(strings.Join(names, ","), choosers)
		if err != nil || len(again) != len(policies) {
			t.Fatalf("%q: its names parse to the same policies: got %v, %v", list, again, err)
		}
	})
}
