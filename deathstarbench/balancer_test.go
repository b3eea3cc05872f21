package deathstarbench

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestBalancers(t *testing.T) {
	t.Parallel()
	source, err := Source("capacity-1-2-4")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, text, fault string }{
		{"none", "", ""},
		{"two, with all that can be said", `
[[balancer]]
name = "n1"
[[balancer]]
name = "n2"
share = 2.5
telemetry_delay = "200ms"
joins_at = "20s"
partitions = [{ at = "30s", until = "60s" }, { at = "1m10s" }]
`, ""},
		{"a name twice", "[[balancer]]\nname = \"n\"\n[[balancer]]\nname = \"n\"", "another balancer has this name"},
		{"a share below nothing", "[[balancer]]\nname = \"n\"\nshare = -1", "want more than 0"},
		{"a partition that ends before it begins", "[[balancer]]\nname = \"n\"\npartitions = [{ at = \"9s\", until " +
			"= \"3s\" }]", "want more than at"},
		{"a delay below nothing", "[[balancer]]\nname = \"n\"\ntelemetry_delay = \"-1s\"", "want at least 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, err := Parse("x.toml", append([]byte(string(source)+"\n"), c.text...))
			if c.fault != "" {
				if err == nil || !strings.Contains(err.Error(), c.fault) {
					t.Errorf("got %v, want %q", err, c.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			again, err := Parse("x.toml", s.Format(""))
			if err != nil || !reflect.DeepEqual(again.Balancers, s.Balancers) {
				t.Errorf("got %+v and %v when read back, want %+v", again, err, s.Balancers)
			}
		})
	}
}

func TestBalancerIsLinked(t *testing.T) {
	t.Parallel()
	b := Balancer{JoinsAt: Duration(10 * time.Second),
		Partitions: []Partition{{Duration(20 * time.Second), Duration(30 * time.Second)}}}
	for at, want := range map[time.Duration]bool{0: false, 10 * time.Second: true, 20 * time.Second: false,
		29 * time.Second: false, 30 * time.Second: true} {
		if got := b.Linked(at); got != want {
			t.Errorf("after %v: got linked %t, want %t", at, got, want)
		}
	}
}
