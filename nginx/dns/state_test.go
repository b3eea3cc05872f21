package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"trimtab/nginx"
)

func app(weights ...int) *State {
	u := Upstream{}
	for i, w := range weights {
		u.Servers = append(u.Servers, Peer{Address: fmt.Sprintf("10.0.0.%d:80", i+1), Weight: w, Base: 1})
	}
	return &State{Format: 1, Serial: 1, Upstreams: map[string]Upstream{"app": u}}
}

func TestSetRefuses(t *testing.T) {
	for _, c := range []struct {
		name, why string
		want      nginx.Settings
	}{
		{"an upstream that does not come by DNS", "does not come by DNS",
			nginx.Settings{"web": {"10.0.0.1:80": {Weight: 1}}}},
		{"a server that is not there", "has no server", nginx.Settings{"app": {"10.0.0.9:80": {Weight: 1}}}},
		{"weight 0", "want 1 to 65535", nginx.Settings{"app": {"10.0.0.1:80": {}}}},
		{"a weight that no record can hold", "want 1 to 65535",
			nginx.Settings{"app": {"10.0.0.1:80": {Weight: 65536}}}},
		{"to leave nobody", "no server would be left", nginx.Settings{"app": {"10.0.0.1:80": {Weight: 1, Down: true},
			"10.0.0.2:80": {Weight: 1, Down: true}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := app(2, 3)
			changed, err := s.Set(c.want)
			refusal := (*nginx.Refusal)(nil)
			if !errors.As(err, &refusal) || !strings.Contains(err.Error(), c.why) || changed {
				t.Errorf("got %v, %v, want a refusal with %q", changed, err, c.why)
			}
			if got := fmt.Sprint(s.Settings()); got != fmt.Sprint(app(2, 3).Settings()) {
				t.Errorf("got %s, want nothing changed", got)
			}
		})
	}
}

func TestJoin(t *testing.T) {
	for _, c := range []struct {
		name    string
		members []Member
		want    []Peer
	}{
		{"who stays keeps the weight that was learned", []Member{{Address: "10.0.0.1:80", Weight: 1},
			{Address: "10.0.0.2:80", Weight: 1}},
			[]Peer{{Address: "10.0.0.1:80", Weight: 30, Base: 1}, {Address: "10.0.0.2:80", Weight: 10, Base: 1}}},
		{"who comes gets the share that the operator's weights give", []Member{{Address: "10.0.0.1:80", Weight: 1},
			{Address: "10.0.0.2:80", Weight: 1}, {Address: "10.0.0.3:80", Weight: 2}},
			[]Peer{{Address: "10.0.0.1:80", Weight: 30, Base: 1}, {Address: "10.0.0.2:80", Weight: 10, Base: 1},
				{Address: "10.0.0.3:80", Weight: 40, Base: 2}}},
		{"who goes goes", []Member{{Address: "10.0.0.2:80", Weight: 1}}, []Peer{{Address: "10.0.0.2:80", Weight: 10,
			Base: 1}}},
		{"another weight of the operator's counts", []Member{{Address: "10.0.0.1:80", Weight: 7}},
			[]Peer{{Address: "10.0.0.1:80", Weight: 7, Base: 7}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := app(30, 10)
			if _, err := s.Join("app", c.members); err != nil {
				t.Fatal(err)
			}
			if got := s.Upstreams["app"].Servers; !slices.Equal(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if changed, err := s.Join("app", c.members); changed || err != nil {
				t.Errorf("again: got %v, %v, want nothing changed", changed, err)
			}
		})
	}
	s := app(1)
	if _, err := s.Join("app", []Member{{Address: "10.0.0.1:80", Backup: true}}); err == nil {
		t.Error("only backups: got no error")
	}
}

// Changes of several processes come one after the other: none is lost.
func TestUpdatesTakeTurns(t *testing.T) {
	store := Store{Path: filepath.Join(t.TempDir(), "dns.json")}
	if _, _, err := store.Update(t.Context(), func(s *State) (bool, error) {
		s.Upstreams = app(1,
			1).Upstreams
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	const writers, each = 4, 25
	for range writers {
		all.Go(func() {
			for range each {
				_, _, err := store.Update(t.Context(), func(s *State) (bool, error) {
					s.Upstreams["app"].Servers[0].Weight++
					return true, nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	s, err := store.Read()
	if err != nil || s.Upstreams["app"].Servers[0].Weight != 1+writers*each || s.Serial != 1+writers*each {
		t.Errorf("got %+v, %v, want %d changes", s, err, writers*each)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(store.Path), ".dns-*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestMembers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app.json")
	if err := os.WriteFile(file,
		[]byte(`["10.0.0.2:80", {"server": "10.0.0.1:80", "weight": 3}, {"server": "[::1]:81", "backup": true}]`),
		0o644); err != nil {
		t.Fatal(err)
	}
	m := Members{Upstream: "app", File: file, Name: "web.example:8080", Servers: []Member{{Address: "10.0.0.9:80",
		Weight: 1}}}
	got, err := m.now(t.Context(), func(_ context.Context, host string) ([]netip.Addr, error) {
		if host != "web.example" {
			t.Errorf("got %q resolved", host)
		}
		return []netip.Addr{netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("::ffff:10.1.0.2")}, nil
	})
	want := []Member{{"10.0.0.1:80", 3, false}, {"10.0.0.2:80", 1, false}, {"10.0.0.9:80", 1, false},
		{"10.1.0.1:8080", 1, false}, {"10.1.0.2:8080", 1, false}, {"[::1]:81", 1, true}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	t.Run("a name that cannot be resolved leaves nobody out", func(t *testing.T) {
		if got, err := m.now(t.Context(), func(context.Context, string) ([]netip.Addr, error) {
			return nil,
				errors.New("no such host")
		}); err == nil {
			t.Errorf("got %v, want an error", got)
		}
	})
	for _, c := range []struct{ name, text, why string }{
		{"no list", `{}`, "want a JSON list"},
		{"an unknown word", `[{"server": "10.0.0.1:80", "wight": 3}]`, "wight"},
		{"a host name", `["web:80"]`, "want IP:port"},
		{"no port", `["10.0.0.1"]`, "want IP:port"},
		{"weight 0", `[{"server": "10.0.0.1:80", "weight": 0}]`, "weight 0"},
		{"twice", `["10.0.0.1:80", "10.0.0.1:80"]`, "twice"},
		{"more than a list", `[] []`, "follows"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := ParseMembers([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.why) {
				t.Errorf("got %v, %v, want an error with %q", got, err, c.why)
			}
		})
	}
}

// A name that stands for others now has others as its servers; while it stands for nobody, or cannot be asked for,
// those stay.
func TestANameThatChanges(t *testing.T) {
	answers := map[string][]string{"a name": {"10.0.0.1"}, "two addresses, dual stack": {"10.0.0.1", "2001:db8::1"},
		"another one": {"10.0.0.2"}, "nobody": {}, "no answer": nil, "the first again": {"10.0.0.1"}}
	now := ""
	s := app(5)
	f := Follower{Members: []Members{{Upstream: "app", Name: "web.example:80"}},
		Join: func(_ context.Context, name string, members []Member) error {
			_, err := s.Join(name, members)
			return err
		},
		resolve: func(context.Context, string) ([]netip.Addr, error) {
			list := answers[now]
			if list == nil {
				return nil, errors.New("no such host")
			}
			var out []netip.Addr
			for _, a := range list {
				out = append(out, netip.MustParseAddr(a))
			}
			return out, nil
		}}
	for _, c := range []struct {
		name string
		want []string
	}{
		{"a name", []string{"10.0.0.1:80"}},
		{"two addresses, dual stack", []string{"10.0.0.1:80", "[2001:db8::1]:80"}},
		{"no answer", []string{"10.0.0.1:80", "[2001:db8::1]:80"}},
		{"another one", []string{"10.0.0.2:80"}},
		{"nobody", []string{"10.0.0.2:80"}},
		{"the first again", []string{"10.0.0.1:80"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			now = c.name
			f.Step(t.Context())
			var got []string
			for _, o := range s.Upstreams["app"].Servers {
				got = append(got, o.Address)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// Several entries of one upstream add up, as compose.yaml has them; while one cannot be read, all servers stay.
func TestMembersOfAnUpstreamAddUp(t *testing.T) {
	hosts := map[string]string{"a": "10.0.0.1", "b": "10.0.0.2", "c": "10.0.0.1"}
	s := app(5)
	joins := 0
	f := Follower{Members: []Members{{Upstream: "app", Name: "a:80"}, {Upstream: "app", Name: "b:80"},
		{Upstream: "app", Name: "c:80"}},
		Join: func(_ context.Context, name string, members []Member) error {
			joins++
			_, err := s.Join(name, members)
			return err
		},
		resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
			if hosts[host] == "" {
				return nil, errors.New("no such host")
			}
			return []netip.Addr{netip.MustParseAddr(hosts[host])}, nil
		}}
	for _, c := range []struct{ name, b string }{
		{"two addresses under three names", "10.0.0.2"}, {"a name that is gone leaves all as they are", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			hosts["b"] = c.b
			f.Step(t.Context())
			var got []string
			for _, o := range s.Upstreams["app"].Servers {
				got = append(got, o.Address)
			}
			if want := []string{"10.0.0.1:80", "10.0.0.2:80"}; !slices.Equal(got, want) || joins != 1 {
				t.Errorf("got %v after %d joins, want %v after one", got, joins, want)
			}
		})
	}
}

// FuzzParseState: what is read is valid and can be answered.
func FuzzParseState(f *testing.F) {
	f.Add([]byte(`{"format":1,"serial":3,"upstreams":{"app":{"servers":[{"server":"10.0.0.1:80","weight":3,"base":1}]}}}`))
	f.Add([]byte(`{"format":1,"upstreams":{"a":{"servers":[{"server":"[::1]:1","weight":65535,"base":1,"backup":true,"down":true}]}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseState(text)
		if err != nil {
			return
		}
		newZone("trimtab.", "", s, nil)
		for name, u := range s.Upstreams {
			if len(u.Servers) == 0 {
				t.Errorf("upstream %q has no servers", name)
			}
		}
	})
}

// FuzzParseMembers: what is read can join an upstream, or is refused.
func FuzzParseMembers(f *testing.F) {
	f.Add([]byte(`["10.0.0.1:80", {"server": "10.0.0.2:80", "weight": 3, "backup": true}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := ParseMembers(text)
		if err != nil {
			return
		}
		s := app(1, 2)
		if _, err := s.Join("app", list); err == nil {
			if err := s.Validate(); err != nil {
				t.Errorf("joined %v: %v", list, err)
			}
		}
	})
}
