package nginx

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"trimtab/nginx/instance"
)

func TestFragmentIsNamedAsOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "upstream.conf")
	write(t, path, "upstream web { server 10.0.0.1:80; server 10.0.0.2:80; }\n")
	cfg, err := ReadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = cfg.Plan(Settings{"web": {"10.0.0.1:80": w(2)}}, PlanOptions{})
	for _, got := range []string{fmt.Sprint(err), strings.Join(cfg.Notes(), "\n")} {
		for _, want := range []string{`upstream "web"`, path + ":1", "outside of http and stream",
			"name the main file"} {
			if !strings.Contains(got, want) {
				t.Errorf("got %q, want it to say %q", got, want)
			}
		}
	}
	if len(cfg.Upstreams) != 0 {
		t.Errorf("got %d upstreams, want none: NGINX would refuse the file", len(cfg.Upstreams))
	}
}

func TestMethodsOfOtherModules(t *testing.T) {
	for _, c := range []struct {
		name, directives string
		method, note     string // note: part of the only note; empty: none
	}{
		{"round robin needs no word", "", "round_robin", ""},
		{"what NGINX itself knows is no method", "keepalive 16; zone u 64k; keepalive_requests 10;", "round_robin", ""},
		{"health checks are no method", "check interval=3000 rise=2 fall=5; check_http_send \"GET / HTTP/1.0\";",
			"round_robin", ""},
		{"a keepalive after the method leaves it", "least_conn; keepalive 16;", "least_conn", ""},
		{"consistent_hash moves clients", "consistent_hash $request_uri;", "consistent_hash", "move clients"},
		{"session_sticky moves clients", "session_sticky cookie=uid; session_sticky_hide_cookie upstream=u;",
			"session_sticky", "move clients"},
		{"jvm_route moves clients", "jvm_route $cookie_JSESSIONID;", "jvm_route", "move clients"},
		{"a hash moves clients", "hash $uri consistent;", "hash", "move clients"},
		{"vnswrr weighs as round robin does", "vnswrr;", "vnswrr", ""},
		{"iwrr weighs as round robin does", "iwrr;", "iwrr", ""},
		{"upsync brings other servers", "upsync 127.0.0.1:8500/v1/kv/x upsync_type=consul; upsync_dump_path /tmp/x;",
			"round_robin", "from elsewhere (upsync)"},
		{"dynamic_resolve brings other servers", "dynamic_resolve fallback=stale;", "round_robin",
			"from elsewhere (dynamic_resolve)"},
		{"what nobody knows is a method, and said to be", "prequal probes=3;", "prequal", "does not know"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := mustParse(t, "upstream u { "+c.directives+" server 10.0.0.1:80; server 10.0.0.2:80; }")
			if got := cfg.Upstreams[0].Method; got != c.method {
				t.Errorf("got method %q, want %q", got, c.method)
			}
			notes := cfg.Notes()
			if c.note == "" && len(notes) != 0 || c.note != "" &&
				(len(notes) != 1 || !strings.Contains(notes[0], c.note)) {
				t.Errorf("got notes %q, want %q", notes, c.note)
			}
			plan, err := cfg.Plan(Settings{"u": {"10.0.0.1:80": w(2), "10.0.0.2:80": w(1)}}, PlanOptions{})
			if err != nil || !slices.Equal(plan.Notes, notes) {
				t.Errorf("got %q, %v with the plan, want %q", plan.Notes, err, notes)
			}
		})
	}
}

// What check says of an upstream, and tune, is what a change then meets.
func TestEditableAndTunable(t *testing.T) {
	for _, c := range []struct {
		name, servers      string
		editable, tunable  string // what is said; empty: it is
		refusedOnTheMember bool   // a change of all servers is refused
	}{
		{"plain servers", "server 10.0.0.1:80; server 10.0.0.2:80;", "", "", false},
		{"one address written in two ways", "server 10.0.0.1:80; server 10.0.0.1; server 10.0.0.2:80;",
			"10.0.0.1:80 twice", "10.0.0.1:80 twice", true},
		{"host names may be edited, not tuned", "server a.test:80; server b.test:80;", "", "is a host name", false},
		{"a name beside addresses", "server 10.0.0.1:80; server localhost;", "", "is a host name", false},
		{"servers from elsewhere may be edited, not tuned", "upsync x; server 10.0.0.1:80; server 10.0.0.2:80;", "",
			"from elsewhere", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := mustParse(t, "upstream u { "+c.servers+" }")
			all := map[string]Setting{}
			for i, p := range cfg.Upstreams[0].Peers {
				all[p.Label()] = w(i + 2)
			}
			_, err := cfg.Plan(Settings{"u": all}, PlanOptions{})
			if (err != nil) != c.refusedOnTheMember || (cfg.Editable("u") != nil) != c.refusedOnTheMember {
				t.Errorf("got %v from the plan, %v from the check, want both to refuse: %t", err, cfg.Editable("u"),
					c.refusedOnTheMember)
			}
			for _, one := range []struct {
				err  error
				want string
			}{{cfg.Editable("u"), c.editable}, {cfg.Tunable("u"), c.tunable}} {
				if one.want == "" && one.err != nil || one.want != "" && !strings.Contains(fmt.Sprint(one.err),
					one.want) {
					t.Errorf("got %v, want %q", one.err, one.want)
				}
			}
		})
	}
}

func TestProportionsAreSaid(t *testing.T) {
	for _, c := range []struct {
		name, servers string
		want          map[string]Setting
		note          string
	}{
		{"one server", "server 10.0.0.1:80;", map[string]Setting{"10.0.0.1:80": w(5)}, "its weight means nothing, " +
			"and 5 stays 1"},
		{"a common factor", "server 10.0.0.1:80; server 10.0.0.2:80;", map[string]Setting{"10.0.0.1:80": w(2),
			"10.0.0.2:80": w(4)}, "2:4 is written as 1:2"},
		{"no common factor", "server 10.0.0.1:80; server 10.0.0.2:80;", map[string]Setting{"10.0.0.1:80": w(2),
			"10.0.0.2:80": w(3)}, ""},
		{"only one of two", "server 10.0.0.1:80; server 10.0.0.2:80;", map[string]Setting{"10.0.0.1:80": w(2)}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := mustParse(t, "upstream u { "+c.servers+" }").Plan(Settings{"u": c.want}, PlanOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(p.Notes, "\n"); c.note == "" && got != "" || !strings.Contains(got, c.note) {
				t.Errorf("got %q, want %q", got, c.note)
			}
		})
	}
}

// addresses are IPv6 addresses in all the forms that differ in how they are printed.
var addresses = []string{
	"::1:2", "::2:3", "::1", "::2", "::", "::ff", "::100", "::ab01", "::ab02", "::1:0", "::ffff:1.2.3.4", "::ffff:0:1",
	"1::", "1::2", "1:0:0:2::", "2001:db8::1", "2001:db8:0:1:1:1:1:1", "2001:db8:0:0:1:0:0:1", "0:0:1::", "0:1::",
	"fe80::1:2:3:4",
	"::1:2:3", "0:0:0:0:1:2:3:4", "1:2:3:4:5:6:7:0", "64:ff9b::1.2.3.4",
}

func TestPrintedIPv6ReadsBack(t *testing.T) {
	for _, text := range addresses {
		a := netip.MustParseAddr(text)
		if got, err := netip.ParseAddr(printedIPv6(a)); err != nil || got != a {
			t.Errorf("%s: got %s (%v), want the same address", text, printedIPv6(a), err)
		}
	}
	if got := printedAddress("[::1:2]", "http"); got != "[::0.1.0.2]:80" {
		t.Errorf("got %s, want [::0.1.0.2]:80", got)
	}
}

// NGINX itself prints every address in $upstream_addr, whether it can connect there or not.
func TestNGINXPrintsAddressesAsWeDo(t *testing.T) {
	binaryOrSkip(t)
	dir := t.TempDir()
	main, err := instance.Prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	ports, err := instance.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	front := fmt.Sprintf("127.0.0.1:%d", ports[0])
	var upstreams, locations strings.Builder
	for i, a := range addresses {
		fmt.Fprintf(&upstreams, "    upstream u%d { server [%s]:7 max_fails=0; }\n", i, a)
		fmt.Fprintf(&locations, "        location /%d { proxy_pass http://u%d; }\n", i, i)
	}
	conf := main + fmt.Sprintf(`worker_processes 1;
events {}
http {
%s    access_log off;
    proxy_connect_timeout 50ms;
    add_header X-Addr $upstream_addr always;
%s    server { listen %s;
%s    }
}
`, instance.HTTPPaths(dir), upstreams.String(), front, locations.String())
	n, err := instance.Start(t.Context(), dir, conf, front)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Stop()
	for i, a := range addresses {
		resp, err := http.Get(fmt.Sprintf("http://%s/%d", front, i))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if want := resp.Header.Get("X-Addr"); printedAddress("["+a+"]:7", "http") != want {
			t.Errorf("%s: got %s, NGINX prints %s", a, printedAddress("["+a+"]:7", "http"), want)
		}
	}
}

// Without inotify a configuration that is mended is noticed by the rescan.
func TestWithoutInotifyTheRescanGoesOn(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    error
		remedy string
	}{
		{"no instances left", os.NewSyscallError("inotify_init1", syscall.EMFILE), "max_user_instances"},
		{"no watches left", syscall.ENOSPC, "max_user_watches"},
		{"something else", syscall.ENOSYS, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := inotifyRemedy(c.err); c.remedy == "" && got != "" || !strings.Contains(got, c.remedy) {
				t.Errorf("got %q, want %q", got, c.remedy)
			}
			path := filepath.Join(t.TempDir(), "nginx.conf")
			write(t, path, "http {\n")
			watcher := &Watcher{Config: path, Settle: time.Millisecond, Rescan: 10 * time.Millisecond,
				notify: func() (*fsnotify.Watcher, error) { return nil, c.err }}
			if got := watcher.Look(); got == nil || got.Err == nil {
				t.Fatalf("got %+v, want that the configuration cannot be read", got)
			}
			changes := watched(t, watcher)
			replace(t, path, "http { upstream u { server 10.0.0.1; } }\n")
			if got := next(t, changes); got.Config == nil || len(got.Config.Upstreams) != 1 {
				t.Errorf("got %+v, want the configuration that was mended", got)
			}
		})
	}
}

// When the kernel's queue of signs overflows, everything is looked at.
func TestOverflowOfTheNotifierIsALook(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nginx.conf")
	write(t, path, "http { upstream u { server 10.0.0.1; } }\n")
	signs := make(chan *fsnotify.Watcher, 1)
	changes := watched(t, &Watcher{Config: path, Settle: time.Hour, Rescan: time.Hour,
		notify: func() (*fsnotify.Watcher, error) {
			w, err := fsnotify.NewWatcher()
			signs <- w
			return w, err
		}})
	notifier := <-signs
	notifier.Errors <- errors.New("the first look is over once this is received")
	replace(t, path, "http { upstream u { server 10.0.0.1; server 10.0.0.2; } }\n")
	notifier.Errors <- fsnotify.ErrEventOverflow
	if got := next(t, changes); got.Config == nil || len(got.Config.Upstreams[0].Peers) != 2 {
		t.Errorf("got %+v, want the new configuration", got)
	}
}
