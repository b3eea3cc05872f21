package setup

import (
	"fmt"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// Settings are what a first configuration says.
type Settings struct {
	NGINX     NGINX
	StatusURL string
	Proxied   bool   // the page comes through another program
	Actuator  string // reload, live or dns
	Address   string // live: of the control call
	TokenFile string // live
	DNSListen string // dns
	Names     map[string]string
	Upstreams []string      // to tune; empty: all
	Observe   time.Duration // before the first change
	StateDir  string
	Listen    string
}

// Marker begins the first line of a configuration that Text has written.
const Marker = "# Written by trimtab init"

// Text is the configuration as trimtab.toml, with comments; at is the moment.
func Text(s Settings, at time.Time) string {
	var b strings.Builder
	line := func(comment, key string, value any) {
		text, err := toml.Marshal(map[string]any{key: value})
		if err != nil {
			return
		}
		fmt.Fprintf(&b, "%-60s # %s\n", strings.TrimSpace(string(text)), comment)
	}
	fmt.Fprintf(&b, "%s on %s, for NGINX %d.%d.%d (process %d). trimtab init --undo takes it back.\n", Marker, at.Format(time.DateOnly),
		s.NGINX.Version[0], s.NGINX.Version[1], s.NGINX.Version[2], s.NGINX.PID)
	b.WriteString("# What is not here has its default; all keys: man trimtab.toml. Check: trimtab doctor. Send SIGHUP to take over changes.\n\n")
	line("at the first start, observe so long and change nothing", "observe_first", s.Observe.String())
	line("what was learned, backups, the lock; one folder per daemon", "state_dir", s.StateDir)
	line("the page, metrics and explanations; for root", "listen", s.Listen)
	b.WriteString("\n[status]\n")
	line("the status page: counters of every server", "url", s.StatusURL)
	if s.Proxied {
		line("it comes through another program: whose it is, is not checked", "proxied", true)
	}
	b.WriteString("\n[nginx]\n")
	line("main configuration file", "config", s.NGINX.Config)
	if !s.NGINX.Contained {
		line("for nginx -t", "binary", s.NGINX.Binary)
	}
	if s.NGINX.Prefix != "" {
		line("nginx -p", "prefix", s.NGINX.Prefix)
	}
	if len(s.Upstreams) > 0 {
		line("the upstreams to tune", "only", s.Upstreams)
	}
	b.WriteString("\n[actuator]\n")
	switch s.Actuator {
	case "dns":
		line("NGINX asks Trimtab for weights: no reload", "kind", "dns")
		line("where NGINX asks", "dns_listen", s.DNSListen)
		for upstream, name := range s.Names {
			fmt.Fprintf(&b, "\n[[actuator.members]]\n")
			line("whose servers come from a name", "upstream", upstream)
			line("which Trimtab resolves", "name", name)
		}
	case "live":
		line("a call into NGINX sets weights: no reload", "kind", "live")
		line("of the call", "address", s.Address)
		line("its secret", "token_file", s.TokenFile)
	default:
		line("the digits of weight= are edited and NGINX is reloaded", "kind", "reload")
	}
	return b.String()
}
