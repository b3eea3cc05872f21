package setup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trimtab/nginx"
)

// What was made goes, what was changed since stays and is named, and what was replaced comes back.
func TestUndo(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(at(name), []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	write("replaced", "before")
	write("edited", "before")
	var r Record
	for _, name := range []string{"replaced", "edited", "sub/made"} {
		if err := r.WriteFile(at(name), []byte("by init"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r.Note(at("link"), at("never"))
	if err := os.Symlink("replaced", at("link")); err != nil {
		t.Fatal(err)
	}
	r.Made()
	if err := r.Save(at("record.json")); err != nil {
		t.Fatal(err)
	}
	write("edited", "by somebody")
	again, err := ReadRecord(at("record.json"))
	if err != nil {
		t.Fatal(err)
	}
	kept, err := again.Undo()
	if err != nil || len(kept) != 1 || kept[0] != at("edited")+" was changed since" {
		t.Errorf("got %q, %v, want the edited file to be left alone", kept, err)
	}
	for name, want := range map[string]string{"replaced": "before", "edited": "by somebody"} {
		if got, err := os.ReadFile(at(name)); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
	}
	for _, name := range []string{"sub", "link", "never"} {
		if _, err := os.Lstat(at(name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
}

func TestArgumentsOfATitle(t *testing.T) {
	for _, c := range []struct{ name, title, config, prefix string }{
		{"no option", "nginx: master process /usr/sbin/nginx", "", ""},
		{"as Debian's unit starts it", "nginx: master process /usr/sbin/nginx -g daemon on; master_process on;", "", ""},
		{"configuration and prefix", "nginx: master process nginx -p /opt/lb -c conf/lb.conf", "conf/lb.conf", "/opt/lb"},
		{"an option without its word", "nginx: master process nginx -c", "", ""},
		{"padded with zeros", "nginx: master process nginx -c /a.conf\x00\x00\x00", "/a.conf", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if config, prefix := arguments(c.title); config != c.config || prefix != c.prefix {
				t.Errorf("got %q, %q, want %q, %q", config, prefix, c.config, c.prefix)
			}
		})
	}
}

func FuzzParseAddr(f *testing.F) {
	f.Add("0100007F:1F90")
	f.Add("00000000000000000000000001000000:0050")
	f.Fuzz(func(t *testing.T, text string) {
		if a, ok := parseAddr(text); ok && !a.IsValid() {
			t.Errorf("parseAddr(%q) = %v, which is none", text, a)
		}
	})
}

func TestLocationsOfThePage(t *testing.T) {
	text := "server { location /a { return 200; }\n location = /vts { auth_basic off;\n vhost_traffic_status_display; vhost_traffic_status_display_format json; } }"
	m := pageLocation.FindAllStringSubmatch(text, -1)
	if len(m) != 1 || m[0][1] != "/vts" {
		t.Errorf("got %q, want /vts", m)
	}
	if got := Pages(t.Context(), NGINX{}, &nginx.Config{}); len(got) != 0 {
		t.Errorf("got %q of an NGINX that listens nowhere, want none", got)
	}
}

func TestTextSaysWhatWasFound(t *testing.T) {
	text := Text(Settings{NGINX: NGINX{PID: 7, Version: [3]int{1, 30, 6}, Config: "/etc/nginx/nginx.conf", Binary: "/usr/sbin/nginx"},
		StatusURL: "http://127.0.0.1:8081/status/format/json", Actuator: "dns", DNSListen: "127.0.0.1:5653", Observe: time.Minute,
		StateDir: "/var/lib/trimtab", Upstreams: []string{"a", "b"}}, time.Unix(0, 0))
	for _, want := range []string{Marker, "observe_first = \"1m0s\"", "only = [\"a\", \"b\"]", "kind = \"dns\"", "1.30.6"} {
		if !strings.Contains(text, want) {
			t.Errorf("got %s, want %q in it", text, want)
		}
	}
}
