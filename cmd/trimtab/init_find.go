package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"trimtab/nginx"
	"trimtab/nginx/dns"
	"trimtab/nginx/live"
	"trimtab/nginx/lua"
	"trimtab/plain"
	"trimtab/setup"
)

// findNGINX finds the master that is meant and reads its configuration.
func (s *setting) findNGINX(ctx context.Context) error {
	all, err := setup.Find(ctx)
	if err != nil {
		return withCode(exitConfig, err)
	}
	found := all
	if s.flags.nginxConfig != "" {
		found = slices.DeleteFunc(slices.Clone(all), func(n setup.NGINX) bool {
			return !sameFile(n.Config, s.flags.nginxConfig)
		})
	}
	if own := slices.DeleteFunc(slices.Clone(found), func(n setup.NGINX) bool { return n.Contained }); len(own) == 1 {
		found = own // the others are containers'
	}
	switch {
	case len(found) == 0 && len(all) == 0:
		return withCode(exitConfig, errors.New("no NGINX runs here: start it (systemctl start nginx), then run "+
			"init again"))
	case len(found) == 0:
		return withCode(exitConfig, fmt.Errorf("no running NGINX has %s: there is %s", s.flags.nginxConfig,
			listed(all)))
	case len(found) > 1:
		return withCode(exitUsage, fmt.Errorf("%d NGINX run here: say which with --nginx-config: %s", len(found),
			listed(found)))
	}
	s.nginx = found[0]
	n := s.nginx
	where := ""
	if n.Contained {
		where = ", in a container"
	}
	s.row("NGINX", "%d.%d.%d, process %d%s, %s", n.Version[0], n.Version[1], n.Version[2], n.PID, where, n.Config)
	if s.loaded, err = nginx.ReadConfig(n.Config); err != nil {
		return withCode(exitConfig, err)
	}
	return nil
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return a == b
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

func listed(all []setup.NGINX) string {
	var out []string
	for _, n := range all {
		out = append(out, fmt.Sprintf("%s (process %d)", n.Config, n.PID))
	}
	return strings.Join(out, ", ")
}

// chooseUpstreams says which upstreams are tuned.
func (s *setting) chooseUpstreams(context.Context) error {
	var can []string
	for _, u := range s.loaded.Upstreams {
		why := s.loaded.Editable(u.Name)
		if dns.Installed(u, dns.DefaultZone) {
			why = nil
		}
		if why == nil && len(u.Peers) < 2 {
			why = errors.New("it has one server")
		}
		if why != nil {
			s.row("left alone", "%s: %v", u.Name, why)
			continue
		}
		can = append(can, u.Name)
		s.row("upstream", "%s: %s, %s", u.Name, u.MethodText(), plain.Count(len(u.Peers), "server"))
	}
	if len(can) == 0 {
		return withCode(exitRefused, fmt.Errorf("no upstream in %s can be tuned: it takes an upstream { } block with "+
			"two servers to which requests are passed", s.nginx.Config))
	}
	chosen := s.flags.upstreams
	if len(chosen) == 0 {
		answer, err := s.ask.text("Which upstreams are to be tuned, separated by blanks?", strings.Join(can, " "))
		if err != nil {
			return err
		}
		chosen = strings.Fields(answer)
	}
	for _, name := range chosen {
		if !slices.Contains(can, name) {
			return withCode(exitUsage, fmt.Errorf("upstream %q cannot be tuned: want some of %s", name,
				strings.Join(can, ", ")))
		}
	}
	if s.chosen = chosen; len(chosen) < len(can) {
		s.made.Upstreams = chosen
	}
	s.record.Weights = nginx.Settings{}
	for _, u := range s.loaded.Upstreams {
		if slices.Contains(chosen, u.Name) {
			s.record.Weights[u.Name] = map[string]nginx.Setting{}
			for _, p := range u.Peers {
				s.record.Weights[u.Name][p.Address] = nginx.Setting{Weight: p.Weight, Down: p.Down}
			}
		}
	}
	return nil
}

// findPage finds the status page, or installs the shim.
func (s *setting) findPage(ctx context.Context) error {
	if s.flags.status != "" {
		s.made.StatusURL = s.flags.status
		s.row("status page", "%s", s.made.StatusURL)
		return nil
	}
	if pages := setup.Pages(ctx, s.nginx, s.loaded); len(pages) > 0 {
		s.made.StatusURL = pages[0]
		s.row("status page", "%s", s.made.StatusURL)
		return nil
	}
	if s.nginx.Contained {
		return withCode(exitTelemetry, errors.New("this NGINX shows no status page that is reached from here: add "+
			"nginx-module-vts or the shim (trimtab nginx shim install) to its image, publish the page on loopback, "+
			"and name it with --status"))
	}
	return s.installShim(ctx)
}

// shimFolders are where distributions include what belongs into the http block.
var shimFolders = []string{"conf.d", "http.d", "vhosts.d", "sites-enabled"}

func (s *setting) installShim(ctx context.Context) error {
	folder := ""
	for _, name := range shimFolders {
		for _, p := range s.loaded.Patterns {
			if dir := filepath.Dir(p); folder == "" && filepath.Base(dir) == name && matches(p, "trimtab-status.conf") {
				folder = dir
			}
		}
	}
	if folder == "" {
		return withCode(exitRefused, fmt.Errorf("%s includes no folder such as conf.d/*.conf: run trimtab nginx shim "+
			"install -c %s, add the line that it prints, and run init again", s.nginx.Config, s.nginx.Config))
	}
	address, err := freeAddress(8081, 8099)
	if err != nil {
		return withCode(exitConfig, err)
	}
	s.row("status page", "none is found. Trimtab can install one at %s: files in %s, a link in %s, and a "+
		"reload of NGINX", shimURL(address),
		filepath.Join(filepath.Dir(s.nginx.Config), "trimtab"), folder)
	if agreed, err := s.ask.agree("Install it?"); err != nil || !agreed {
		return cmpErr(err, withCode(exitTelemetry, errors.New("without a status page nothing can be tuned: name one "+
			"with --status")))
	}
	if s.made.StatusURL = shimURL(address); s.flags.dryRun {
		return nil
	}
	shim := shimInstall{dir: filepath.Join(filepath.Dir(s.nginx.Config), "trimtab"), enable: folder, listen: address,
		binary: s.nginx.Binary, config: s.nginx.Config}
	s.noteShim(shim)
	quiet := *s.env
	quiet.stdout = &indented{s.env.stdout}
	if err := shim.run(ctx, &quiet); err != nil {
		return err
	}
	s.record.Reload = true
	if err := syscall.Kill(s.nginx.PID, syscall.SIGHUP); err != nil {
		return withCode(exitReload, fmt.Errorf("reload NGINX: %w", err))
	}
	s.row("status page", "installed, NGINX reloaded")
	return s.waitForPage(ctx)
}

// noteShim notes the files that the shim is made of, before they are there.
func (s *setting) noteShim(i shimInstall) {
	if _, err := os.Stat(i.dir); err != nil {
		s.record.Steps = append(s.record.Steps, setup.Step{Path: i.dir, Kind: "folder"})
	}
	files, err := lua.Status{Dir: i.dir, Listen: i.listen}.Files()
	if err == nil {
		s.record.Note(slices.Sorted(maps.Keys(files))...)
	}
	s.record.Note(filepath.Join(i.enable, "trimtab-status.conf"))
}

// waitForPage waits until the workers that have the page answer.
func (s *setting) waitForPage(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		page, end, err := freshStatus(s.made.StatusURL, s.nginx.Config)
		if err != nil {
			return err
		}
		_, err = page(ctx)
		end()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return withCode(exitTelemetry, fmt.Errorf("the page at %s does not answer after the reload: %w: see "+
				"NGINX's error log", s.made.StatusURL, err))
		case <-tick.C:
		}
	}
}

// chooseActuator chooses how weights are changed, and installs what that needs.
func (s *setting) chooseActuator(ctx context.Context) error {
	kind, why := s.flags.actuator, "as asked"
	if kind == auto {
		kind, why = s.bestActuator(ctx)
		answer, err := s.ask.text(fmt.Sprintf("How are weights to be changed: reload, live or dns? (%s: %s)", kind,
			why), kind)
		if err != nil {
			return err
		}
		kind = answer
	}
	s.made.Actuator = kind
	s.row("weights by", "%s: %s", kind, why)
	switch kind {
	case "reload":
		if s.nginx.Contained {
			return withCode(exitRefused, errors.New("files in a container cannot be edited from here: want "+
				"--actuator dns or live, or run Trimtab beside NGINX in the container"))
		}
		return nil
	case "dns":
		return s.byDNS(ctx)
	case "live":
		s.made.Address, s.made.TokenFile = liveAddress, filepath.Join(filepath.Dir(s.nginx.Config), "trimtab", "token")
		return s.liveReady(ctx)
	}
	return withCode(exitUsage, fmt.Errorf("actuator %q: want reload, live or dns", kind))
}

// bestActuator is the way that needs the least and costs the least on this version.
func (s *setting) bestActuator(ctx context.Context) (kind, why string) {
	v := s.nginx.Version
	if slices.Compare(v[:], dns.FirstVersion[:]) < 0 {
		return "reload", fmt.Sprintf("NGINX %d.%d.%d takes no weights by DNS", v[0], v[1], v[2])
	}
	in, err := dns.Plan(ctx, s.loaded, dns.InstallOptions{Upstreams: s.chosen})
	switch {
	case err != nil:
		return "reload", "dns is not possible: " + err.Error()
	case len(in.Skipped) > 0:
		return "reload", "dns is not possible for all: " + strings.Join(in.Skipped, "; ")
	case s.nginx.Contained && len(in.State) > 0:
		return "dns", "no reload; the lines have to be added to the container's files"
	}
	return "dns", "no reload, no module"
}

// byDNS has upstreams take their weights by DNS.
func (s *setting) byDNS(ctx context.Context) error {
	s.made.DNSListen = dns.DefaultListen
	opt := dns.InstallOptions{Upstreams: s.chosen}
	in, err := dns.Plan(ctx, s.loaded, opt)
	if err != nil {
		return withCode(applyCode(err), err)
	}
	s.made.Names = in.Names
	if len(in.State) == 0 {
		s.row("", "its upstreams take their weights by DNS already")
		return nil
	}
	flags := nginxFlags{config: s.nginx.Config, binary: s.nginx.Binary, prefix: s.nginx.Prefix,
		stateDir: filepath.Join(s.stateDir(), "nginx")}
	where := dnsFlags{listen: dns.DefaultListen, zone: dns.DefaultZone, state: filepath.Join(s.stateDir(), "dns.json")}
	out := *s.env
	out.stdout = &indented{s.env.stdout}
	if !s.ask.yes || s.flags.dryRun {
		if err := installDNS(ctx, &out, flags, where, opt, false, false,
			"trimtab nginx dns install --write"); err != nil {
			return err
		}
	}
	if s.flags.dryRun {
		return nil
	}
	if agreed, err := s.ask.agree("Write this change and reload NGINX?"); err != nil || !agreed {
		return cmpErr(err, withCode(exitRefused, errors.New("nothing was changed: want --actuator reload for an "+
			"NGINX whose files stay as they are until they are tuned")))
	}
	s.record.DNS = true
	return installDNS(ctx, &out, flags, where, opt, true, false, "")
}

// liveReady wants live weights to be installed: that takes lines in the operator's files.
func (s *setting) liveReady(ctx context.Context) error {
	l, err := live.New(live.Config{Address: s.made.Address, TokenFile: s.made.TokenFile})
	if err == nil {
		_, err = l.State(ctx)
	}
	if err != nil {
		flags := nginxFlags{config: s.nginx.Config}
		return withCode(exitRefused, fmt.Errorf("live weights are not installed (%w): run trimtab nginx live "+
			"install%s, add the lines that it prints, reload NGINX, and run init again", err, flags.asGiven()))
	}
	return nil
}

func matches(pattern, name string) bool {
	ok, err := filepath.Match(filepath.Base(pattern), name)
	return ok && err == nil
}

// freeAddress is the first loopback address whose port is free.
func freeAddress(from, to int) (string, error) {
	for port := from; port <= to; port++ {
		address := fmt.Sprintf("127.0.0.1:%d", port)
		if l, err := net.Listen("tcp", address); err == nil {
			return address, l.Close()
		}
	}
	return "", fmt.Errorf("find an address for the status page: ports %d to %d are taken", from, to)
}

func cmpErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}
