package daemon

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"trimtab/cluster"
	"trimtab/nginx/dns"
	"trimtab/orders"
	"trimtab/prove"
	"trimtab/tuner"
	"trimtab/tuner/load"
	"trimtab/vts"
)

// Span is a time in the configuration file, such as "3s".
type Span time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q: want a time such as 3s or 30m", text)
	}
	if d < 0 {
		return fmt.Errorf("%q: want no negative time", text)
	}
	*s = Span(d)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (s Span) MarshalText() ([]byte, error) { return []byte(time.Duration(s).String()), nil }

// DefaultPath is where the configuration is when nobody says otherwise.
const DefaultPath = "/etc/trimtab/trimtab.toml"

// Config is trimtab.toml. scripts/trimtab.toml documents every field with unit and default, and a test sees to it
// that it does. A field that is missing keeps the default that Defaults gives it.
type Config struct {
	Interval     Span   `toml:"interval"`
	StateDir     string `toml:"state_dir"`
	HoldFile     string `toml:"hold_file"`
	OnExit       string `toml:"on_exit"`
	ObserveFirst Span   `toml:"observe_first"`
	LogLevel     string `toml:"log_level"`
	LogFormat    string `toml:"log_format"`
	Listen       string `toml:"listen"`
	User         string `toml:"user"`
	// PageTokenFile holds the token of the page's buttons; empty: it has none.
	PageTokenFile string `toml:"page_token_file"`

	Status struct {
		URL          string            `toml:"url"`
		Poll         Span              `toml:"poll"`
		Timeout      Span              `toml:"timeout"`
		StaleAfter   Span              `toml:"stale_after"`
		MaxMiB       int               `toml:"max_mib"`
		User         string            `toml:"user"`
		PasswordFile string            `toml:"password_file"`
		CA           string            `toml:"ca"`
		Proxied      bool              `toml:"proxied"`
		Headers      map[string]string `toml:"headers"`
	} `toml:"status"`

	Nginx struct {
		Config         string   `toml:"config"`
		Binary         string   `toml:"binary"`
		Prefix         string   `toml:"prefix"`
		PIDFile        string   `toml:"pid_file"`
		TestCommand    []string `toml:"test_command"`
		OnRender       string   `toml:"on_render"`
		ReloadCommand  []string `toml:"reload_command"`
		Upstreams      []string `toml:"only"`
		TestTimeout    Span     `toml:"test_timeout"`
		ConfirmTimeout Span     `toml:"confirm_timeout"`
	} `toml:"nginx"`

	Actuator struct {
		Kind           string `toml:"kind"`
		Address        string `toml:"address"`
		TokenFile      string `toml:"token_file"`
		Unseen         bool   `toml:"unseen"`
		Burst          int    `toml:"reload_burst"`
		Every          Span   `toml:"reload_every"`
		Interval       Span   `toml:"reload_interval"`
		MaxGenerations int    `toml:"max_generations"`
		MaxDraining    int    `toml:"max_draining"`
		MaxMemoryMiB   int    `toml:"max_memory_mib"`

		DNSListen  string         `toml:"dns_listen"`
		DNSZone    string         `toml:"dns_zone"`
		DNSConfirm Span           `toml:"dns_confirm"`
		Members    []MemberConfig `toml:"members"`
	} `toml:"actuator"`

	Tuner struct {
		Learner        string  `toml:"learner"`
		Model          string  `toml:"model"`
		ErrorTardiness float64 `toml:"error_tardiness"`
		Headroom       float64 `toml:"headroom"`
		DeadBand       float64 `toml:"dead_band"`
		MinGain        float64 `toml:"min_gain"`
		Burst          int     `toml:"change_burst"`
		PerMinute      int     `toml:"per_minute"`
		Eject          Eject   `toml:"eject"`
		LearningRate   float64 `toml:"learning_rate"`
		Seed           uint64  `toml:"seed"`
	} `toml:"tuner"`

	Regimes struct {
		Model      string  `toml:"model"`
		Observe    Span    `toml:"observe"`
		Off        bool    `toml:"off"`
		Count      int     `toml:"count"`
		Certain    float64 `toml:"certain"`
		NovelShare float64 `toml:"novel_share"`
	} `toml:"regimes"`

	Objective ObjectiveConfig `toml:"objective"`
	Scaling   ScalingConfig   `toml:"scaling"`

	Fleet struct {
		Servers  []string `toml:"servers"`
		CA       string   `toml:"ca"`
		Cert     string   `toml:"cert"`
		Key      string   `toml:"key"`
		Patience Span     `toml:"patience"`
	} `toml:"fleet"`

	Prove struct {
		Enabled   bool    `toml:"enabled"`
		Block     Span    `toml:"block"`
		WashOut   Span    `toml:"wash_out"`
		Duration  Span    `toml:"duration"`
		Measure   string  `toml:"measure"`
		ErrorRate float64 `toml:"error_rate"`
		Margin    float64 `toml:"margin"`
	} `toml:"prove"`

	Upstream []UpstreamConfig `toml:"upstream"`
	Host     []HostConfig     `toml:"host"`

	path     string
	text     []byte // nil: there is no file
	warnings []string
	password string // of the status page, once it has been read
	// files reads the files that the configuration names; nil: this process does.
	files func(key string) ([]byte, error)
	// data is the folder of what is learned and ordered; empty: see dataDir.
	data    string
	model   *cluster.Model
	ordered map[string]map[string]orders.Limit // limits of shares that are in force
	// of upstreams in NGINX's configuration, for those whose method is not given here
	methods map[string]string
}

// Defaults are what a configuration means that says nothing.
func Defaults() *Config {
	c := &Config{
		Interval: Span(3 * time.Second), StateDir: "/var/lib/trimtab", OnExit: "keep",
		ObserveFirst: Span(30 * time.Minute),
		LogLevel:     "info", LogFormat: "text", Listen: "unix:/run/trimtab/trimtab.sock",
		User: DefaultUser,
	}
	c.Status.URL = "http://127.0.0.1:8081/status/format/json"
	c.Status.Poll, c.Status.Timeout, c.Status.StaleAfter, c.Status.MaxMiB = Span(500*time.Millisecond),
		Span(2*time.Second), Span(10*time.Second), 16
	c.Nginx.Config, c.Nginx.Binary = DefaultNginxConfig, "nginx"
	c.Nginx.OnRender = renderNewBase
	c.Nginx.TestTimeout, c.Nginx.ConfirmTimeout = Span(30*time.Second), Span(5*time.Second)
	c.Actuator.Kind, c.Actuator.Address, c.Actuator.TokenFile = "reload", "127.0.0.1:9147", "/etc/nginx/trimtab/token"
	c.Actuator.Burst, c.Actuator.Every, c.Actuator.Interval, c.Actuator.MaxGenerations = 6, Span(30*time.Second),
		Span(2*time.Second), 2
	c.Actuator.DNSListen, c.Actuator.DNSZone, c.Actuator.DNSConfirm = dns.DefaultListen,
		strings.TrimSuffix(dns.DefaultZone, "."), Span(time.Second)
	c.Tuner.Learner, c.Tuner.Eject = "tuned", ejectIdle
	c.Regimes.Observe = Span(30 * time.Minute)
	c.Objective.Watch, c.Objective.MinGain = Span(time.Minute), 0.01
	c.Objective.Status, c.Objective.RetryAfter = 503, Span(time.Second)
	c.Scaling.Method, c.Scaling.Field, c.Scaling.Timeout, c.Scaling.Confirm = "PUT", "units", Span(30*time.Second),
		Span(30*time.Second)
	c.Fleet.CA, c.Fleet.Cert, c.Fleet.Key = fleetDir+"/ca.pem", fleetDir+"/node.pem", fleetDir+"/node.key"
	c.Fleet.Patience = Span(15 * time.Second)
	c.setProve(prove.Plan{}.WithDefaults())
	return c
}

// ReadConfig reads the file at path, all of it or nothing: unknown keys, values out of range and files it names
// that cannot be read are errors, and all of them are reported. Keys that earlier versions had are not: Warnings.
func ReadConfig(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		hint := ""
		if errors.Is(err, fs.ErrNotExist) {
			hint = ": trimtab init writes one"
		}
		return nil, fmt.Errorf("read configuration: %w%s", err, hint)
	}
	return ParseConfig(path, string(text))
}

// ReadConfigOr is ReadConfig for a file that need not be there unless it was asked for: without it the defaults and the
// environment count.
func ReadConfigOr(path string, asked bool) (*Config, error) {
	c, err := ReadConfig(path)
	if errors.Is(err, fs.ErrNotExist) && !asked {
		return parseConfig("", "", nil)
	}
	return c, err
}

// ParseConfig reads a configuration from its text, as ReadConfig does; path is for messages.
func ParseConfig(path, text string) (*Config, error) { return parseConfig(path, text, nil) }

// parseConfig is ParseConfig with another reader of the files that the configuration names.
func parseConfig(path, text string, files func(key string) ([]byte, error)) (*Config, error) {
	c := Defaults()
	c.path, c.files = path, files
	if path != "" {
		c.text = []byte(text)
	}
	meta, errs := decodeAll(path, text, c)
	at := keyLines(text)
	old, bad := c.takeRenamed(path, text, meta, at)
	errs = append(errs, bad...)
	for _, key := range meta.Undecoded() {
		name := key.String()
		switch {
		case slices.Contains(old, name):
		case retired[name]:
			c.warnings = append(c.warnings, retiredWarning(at.place(path, name), name))
		default:
			errs = append(errs, fmt.Errorf("%s: unknown key %s%s", at.place(path, name), key, meant(name)))
		}
	}
	variables, err := c.takeEnvironment()
	errs = append(errs, faults(err)...)
	if variables["state_dir"] == "" && !meta.IsDefined("state_dir") {
		c.StateDir = StateDirFor(c.Nginx.Config)
	}
	for _, fault := range faults(c.Validate()) {
		key := firstKey(fault.Error())
		place := at.place(path, key)
		if name := variables[key]; name != "" {
			place = name
		}
		errs = append(errs, fmt.Errorf("%s: %w", place, fault))
	}
	sortByLine(path, errs)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Config) level() (slog.Level, error) {
	var l slog.Level
	return l, l.UnmarshalText([]byte(c.LogLevel))
}

// HoldPath is the file that makes the daemon hold.
func (c *Config) HoldPath() string {
	if c.HoldFile != "" {
		return c.HoldFile
	}
	return filepath.Join(c.StateDir, "hold")
}

// StatePath is the file of the state.
func (c *Config) StatePath() string { return filepath.Join(c.dataDir(), "tuner.db") }

// DNSPath is the file with what NGINX is told by DNS.
func (c *Config) DNSPath() string { return filepath.Join(c.dataDir(), "dns.json") }

// longestStep is how long a control step may take when everything takes as long as it may: telemetry that goes stale,
// the lock, three plans because somebody keeps saving, the signal, its confirmation, and the way back.
func (c *Config) longestStep() time.Duration {
	test, confirm := time.Duration(c.Nginx.TestTimeout), time.Duration(c.Nginx.ConfirmTimeout)
	return time.Duration(c.Status.StaleAfter) + 4*test + 3*confirm + 5*time.Second
}

// statusClient returns a client of the status page; fresh ones open a connection for every request.
func (c *Config) statusClient(fresh bool) (*vts.Client, error) {
	cfg := vts.ClientConfig{
		URL: c.Status.URL, Timeout: time.Duration(c.Status.Timeout), MaxBytes: c.Status.MaxMiB << 20,
		Username: c.Status.User,
		Header:   http.Header{}, FreshConnections: fresh,
	}
	for name, value := range c.Status.Headers {
		cfg.Header.Set(name, value)
	}
	if c.Status.PasswordFile != "" {
		text, err := c.file(passwordFile)
		if err != nil {
			return nil, fmt.Errorf("read the password: %w", err)
		}
		cfg.Password, _, _ = strings.Cut(string(text), "\n")
		c.password = cfg.Password
	}
	if c.Status.CA != "" {
		pem, err := c.file(caFile)
		if err != nil {
			return nil, fmt.Errorf("read the authorities: %w", err)
		}
		cfg.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
		if !cfg.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read the authorities: no certificate in %s", c.Status.CA)
		}
	}
	return vts.NewClient(cfg)
}

func (c *Config) tunerConfig() tuner.Config {
	t := tuner.Config{
		Groups:         map[string]tuner.GroupConfig{},
		ErrorTardiness: c.Tuner.ErrorTardiness, Headroom: c.Tuner.Headroom,
		DeadBand: c.Tuner.DeadBand, MinGain: c.Tuner.MinGain, Burst: c.Tuner.Burst,
		PerMinute: c.Tuner.PerMinute, Unlimited: c.Actuator.Kind != "reload", Eject: c.Tuner.Eject == ejectAlways,
		EjectIdle: c.ejects(), Seed: c.Tuner.Seed,
		Regimes: load.RegimeConfig{Model: c.model, Count: c.Regimes.Count, Certain: c.Regimes.Certain,
			NovelShare: c.Regimes.NovelShare},
	}
	t.Regimes.Observe = time.Duration(c.Regimes.Observe)
	if c.Regimes.Off {
		t.Regimes.Observe = -1
	}
	for _, u := range c.Upstream {
		t.Groups[u.Name] = tuner.GroupConfig{Method: tuner.Method(u.Method), Deadline: time.Duration(u.Deadline),
			Priority: u.Priority, Limits: u.bounds()}
	}
	for name, method := range c.methods {
		if g := t.Groups[name]; g.Method == "" {
			g.Method = tuner.Method(method)
			t.Groups[name] = g
		}
	}
	for name := range c.ordered {
		g := t.Groups[name]
		g.Limits = c.bounds(name, c.ordered[name])
		t.Groups[name] = g
	}
	return t
}
