// Package daemon is what `trimtab tune` runs: it takes telemetry from a status page, lets a policy observe and choose
// at every interval, changes weights in NGINX, and keeps what was learned.
//
//	cfg, err := daemon.ReadConfig("/etc/trimtab/trimtab.toml")
//	d, err := daemon.New(cfg, daemon.Options{Version: version, Logger: log, Signals: signals})
//	err = d.Run(ctx) // until ctx ends
//
// A Config is the whole of trimtab.toml. A Session is what one configuration needs; a new configuration makes a new
// session. A Service is one run: its control loop turns in one goroutine, and the poller, the watcher of NGINX's
// configuration and the HTTP page have their own. A Store keeps its State in one file.
//
// What is to be held, and why, is asked before every change: hold file, signal, observation period, NGINX's
// configuration, workers that still drain, budget. The weights stay as they are whenever anything fails.
//
// The package knows no flags and no exit codes: its errors are typed, and the command line maps them. It does not
// choose weights.
package daemon
