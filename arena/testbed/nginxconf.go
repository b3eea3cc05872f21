package testbed

import (
	"fmt"
	"strings"
	"text/template"

	"trimtab/deathstarbench"
	"trimtab/nginx/dns"
	"trimtab/nginx/instance"
)

// confTemplate is the configuration of the testbed's NGINX. Its upstream groups look as an operator would write them:
// they are what the tuner edits.
var confTemplate = template.Must(template.New("nginx.conf").Parse(
	`# Written by trimtab for its testbed; scenario {{.Scenario}}.
{{.Modules}}{{.Main}}worker_processes auto;
worker_rlimit_nofile 65536;
worker_shutdown_timeout 30s;

events {
    worker_connections 8192;
}

http {
{{.Paths}}    access_log off;
    keepalive_requests 1000000;
    client_body_buffer_size 64k;
    include {{.ShimHTTP}};
{{range .Groups}}    upstream {{.Name}} {
{{- if .LeastConn}}
        least_conn;
{{- end}}
        zone {{.Name}} 256k;
{{- if $.DNS}}
        resolver {{$.DNS}} ipv6=off; resolver_timeout 1s;
        server {{.Host}} service=http resolve;
{{- end}}
{{- range .Servers}}
        server {{.Addr}} weight={{.Weight}}{{if $.DNS}} backup{{end}};
{{- end}}
        keepalive 256;
    }

{{end}}    server {
        listen {{.Listen}} backlog=4096;
        server_name localhost;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_read_timeout {{.ReadTimeout}}s;
{{range .Locations}}
        location {{.Path}} {
{{- if .Admission}}
            include {{.Admission}};
{{- end}}
            proxy_pass http://{{.Group}};
        }
{{- end}}
        include {{.ShimServer}};
    }
}
`))

type confServer struct {
	Addr   string
	Weight int
}

type confGroup struct {
	Name      string
	Host      string // its name in DNS
	LeastConn bool
	Servers   []confServer
}

type confLocation struct{ Path, Group, Admission string }

// includes are the files that a configuration includes: in its http block, in its server, and in the locations of
// upstreams.
type includes struct {
	http, server string
	admission    map[string]string
}

// nginxConf renders the configuration for the scenario; addr gives a server's address by its name. resolver is where
// NGINX asks for the weights; empty: they stand in the file.
func nginxConf(dir, listen, resolver string, sc *deathstarbench.Scenario, addr func(server string) string,
	files includes) (string, error) {
	modules, err := instance.LuaModules()
	if err != nil {
		return "", err
	}
	mainLines, err := instance.Prepare(dir)
	if err != nil {
		return "", err
	}
	data := struct {
		Scenario, Modules, Main, Paths, Listen, DNS, ShimHTTP, ShimServer string
		// clients give up first, as in the simulator
		ReadTimeout int
		Groups      []confGroup
		Locations   []confLocation
	}{
		Scenario: sc.Name, Modules: modules, Main: mainLines, Paths: instance.HTTPPaths(dir), Listen: listen,
		DNS:      resolver,
		ShimHTTP: files.http, ShimServer: files.server,
		ReadTimeout: max(60, int(sc.Timeout.Std().Seconds())+30),
	}
	for _, u := range sc.Upstreams {
		g := confGroup{Name: u.Name, Host: dns.Host(u.Name, dns.DefaultZone),
			LeastConn: u.Method == deathstarbench.LeastConn}
		for i, name := range u.Servers {
			weight := 1
			if i < len(u.Weights) {
				weight = u.Weights[i]
			}
			g.Servers = append(g.Servers, confServer{Addr: addr(name), Weight: weight})
		}
		data.Groups = append(data.Groups, g)
		data.Locations = append(data.Locations, confLocation{Path: location(sc, u.Workload), Group: u.Name,
			Admission: files.admission[u.Name]})
	}
	// Set-up calls of the social network (register, follow) go to the first group.
	if len(sc.Upstreams) > 0 {
		data.Locations = append(data.Locations, confLocation{Path: "/wrk2-api/user/", Group: sc.Upstreams[0].Name})
	}
	var b strings.Builder
	if err := confTemplate.Execute(&b, data); err != nil {
		return "", fmt.Errorf("render nginx.conf: %w", err)
	}
	return b.String(), nil
}

// location is what follows the word location for requests of a workload.
func location(sc *deathstarbench.Scenario, workload string) string {
	own := sc.Own(workload)
	if own == nil {
		return deathstarbench.Path(workload)
	}
	path, whole := own.Location()
	if whole {
		return "= " + path
	}
	return "^~ " + path
}
