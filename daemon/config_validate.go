package daemon

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"trimtab/localhttp"
	"trimtab/nginx/dns"
	"trimtab/nginx/live"
)

// Validate reports every fault, each beginning with the key that it is about.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(time.Duration(c.Interval) >= 100*time.Millisecond && time.Duration(c.Interval) <= time.Hour,
		"interval %v: want 100ms to 1h", time.Duration(c.Interval))
	check(c.User != "" && c.User != "root" && c.User != "0", "user %q: want a user that is not root", c.User)
	check(c.StateDir != "" && filepath.IsAbs(c.StateDir), "state_dir %q: want an absolute path", c.StateDir)
	check(c.HoldFile == "" || filepath.IsAbs(c.HoldFile), "hold_file %q: want an absolute path", c.HoldFile)
	check(c.OnExit == "keep" || c.OnExit == "restore", "on_exit %q: want keep or restore", c.OnExit)
	_, err := c.level()
	check(err == nil, "log_level %q: want debug, info, warn or error", c.LogLevel)
	check(c.LogFormat == "text" || c.LogFormat == "json", "log_format %q: want text or json", c.LogFormat)
	if c.Listen != "" {
		errs = append(errs, localhttp.CheckAddress(c.Listen))
	}
	check(c.PageTokenFile == "" || filepath.IsAbs(c.PageTokenFile), "page_token_file %q: want an absolute path",
		c.PageTokenFile)
	check(time.Duration(c.Status.Poll) <= time.Duration(c.Interval), "status.poll %v: want at most the interval, %v",
		time.Duration(c.Status.Poll), time.Duration(c.Interval))
	check(c.Status.MaxMiB > 0 && c.Status.MaxMiB <= 1024, "status.max_mib %d: want 1 to 1024", c.Status.MaxMiB)
	check(c.Status.StaleAfter > 0, "status.stale_after: want more than 0")
	if client, err := c.statusClient(false); err != nil {
		errs = append(errs, fmt.Errorf("status: %w", err))
	} else {
		client.Close()
	}
	check(filepath.IsAbs(c.Nginx.Config) || c.Nginx.Config == "" && c.Actuator.Kind != "reload",
		"nginx.config %q: want an absolute path, or with dns and live \"\" for one that cannot be read from here",
		c.Nginx.Config)
	check(c.Nginx.OnRender == renderKeep || c.Nginx.OnRender == renderNewBase || c.Nginx.OnRender == renderHold,
		"nginx.on_render %q: want %q, %q or %q", c.Nginx.OnRender, renderKeep, renderNewBase, renderHold)
	check((len(c.Nginx.TestCommand) > 0) == (len(c.Nginx.ReloadCommand) > 0),
		"nginx.test_command and nginx.reload_command: want both or none")
	check(c.Nginx.TestTimeout > 0 && c.Nginx.ConfirmTimeout > 0, "nginx.test_timeout and nginx.confirm_timeout: want "+
		"more than 0")
	switch c.Actuator.Kind {
	case "reload":
		check(c.Actuator.Burst > 0 && c.Actuator.Every > 0, "actuator.reload_burst %d, actuator.reload_every %v: "+
			"want more than 0", c.Actuator.Burst, time.Duration(c.Actuator.Every))
	case "live":
		if _, err := live.New(live.Config{Address: c.Actuator.Address}); err != nil {
			errs = append(errs, fmt.Errorf("actuator: %w", err))
		}
		check(filepath.IsAbs(c.Actuator.TokenFile), "actuator.token_file %q: want an absolute path",
			c.Actuator.TokenFile)
	case "dns":
		if _, err := dns.New(dns.Config{Listen: c.Actuator.DNSListen, Zone: c.Actuator.DNSZone}); err != nil {
			errs = append(errs, fmt.Errorf("actuator: %w", err))
		}
	default:
		check(false, "actuator.kind %q: want dns, live or reload", c.Actuator.Kind)
	}
	for _, m := range c.Actuator.Members {
		if _, err := m.members(); err != nil {
			errs = append(errs, err)
		}
	}
	check(len(c.Actuator.Members) == 0 || c.Actuator.Kind == "dns", "actuator.members: servers come and go only with "+
		"kind = \"dns\"")
	check(c.Actuator.MaxDraining >= 0 && c.Actuator.MaxMemoryMiB >= 0,
		"actuator.max_draining, actuator.max_memory_mib: want 0 (no limit) or more")
	errs = append(errs, c.checkLearner()...)
	errs = append(errs, c.checkHosts()...)
	seen := map[string]bool{}
	check(c.Tuner.Eject.known(), "tuner.eject %q: want %q, %q or %q", c.Tuner.Eject, ejectIdle, ejectAlways, ejectNever)
	for i, u := range c.Upstream {
		check(u.Name != "", "upstream %d: want a name", i+1)
		check(!seen[u.Name], "upstream %q is there twice", u.Name)
		check(len(c.Nginx.Upstreams) == 0 || slices.Contains(c.Nginx.Upstreams, u.Name), "upstream %q is not among "+
			"nginx.only", u.Name)
		seen[u.Name] = true
		errs = append(errs, u.validate()...)
		if c.Tuner.Learner != "tuned" && u.limited() {
			errs = append(errs, fmt.Errorf("upstream %q: %w", u.Name, errLearner))
		}
	}
	if c.Regimes.Model != "" {
		if c.model, err = c.readModel(); err != nil {
			errs = append(errs, fmt.Errorf("regimes.model: %w", err))
		}
	}
	errs = append(errs, c.checkObjective()...)
	errs = append(errs, c.checkFleet()...)
	for _, fault := range faults(c.ProvePlan().Validate()) {
		errs = append(errs, fmt.Errorf("prove.%w", fault))
	}
	odd := oddNumbers("", reflect.ValueOf(*c))
	errs = append(errs, odd...)
	if len(odd) == 0 {
		for _, fault := range faults(c.tunerConfig().Validate()) {
			errs = append(errs, fmt.Errorf("tuner.%w", fault))
		}
	}
	return errors.Join(errs...)
}

// mostNumber is above every number that means something in a configuration, and so far below the largest one that sums
// of squares of such numbers are numbers.
const mostNumber = 1e9

// oddNumbers are the numbers below v that nothing can be worked out from: TOML has inf and nan.
func oddNumbers(key string, v reflect.Value) (errs []error) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Anonymous {
				errs = append(errs, oddNumbers(key, v.Field(i))...)
			} else if name := v.Type().Field(i).Tag.Get("toml"); name != "" {
				errs = append(errs, oddNumbers(strings.TrimPrefix(key+"."+name, "."), v.Field(i))...)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			errs = append(errs, oddNumbers(key, v.Index(i))...)
		}
	case reflect.Float64:
		if x := v.Float(); math.IsNaN(x) || math.Abs(x) > mostNumber {
			errs = append(errs, fmt.Errorf("%s %v: want a number of at most %g", key, x, mostNumber))
		}
	}
	return errs
}
