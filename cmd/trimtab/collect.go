package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"trimtab/daemon"
	"trimtab/hosts"
	"trimtab/plain"
	"trimtab/trusted"
	"trimtab/vts"
)

// statusFlags say where a status page is and how to ask for it.
type statusFlags struct {
	url, user, passwordFile, ca string
	headers                     []string
	insecure                    bool
	timeout                     time.Duration
	maxMiB                      int
}

func (f *statusFlags) add(cmd *cobra.Command, url string) {
	flags := cmd.Flags()
	flags.StringVar(&f.url, "status", url, "URL of the status page; http+unix:///run/nginx.sock:/status/format/json "+
		"for a Unix socket")
	flags.DurationVar(&f.timeout, "timeout", 2*time.Second, "of one request")
	flags.IntVar(&f.maxMiB, "max-mib", 16, "largest page that is read, MiB")
	flags.StringVar(&f.user, "user", "", "user for basic authentication")
	flags.StringVar(&f.passwordFile, "password-file", "", "file whose first line is the password")
	flags.StringArrayVar(&f.headers, "header", nil, "header of every request, 'Name: value'; may be repeated")
	flags.StringVar(&f.ca, "ca", "", "PEM file of the authorities to trust instead of the system's")
	flags.BoolVar(&f.insecure, "insecure", false, "accept any certificate")
}

// client builds the client that the flags describe.
func (f *statusFlags) client() (*vts.Client, error) {
	cfg := vts.ClientConfig{URL: f.url, Timeout: f.timeout, MaxBytes: f.maxMiB << 20, Username: f.user,
		Header: http.Header{}}
	for _, h := range f.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, withCode(exitUsage, fmt.Errorf("--header %q: want 'Name: value'", h))
		}
		cfg.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	if f.passwordFile != "" {
		text, err := trusted.Secret(f.passwordFile)
		if err != nil {
			return nil, withCode(exitConfig, fmt.Errorf("read the password: %w", err))
		}
		cfg.Password, _, _ = strings.Cut(string(text), "\n")
	}
	if f.ca != "" || f.insecure {
		cfg.TLS = &tls.Config{InsecureSkipVerify: f.insecure}
	}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, withCode(exitConfig, fmt.Errorf("read the authorities: %w", err))
		}
		cfg.TLS.RootCAs = x509.NewCertPool()
		if !cfg.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return nil, withCode(exitConfig, fmt.Errorf("read the authorities: no certificate in %s", f.ca))
		}
	}
	client, err := vts.NewClient(cfg)
	return client, withCode(exitUsage, err)
}

type collectFlags struct {
	status             statusFlags
	out, fsync         string
	interval, duration time.Duration
	untilPID           int
	untilIdle, wait    time.Duration
	rotateMiB          int
	appending, asJSON  bool
	hosts              []string
}

func newCollect(e *env) *cobra.Command {
	var f collectFlags
	cmd := &cobra.Command{
		Use:   "collect --status URL --out FILE",
		Short: "Record NGINX's status page as NDJSON, one status per line",
		Long: `Collect polls the status page of nginx-module-vts, or of the shim that trimtab nginx shim install provides, and
stores every reply as one line of counters. Each line is written in one piece: however the collector ends, the file can
be read up to its last status. It ends after --duration, with the process --until-pid, when the load has ended
(--until-idle), or on Ctrl-C, which is an error only when another end was asked for.`,
		Example: `  trimtab collect --status http://127.0.0.1:8081/status/format/json --out stats.ndjson --duration 5m
  trimtab collect --status http://lb/status/format/json --out stats.ndjson.zst --interval 100ms --rotate-mib 256
  wrk -d 60s http://lb/ & trimtab collect --status http://lb/status/format/json --out stats.ndjson --until-pid $!`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, e) },
	}
	f.status.add(cmd, "http://127.0.0.1:8081/status/format/json")
	flags := cmd.Flags()
	flags.StringVarP(&f.out, "out", "o", "", "file to write; compressed when it ends in .zst")
	flags.DurationVar(&f.interval, "interval", 500*time.Millisecond, "time between two polls")
	flags.DurationVar(&f.duration, "duration", 0, "how long to collect; 0 means without end")
	flags.IntVar(&f.untilPID, "until-pid", 0, "end with this process")
	flags.DurationVar(&f.untilIdle, "until-idle", 0, "end when the upstreams have had requests, and then none "+
		"for so long")
	flags.DurationVar(&f.wait, "wait", 10*time.Second, "how long the page may take to answer for the first time")
	flags.IntVar(&f.rotateMiB, "rotate-mib", 0, "begin a new file at this size, numbering the old one; 0 means never")
	flags.StringVar(&f.fsync, "fsync", "5s", "force the file to the disk: close (only at the end), always, "+
		"or how often")
	flags.BoolVar(&f.appending, "append", false, "go on with a file that is there")
	flags.StringArrayVar(&f.hosts, "host", nil, "SERVER=URL: node_exporter's page of the machine that a server runs on, "+
		"recorded beside the status; may be repeated")
	flags.BoolVar(&f.asJSON, "json", false, "print the summary as one JSON object")
	return cmd
}

// watchHosts begins to read the pages of --host; nil: there are none. The function that it returns too ends it.
func (f *collectFlags) watchHosts(ctx context.Context, e *env) (func() []vts.HostSample, func(), error) {
	var list []hosts.Host
	for _, text := range f.hosts {
		server, url, ok := strings.Cut(text, "=")
		if !ok {
			return nil, nil, fmt.Errorf("--host %q: want SERVER=URL", text)
		}
		list = append(list, hosts.Host{Server: server, URL: url})
	}
	if len(list) == 0 {
		return nil, func() {}, nil
	}
	h, err := hosts.New(list, hosts.Config{Interval: max(f.interval, time.Second), Timeout: f.status.timeout,
		Logger: slog.New(slog.NewTextHandler(e.stderr, nil))})
	if err != nil {
		return nil, nil, fmt.Errorf("--host: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = h.Run(ctx) // ends by cancelling, which is no error
	}()
	return func() []vts.HostSample { return daemon.HostSamples(h, time.Now()) }, func() { cancel(); <-done }, nil
}

func (f *collectFlags) run(cmd *cobra.Command, e *env) error {
	if f.out == "" {
		return withCode(exitUsage, fmt.Errorf("collect: name the file to write with --out (see '%s --help')",
			cmd.CommandPath()))
	}
	if err := aboveZero(cmd, "interval", "timeout", "wait"); err != nil {
		return err
	}
	client, err := f.status.client()
	if err != nil {
		return err
	}
	defer client.Close()
	poller, err := vts.NewPoller(client, vts.PollerConfig{Interval: f.interval,
		Logger: slog.New(slog.NewTextHandler(e.stderr, nil))})
	if err != nil {
		return withCode(exitUsage, err)
	}
	var sync time.Duration
	switch f.fsync {
	case "close":
	case "always":
		sync = 1
	default:
		if sync, err = time.ParseDuration(f.fsync); err != nil || sync <= 0 {
			return withCode(exitUsage, fmt.Errorf("--fsync %q: want close, always or a time such as 5s", f.fsync))
		}
	}
	if f.untilIdle < 0 || f.duration < 0 || f.rotateMiB < 0 {
		return withCode(exitUsage, fmt.Errorf("collect: a time or size below 0"))
	}
	recorder, err := vts.OpenRecorder(vts.RecorderConfig{Path: f.out, Append: f.appending,
		RotateBytes: int64(f.rotateMiB) << 20, SyncEvery: sync})
	if err != nil {
		return withCode(exitConfig, fmt.Errorf("--out: want a path in a folder that is there and can be written to: %w",
			err))
	}
	said, stopHosts, err := f.watchHosts(cmd.Context(), e)
	if err != nil {
		return errors.Join(withCode(exitUsage, err), recorder.Close())
	}
	defer stopHosts()
	line := collectLine{env: e}
	report, err := vts.Collect(cmd.Context(), vts.CollectConfig{
		Poller: poller, Recorder: recorder, Duration: f.duration, UntilPID: f.untilPID, UntilIdle: f.untilIdle,
		Wait:   f.wait,
		Hosts:  said,
		OnPoll: line.poll,
	})
	line.end()
	if closeErr := recorder.Close(); err == nil && closeErr != nil {
		return withCode(exitConfig, closeErr)
	}
	if err != nil {
		if report.Statuses == 0 {
			if !f.appending {
				_ = os.Remove(f.out) // nothing is in it
			}
			return withCode(exitTelemetry, fmt.Errorf("%w: name the page with --status", err))
		}
		return withCode(exitConfig, err)
	}
	if err := f.summary(e, report); err != nil {
		return err
	}
	if cmd.Context().Err() != nil && (f.duration > 0 || f.untilPID != 0 || f.untilIdle > 0) {
		return withCode(exitInterrupted, fmt.Errorf("interrupted; %s holds what was collected until then", f.out))
	}
	return nil
}

func (f *collectFlags) summary(e *env, r vts.CollectReport) error {
	var rejected uint64
	for _, n := range r.Health.Rejected {
		rejected += n
	}
	if f.asJSON {
		return printJSON(e.stdout, collectJSON{f.out, r.Statuses, r.Requests, r.Elapsed.Seconds(), r.Bytes, r.Ended,
			r.Health.Rejected, r.Health.Skipped})
	}
	e.say("%s: %d statuses in %v (%s), %d upstream requests, %d rejected, %.1f KiB\n",
		f.out, r.Statuses, r.Elapsed.Round(time.Millisecond), r.Ended, r.Requests, rejected, float64(r.Bytes)/1024)
	return nil
}

// collectLine keeps one line about the collection on a terminal.
type collectLine struct {
	env   *env
	shown time.Time
}

func (l *collectLine) poll(ev vts.Event, r vts.CollectReport) {
	if !l.env.terminal() || time.Since(l.shown) < 500*time.Millisecond {
		return
	}
	l.shown = time.Now()
	text := fmt.Sprintf("%v  %d statuses  %.1f KiB", r.Elapsed.Round(time.Second), r.Statuses, float64(r.Bytes)/1024)
	switch {
	case ev.Sample != nil:
		var n uint64
		for i := range ev.Sample.Groups {
			n += ev.Sample.Groups[i].Requests()
		}
		text += fmt.Sprintf("  %.0f requests/s", float64(n)/ev.Sample.Interval.Seconds())
	case ev.Err != nil && vts.ReasonOf(ev.Err) != vts.ReasonFirst:
		text += "  " + ev.Err.Error()
	}
	l.env.screen.show(plain.Text(text))
}

func (l *collectLine) end() {
	if l.env.terminal() {
		l.env.screen.keep()
	}
}

// collectJSON says what was collected.
type collectJSON struct {
	File     string                `json:"file"`
	Statuses int                   `json:"statuses"`
	Requests uint64                `json:"requests"`
	Seconds  float64               `json:"seconds"`
	Bytes    int64                 `json:"bytes"`
	Ended    string                `json:"ended"`
	Rejected map[vts.Reason]uint64 `json:"rejected"`
	Skipped  uint64                `json:"skipped_polls"`
}
