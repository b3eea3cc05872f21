package rates_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trimtab/nginx"
	"trimtab/nginx/instance"
	"trimtab/nginx/rates"
)

// bed is an NGINX whose operator limits upstream u to 200 requests per second, and clients of v one by one.
type bed struct {
	*instance.Instance
	url       string
	old       string
	admission *rates.Admission
	offered   float64
}

func newBed(t *testing.T) *bed {
	t.Helper()
	if _, err := instance.Binary(t.Context()); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	main, err := instance.Prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	ports, err := instance.FreePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{old: main + fmt.Sprintf(`worker_processes 1;
events {}
http {
%s    access_log off;
    limit_req_zone $server_name zone=whole:64k rate=200r/s; # the operator's own
    limit_req_zone $binary_remote_addr zone=each:64k rate=100r/s;
    limit_req_zone $server_name zone=idle:64k rate=100r/s;
    limit_req_status 429;
    upstream u { server 127.0.0.1:%[3]d; }
    server { listen 127.0.0.1:%[2]d; server_name front;
        location / { limit_req zone=whole burst=20 nodelay; proxy_pass http://u; }
        location /each { limit_req zone=each; proxy_pass http://u; }
    }
    server { listen 127.0.0.1:%[3]d; location / { return 200 ok; } }
}
`, instance.HTTPPaths(dir), ports[0], ports[1])}
	front := fmt.Sprintf("127.0.0.1:%d", ports[0])
	if b.Instance, err = instance.Start(t.Context(), dir, b.old, front); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	b.url = "http://" + front
	b.admission = &rates.Admission{
		Applier: &nginx.Applier{Config: b.Config, StateDir: filepath.Join(t.TempDir(), "state"), Binary: b.Binary,
			Prefix: b.Dir, PIDFile: b.PIDFile()},
		Zones: map[string]string{"u": "whole", "v": "each", "w": "idle", "x": "missing"},
		Offered: func(string) float64 {
			return b.offered
		},
	}
	return b
}

func (b *bed) text(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(b.Config)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheDigitsOfARate(t *testing.T) {
	b := newBed(t)
	is := func(what string, rate int) {
		t.Helper()
		if got, want := b.text(t), strings.Replace(b.old, "rate=200r/s; #", fmt.Sprintf("rate=%dr/s; #", rate),
			1); got != want {
			t.Errorf("%s: got\n%s\nwant only the digits to be %d", what, got, rate)
		}
	}
	b.offered = 40
	if err := b.admission.Admit(t.Context(), map[string]float64{"u": 0.75}); err != nil {
		t.Fatal(err)
	}
	is("a quarter of 40/s", 10)
	// 10/s and a burst of 20: of 60 requests at once some 20 pass.
	ok, refused := 0, 0
	client := http.Client{Timeout: 5 * time.Second}
	for range 60 {
		resp, err := client.Get(b.url)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		switch resp.StatusCode {
		case http.StatusOK:
			ok++
		case http.StatusTooManyRequests:
			refused++
		}
	}
	if ok < 20 || ok > 40 || refused < 20 {
		t.Errorf("%d passed and %d were refused of 60 at once, want NGINX to go by 10/s with a burst of 20", ok,
			refused)
	}
	b.offered = 1000
	if err := b.admission.Admit(t.Context(), map[string]float64{"u": 0.1}); err != nil {
		t.Fatal(err)
	}
	is("nine tenths of 1000/s are more than the operator's limit", 200)
	b.offered = 100
	if err := b.admission.Admit(t.Context(), map[string]float64{"u": 0.5}); err != nil {
		t.Fatal(err)
	}
	is("half of 100/s", 50)
	if err := b.admission.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	is("released", 200)
}

func TestTheOperatorsDigitsWin(t *testing.T) {
	b := newBed(t)
	b.offered = 100
	if err := b.admission.Admit(t.Context(), map[string]float64{"u": 0.5}); err != nil {
		t.Fatal(err)
	}
	edited := strings.Replace(b.text(t), "rate=50r/s", "rate=70r/s", 1)
	if err := os.WriteFile(b.Config, []byte(edited), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := b.admission.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := b.text(t); got != edited {
		t.Errorf("a release changed what the operator had written meanwhile:\n%s", got)
	}
	if err := b.admission.Admit(t.Context(), map[string]float64{"u": 0.1}); err != nil {
		t.Fatal(err)
	}
	if got := b.text(t); got != edited {
		t.Errorf("nine tenths of 100/s are more than his new limit of 70: got\n%s", got)
	}
}

func TestRatesThatAreRefused(t *testing.T) {
	b := newBed(t)
	b.offered = 100
	for _, c := range []struct {
		name    string
		blocked map[string]float64
		offered float64
		want    string
	}{
		{"a zone that limits clients one by one", map[string]float64{"v": 0.5}, 100, "one by one"},
		{"a zone that nothing uses", map[string]float64{"w": 0.5}, 100, "no limit_req uses it"},
		{"a zone that is not there", map[string]float64{"x": 0.5}, 100, `no limit_req_zone "missing"`},
		{"an upstream without a zone", map[string]float64{"y": 0.5}, 100, "no limit_req_zone is named"},
		{"what is offered is not known", map[string]float64{"u": 0.5}, 0, "not known"},
		{"more than everything", map[string]float64{"u": 2}, 100, "0 to 1"},
		{"one of two", map[string]float64{"u": 0.5, "v": 0.5}, 100, "one by one"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b.offered = c.offered
			err := b.admission.Admit(t.Context(), c.blocked)
			if refusal := (*nginx.Refusal)(nil); !errors.As(err, &refusal) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want a refusal with %q", err, c.want)
			}
			if got := b.text(t); got != b.old {
				t.Errorf("something was written:\n%s", got)
			}
		})
	}
}
