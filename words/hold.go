package words

import (
	"fmt"
	"slices"
	"strings"

	"trimtab/tuner"
	"trimtab/tuner/gate"
)

// Budget is what is left of the changes that may be made.
type Budget struct {
	Left, Most int  // Most 0: not known
	Unlimited  bool // changes cost nothing
}

// String is such as "2 of 6 changes are left".
func (b Budget) String() string {
	switch {
	case b.Unlimited:
		return "changes are not limited"
	case b.Most > 0:
		return fmt.Sprintf("%d of %d changes are left", b.Left, max(b.Most, b.Left))
	case b.Left == 1:
		return "1 change is left"
	}
	return fmt.Sprintf("%d changes are left", b.Left)
}

// Hold says why a pool's weights stay as they are and what is missing. For one that changes it says what is better.
func Hold(p *tuner.PoolExplanation, b Budget) string {
	better := Percent(p.PredictedGain) + " % better expected"
	if p.PredictedGain < 0.0005 {
		better = "nothing better expected"
	}
	has := func(bound tuner.Bound) bool { return slices.Contains(p.Bounds, bound) }
	switch {
	case p.Chosen == "change":
		return "change: " + better
	case has(gate.BoundBudget):
		return fmt.Sprintf("no change: %s, but %s", better, b)
	case has(gate.BoundGain) && p.Price > 0 && b.Unlimited:
		return fmt.Sprintf("no change: %s, %s %% needed", better, Percent(p.Price))
	case has(gate.BoundGain) && p.Price > 0:
		return fmt.Sprintf("no change: %s, %s %% needed while %s", better, Percent(p.Price), b)
	}
	return "no change: " + strings.TrimPrefix(p.Reason, "hold: ")
}

// Remedy says what somebody can do about a hold of the daemon; empty: wait.
func Remedy(held string) string {
	kind, _, _ := strings.Cut(held, ":")
	switch kind {
	case "hold file":
		return "trimtab tune --release, or remove the file"
	case "signal":
		return "send SIGUSR2 to the daemon, or restart it"
	case "observing":
		return "wait until the observation is over; observe_first says how long it takes, and --observe that it " +
			"never ends"
	case "circuit breaker":
		return "look at the last error in the log, then trimtab nginx check"
	case "configuration":
		return "mend NGINX's configuration: nginx -t says where"
	case "read-only":
		return "give the daemon write access there, or change weights by kind = \"dns\" or \"live\""
	case "master":
		return "start NGINX, or mend pid_file and config in [nginx]"
	case "draining":
		return "wait until old workers have ended; worker_shutdown_timeout bounds it"
	case "proved":
		return "trimtab prove --release lets tuned weights act again"
	case "internal fault":
		return "please report the error in the log"
	}
	return ""
}
