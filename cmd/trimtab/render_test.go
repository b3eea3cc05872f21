package main

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"trimtab/nginx"
)

// render writes another nginx.conf in the place of the bed's and reloads, as a generator does.
func (b *bed) render(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(b.Config+".new", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(b.Config+".new", b.Config); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(b.PID, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// settings adds a line to the section [nginx] of the daemon's configuration.
func (b *bed) settings(t *testing.T, line string) {
	t.Helper()
	text, err := os.ReadFile(b.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.config, []byte(strings.Replace(string(text), "[nginx]\n", "[nginx]\n"+line+"\n", 1)),
		0o600); err != nil {
		t.Fatal(err)
	}
}

// What on_render answers to a generator that writes the operator's weights again, on a real NGINX.
func TestE2ERendersOfAGenerator(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		want         int    // weight of the first server in the end; the others have 1
		said         string // in the log
	}{
		{"what was learned is kept", "keep learned", 1, "what was learned is in force again after a render"},
		{"it is a new base, and tuned again", "new base", 1, "weights changed"},
		{"the upstream is left alone", "hold", 3, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := startOrdersBed(t, "reload", "equal", "", answerOK)
			b.settings(t, `on_render = "`+c.answer+`"`)
			plain, err := os.ReadFile(b.Config)
			if err != nil {
				t.Fatal(err)
			}
			rendered := strings.Replace(string(plain), "server "+b.servers[0]+";",
				"server "+b.servers[0]+" weight=3;", 1)
			b.render(t, rendered)
			shown := func(weight int) func() bool {
				return func() bool { return b.peers(t)[b.servers[0]].Weight == weight }
			}
			await(t, "the operator's weights", shown(3))
			_, log, stop := start(t, "tune", "--config", b.config)
			defer func() {
				if t.Failed() {
					text, _ := os.ReadFile(b.Config)
					t.Logf("%s\n%s\n%v", log, text, b.peers(t))
				}
			}()
			await(t, "what is learned", func() bool {
				return shown(1)() && strings.Contains(log.String(), "weights changed")
			})
			before := log.String()
			b.render(t, rendered+"# rendered\n")
			if c.want == 3 {
				await(t, "the operator's weights again", shown(3))
				await(t, "the upstream to be left alone", func() bool {
					out := new(buffer)
					return run(t.Context(), []string{"explain", "--config", b.config}, out, out) == 0 && shown(3)()
				})
			} else {
				await(t, "what is said of it", func() bool {
					return strings.Contains(strings.TrimPrefix(log.String(), before), c.said)
				})
			}
			await(t, "the weights in the end", shown(c.want))
			if code := stop(); code != 0 {
				t.Errorf("stopped: code %d", code)
			}
			cfg, err := nginx.ReadConfig(b.Config)
			if err != nil {
				t.Fatal(err)
			}
			if got := cfg.Upstreams[0].Peers[0].Weight; got != c.want {
				t.Errorf("in the file: got weight %d, want %d", got, c.want)
			}
			if text, err := os.ReadFile(b.Config); err != nil || !strings.HasSuffix(string(text), "# rendered\n") {
				t.Errorf("the generator's text is not there any more: %v", err)
			}
		})
	}
}

// Two NGINX on a machine, each with a daemon: neither refuses the other.
func TestE2ETwoNGINX(t *testing.T) {
	var beds []*bed
	var stops []func() int
	for range 2 {
		b := startOrdersBed(t, "reload", "equal", "", answerOK)
		plain, err := os.ReadFile(b.Config)
		if err != nil {
			t.Fatal(err)
		}
		b.render(t, strings.Replace(string(plain), "server "+b.servers[1]+";", "server "+b.servers[1]+" weight=7;", 1))
		await(t, "the operator's weights", func() bool { return b.peers(t)[b.servers[1]].Weight == 7 })
		_, log, stop := start(t, "tune", "--config", b.config)
		await(t, "the daemon", func() bool { return strings.Contains(log.String(), "msg=started") })
		beds, stops = append(beds, b), append(stops, stop)
	}
	for i, b := range beds {
		await(t, "equal weights", func() bool { return b.peers(t)[b.servers[1]].Weight == 1 })
		if code := stops[i](); code != 0 {
			t.Errorf("NGINX %d: the daemon stopped with code %d", i+1, code)
		}
	}
}
