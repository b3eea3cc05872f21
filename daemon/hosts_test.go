package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trimtab/control"
	"trimtab/vts"
)

func TestHostsAreReadAndNeverWaitedFor(t *testing.T) {
	n := 0.0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n++
		fmt.Fprintf(w, "node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} "+
			"%g\nnode_cpu_seconds_total{cpu=\"0\",mode=\"user\"} %g\n", n, 3*n)
	}))
	defer srv.Close()
	cfg := Defaults()
	if h, err := newHosts(cfg, slog.New(slog.DiscardHandler)); h != nil || err != nil ||
		HostSamples(h, time.Now()) != nil {
		t.Errorf("without [[host]]: got %v, %v, want none", h, err)
	}
	cfg.Host = []HostConfig{{Server: "10.0.0.1:80", URL: srv.URL},
		{Server: "10.0.0.2:80", URL: "http://127.0.0.1:1/metrics"}}
	if errs := cfg.checkHosts(); len(errs) > 0 {
		t.Fatal(errors.Join(errs...))
	}
	h, err := newHosts(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	h.Step(t.Context())
	h.Step(t.Context())
	now := time.Now()
	got := HostSamples(h, now)
	if len(got) != 1 || got[0].Server != "10.0.0.1:80" || got[0].CPU != 0.75 || got[0].Memory != -1 {
		t.Errorf("samples: got %+v, want 0.75 busy of the one that answers", got)
	}
	if late := HostSamples(h, now.Add(time.Hour)); len(late) != 0 {
		t.Errorf("an hour later: got %+v, want none", late)
	}
	registry := prometheus.NewRegistry()
	m := newLoopMetrics(registry)
	series := func() string {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, f := range families {
			if strings.HasPrefix(f.GetName(), "trimtab_host_") {
				fmt.Fprintln(&b, f)
			}
		}
		return b.String()
	}
	m.Step(&vts.Sample{Hosts: got}, "", control.Outcome{}, nil, 0, nil)
	if text := series(); !strings.Contains(text, "trimtab_host_cpu_ratio") || strings.Contains(text, "memory") {
		t.Errorf("series: got %s, want the processors' only", text)
	}
	m.Step(&vts.Sample{}, "", control.Outcome{}, nil, 0, nil)
	if text := series(); text != "" {
		t.Errorf("series of a machine that says nothing any more: got %s, want none", text)
	}
}

func TestHostsInTheConfigurationAreChecked(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a good one", "[[host]]\nserver = \"a:80\"\nurl = \"http://a:9100/metrics\"\n", ""},
		{"no URL", "[[host]]\nserver = \"a:80\"\n", "host 1: url"},
		{"no server", "[[host]]\nurl = \"http://a:9100/metrics\"\n", "host 1: server"},
		{"a file", "[[host]]\nserver = \"a:80\"\nurl = \"file:///etc/passwd\"\n", "host 1: url"},
		{"one twice", strings.Repeat("[[host]]\nserver = \"a:80\"\nurl = \"http://a:9100/metrics\"\n", 2),
			"there twice"},
		{"an unknown key", "[[host]]\nserver = \"a:80\"\nurl = \"http://a:9100/metrics\"\nport = 1\n", "unknown key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseConfig("trimtab.toml", c.text)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("got %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}
