package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	vegeta "github.com/tsenart/vegeta/v12/lib"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/requests"
	"trimtab/loadgen"
)

// plainWorkload is the workload that asks for the target URL itself.
const plainWorkload = "url"

// loadTarget says what is sent.
type loadTarget struct {
	target, targets string
	workloadNames   []string
	method, body    string
	users, first    int
}

func (t *loadTarget) add(fl *pflag.FlagSet) {
	fl.StringVar(&t.target, "target", "", "base URL, such as http://nginx:8080")
	fl.StringSliceVar(&t.workloadNames, "workload", nil, "what is sent: "+strings.Join(deathstarbench.Workloads(), ", ")+", mixed, or url (the target as it stands, the default); with --schedule random a list (default: the first three)")
	fl.StringVar(&t.targets, "targets", "", "file of requests in vegeta's http format, sent in turn, instead of a target and --workload; -: standard input")
	fl.StringVar(&t.method, "method", "GET", "method of the url workload")
	fl.StringVar(&t.body, "body", "", "file with the body of the url workload")
	fl.IntVar(&t.users, "users", deathstarbench.DefaultUsers, "users of the social network")
	fl.IntVar(&t.first, "first-user", deathstarbench.DefaultFirstUser, "id of the first user (newer DeathStarBench: 0)")
}

// workload is the one workload of a run without a schedule.
func (t *loadTarget) workload() (string, error) {
	switch {
	case t.targets == "-":
		return "stdin", nil
	case t.targets != "":
		return t.targets, nil
	case len(t.workloadNames) == 0:
		return plainWorkload, nil
	case len(t.workloadNames) == 1:
		return t.workloadNames[0], nil
	}
	return "", withCode(exitUsage, errors.New("--workload: want one, or a list with --schedule random"))
}

// workloads returns the workloads of a schedule, ready to send.
func (t *loadTarget) workloads(schedule *loadgen.Schedule) ([]loadgen.Workload, error) {
	if err := t.check(); err != nil {
		return nil, withCode(exitUsage, err)
	}
	workloads, err := schedule.Workloads()
	if err != nil {
		return nil, withCode(exitConfig, err)
	}
	for i := range workloads {
		w := &workloads[i]
		if w.Targeter, err = t.targeter(w.Name, w.Bursts[0].Seed); err != nil {
			return nil, err
		}
	}
	return workloads, nil
}

// check reports what is wrong with the target.
func (t *loadTarget) check() error {
	if t.targets != "" {
		if t.target != "" || len(t.workloadNames) > 0 {
			return errors.New("--targets: takes the place of a target and --workload")
		}
		return nil
	}
	if t.target == "" {
		return errors.New("the target is missing: want a URL such as http://127.0.0.1:8080")
	}
	u, err := url.Parse(t.target)
	if err != nil {
		return fmt.Errorf("target: %w", err)
	}
	if u.Host == "" || !slices.Contains([]string{"http", "https"}, u.Scheme) {
		return fmt.Errorf("target %q: want a URL such as http://127.0.0.1:8080", t.target)
	}
	return nil
}

// useless refuses flags that have no effect on what is sent.
func (t *loadTarget) useless(cmd *cobra.Command) error {
	plain := len(t.workloadNames) == 0 && !cmd.Flags().Changed("schedule") || slices.Contains(t.workloadNames, plainWorkload)
	switch {
	case t.targets != "":
		return useless(cmd, "with --targets", "method", "body", "users", "first-user")
	case plain:
		return useless(cmd, "on the url workload", "users", "first-user")
	case !cmd.Flags().Changed("schedule"): // whose file may name any workload
		return useless(cmd, "on a workload of the social network", "method", "body")
	}
	return nil
}

// targeter returns the requests of a workload.
func (t *loadTarget) targeter(workload string, seed uint64) (vegeta.Targeter, error) {
	switch {
	case t.targets != "":
		file := os.Stdin
		if t.targets != "-" {
			var err error
			if file, err = os.Open(t.targets); err != nil {
				return nil, withCode(exitConfig, fmt.Errorf("--targets: want a file of requests, or - for standard input: %w", err))
			}
			defer file.Close()
		}
		targets, err := vegeta.ReadAllTargets(vegeta.NewHTTPTargeter(file, nil, nil))
		if err != nil {
			return nil, withCode(exitConfig, fmt.Errorf("--targets %s: want lines such as GET http://127.0.0.1:8080/: %w", t.targets, err))
		}
		return vegeta.NewStaticTargeter(targets...), nil
	case workload == plainWorkload:
		var body []byte
		if t.body != "" {
			var err error
			if body, err = os.ReadFile(t.body); err != nil {
				return nil, withCode(exitConfig, fmt.Errorf("--body: want a file: %w", err))
			}
		}
		return vegeta.NewStaticTargeter(vegeta.Target{Method: t.method, URL: t.target, Body: body}), nil
	}
	targeter, err := requests.NewTargeter(workload, t.target, requests.TargetOptions{Users: t.users, FirstUser: t.first, Seed: seed})
	return targeter, withCode(exitUsage, err)
}
