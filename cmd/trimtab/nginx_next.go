package main

import (
	"strings"

	"trimtab/daemon"
)

// asGiven are the flags that lead another command to the same NGINX, with a blank before each; empty: the usual one.
func (f *nginxFlags) asGiven() string {
	var b strings.Builder
	for _, w := range []struct{ flag, value, usual string }{
		{"-c", f.config, daemon.DefaultNginxConfig}, {"--nginx", f.binary, "nginx"}, {"--prefix", f.prefix, ""},
		{"--pid-file", f.pidFile, ""}, {"--state-dir", f.stateDir, ""}, {"--status", f.status, ""},
	} {
		if w.value != w.usual && w.value != "" {
			b.WriteString(" " + w.flag + " " + quoted(w.value))
		}
	}
	if f.proxied {
		b.WriteString(" --status-proxied")
	}
	return b.String()
}

// testAndReload are NGINX's own commands for this NGINX.
func (f *nginxFlags) testAndReload() string {
	return f.ownCommand("-t") + " && " + f.ownCommand("-s reload")
}

func (f *nginxFlags) ownCommand(what string) string {
	binary := f.binary
	if binary == "" {
		binary = "nginx"
	}
	text := quoted(binary) + " " + what
	if f.prefix != "" {
		text += " -p " + quoted(f.prefix)
	}
	if f.config != "" && f.config != daemon.DefaultNginxConfig {
		text += " -c " + quoted(f.config)
	}
	return text
}
