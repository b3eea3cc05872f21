package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTypicalMistakes: whatever is typed wrong ends at once, with the documented code and one line on stderr that says
// what is wrong, where, and what to do. AT stands for a folder with the files below.
func TestTypicalMistakes(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"cut.json": `{"x":`, "other.json": `{"nope":1}`, "words.csv": "a,b\n1,x\n",
		"one.csv": "a,b\n1,2\n", "targets": "GET\n", "empty": "",
		"nginx.conf":  "events {}\nhttp { upstream u { server 127.0.0.1:1; server 127.0.0.1:2; } }\n",
		"broken.conf": "events {}\nhttp {\n upstream u { server 127.0.0.1:1 weight=x; }\n}\n",
		"keys.toml":   "[tuner]\nheadrom = 2.0\n", "types.toml": "interval = 3\n", "range.toml": "[status]\nmax_mib = 0\n",
		"named.toml": "[nginx]\nconfig = \"/nope/nginx.conf\"\n",
		"live.toml":  "[actuator]\nkind = \"live\"\ntoken_file = \"/nope/token\"\n",
		"world.toml": "name = \"x\"\n[[server]]\nname = \"a\"\n", "syntax.toml": "interval = \n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const load = "load http://127.0.0.1:1 --rate 1 --duration 1s "
	for _, c := range []struct {
		name, args string
		code       int
		what       string // is wrong, and where
		todo       string
	}{
		{"a command misspelt", "laod http://h", exitUsage, `unknown command "laod"`, "did you mean load?"},
		{"a command of a command misspelt", "nginx sett", exitUsage,
			`unknown command "sett" for "trimtab nginx"`, "did you mean set?"},
		{"a command that is none", "reboot", exitUsage, `unknown command "reboot"`, "see 'trimtab --help'"},
		{"a shell without completions", "completion tcsh", exitUsage,
			`unknown command "tcsh"`, "want bash, fish, powershell, zsh"},
		{"help for a command that is none", "help nothing", exitUsage,
			`unknown command "nothing"`, "see 'trimtab --help'"},
		{"a flag misspelt", "load http://h --durtaion 1s", exitUsage,
			"unknown flag: --durtaion", "did you mean --duration?"},
		{"a flag of another command", "tune --rate 3", exitUsage, "unknown flag: --rate", "see 'trimtab tune --help'"},
		{"a flag without its value", "load http://h --rate", exitUsage, "--rate", "see 'trimtab load --help'"},
		{"too many arguments", "load http://a http://b", exitUsage, "got 2 arguments", `want "trimtab load URL`},
		{"too few arguments", "compare a", exitUsage, "got one argument", `want "trimtab compare A B`},
		{"a time without a unit", "load http://h --rate 1 --duration 1", exitUsage,
			`"1" for "--duration"`, "want a time with its unit"},
		{"a number that is none", "load http://h --rate 1 --duration 1s --users many", exitUsage,
			`"many" for "--users"`, "want a number"},

		{"no target", "load --rate 1 --duration 1s", exitUsage, "the target is missing", "want a URL"},
		{"a target that is no URL", "load h:80 --rate 1 --duration 1s", exitUsage,
			`target "h:80"`, "want a URL such as http://"},
		{"two targets", "load http://a --target http://b", exitUsage, "--target http://b", "want one target"},
		{"no duration", "load http://h --rate 1", exitUsage, "--duration is missing", "such as 30s"},
		{"no rate", "load http://h --duration 1s", exitUsage, "--rate", "want exactly one of"},
		{"two rates", load + "--steps 0s=1", exitUsage, "--steps", "want exactly one of"},
		{"a rate that is none", "load http://h --rate many --duration 1s", exitUsage,
			`"many" for "--rate"`, "such as 50/1s"},
		{"an arrival law that is none", load + "--arrival poisson", exitUsage,
			`arrival "poisson"`, "want fixed, exp, norm or zipf"},
		{"a workload misspelt", load + "--workload compse-post", exitUsage,
			`workload "compse-post"`, "want compose-post"},
		{"a flag without effect", load + "--cv 0.2", exitUsage, "--cv has no effect", "leave it out"},
		{"a body for a workload that has its own", load + "--workload mixed --body x", exitUsage,
			"--body has no effect", "leave it out"},
		{"a header that is none", load + "--header x", exitUsage, `--header "x"`, `want "Name: value"`},
		{"half a client certificate", load + "--cert a", exitUsage, "--cert and --key", "want both or neither"},
		{"authorities that are not there", load + "--root-ca AT/none", exitConfig,
			"--root-ca", "want a file of PEM certificates"},
		{"a limit of nothing that is measured", load + "--fail-if p98>1ms", exitUsage,
			"p98 is not measured", "want one of p50"},
		{"a limit that is none", load + "--fail-if p99", exitUsage, `--fail-if "p99"`, "want NAME>VALUE"},
		{"targets that are not there", "load --targets AT/none --rate 1 --duration 1s", exitConfig,
			"AT/none", "want a file of requests"},
		{"targets that are none", "load --targets AT/targets --rate 1 --duration 1s", exitConfig,
			"AT/targets", "want lines such as GET"},
		{"a schedule that is not there", "load http://h --schedule AT/none", exitConfig,
			"AT/none", "want random, or a file"},
		{"a rate beside a schedule", "load http://h --schedule random --rate 3", exitUsage,
			"--schedule: says itself", "--rate"},
		{"an output in a folder that is not there", load + "--report AT/none/x.json", exitConfig,
			"AT/none/x.json", "want a path in a folder"},
		{"nobody listens", load + "--arrival fixed", exitFailure,
			"requests failed, for instance", "connection refused"},

		{"a scenario misspelt", "run --scenario capcity-1-2-4", exitConfig,
			`scenario "capcity-1-2-4"`, "capacity-1-2-4"},
		{"a policy misspelt", "run --policy tund", exitUsage, `"tund"`, "want one of"},
		{"a run too short for two parts", "run --duration 3s", exitUsage, "--duration 3s", "want at least 18s"},
		{"an actuator that is none", "run --actuator magic", exitUsage,
			`--actuator "magic"`, "want reload, live or dns"},
		{"a flag for another mode", "run --status http://h", exitUsage,
			"--status has no effect without --lb", "leave it out"},
		{"a client run without a file", "run --lb http://h", exitUsage, "--lb", "name the statistics file"},
		{"a client run without a page", "run --lb http://127.0.0.1:1 AT/x", exitTelemetry,
			"http://127.0.0.1:1/status", "name the page with --status"},

		{"no file to collect into", "collect", exitUsage, "collect", "name the file to write with --out"},
		{"no page to collect", "collect --status http://127.0.0.1:1/ --wait 100ms --out AT/x", exitTelemetry,
			"http://127.0.0.1:1/", "name the page with --status"},
		{"polls without time between", "collect --interval 0s --out AT/x", exitUsage,
			"--interval 0s", "want more than 0"},
		{"statistics that are not there", "cluster AT/none", exitConfig,
			"AT/none", "want a file of trimtab collect or run"},
		{"statistics cut off", "cluster AT/cut.json", exitConfig, "AT/cut.json:1", "--skip-bad"},
		{"a file that is no statistics", "cluster AT/other.json", exitConfig,
			"AT/other.json:1", "none of the formats known"},
		{"no statistics", "cluster", exitUsage, "no statistics", "name files"},
		{"a word among numbers", "cluster --csv AT/words.csv", exitConfig,
			"AT/words.csv:2: column 2 (b)", `"x" is not a number`},
		{"a k that is none", "cluster AT/empty --k 0", exitUsage, `--k "0"`, "want a number from 1"},
		{"a covariance that is none", "cluster AT/empty --covariance round", exitUsage,
			`covariance "round"`, "want full, diag, tied or spherical"},

		{"a configuration that is not there", "tune --check-config --config AT/none", exitConfig,
			"AT/none", "trimtab init writes one"},
		{"a key misspelt", "tune --check-config --config AT/keys.toml", exitConfig,
			"AT/keys.toml:2: unknown key tuner.headrom", "did you mean tuner.headroom?"},
		{"a value of another type", "tune --check-config --config AT/types.toml", exitConfig,
			"AT/types.toml:1: interval", "want a time such as 3s"},
		{"a value out of range", "tune --check-config --config AT/range.toml", exitConfig,
			"AT/range.toml:2: status.max_mib 0", "want 1 to 1024"},
		{"no TOML", "tune --check-config --config AT/syntax.toml", exitConfig, "AT/syntax.toml:1", "expected value"},
		{"an NGINX file that is not there", "tune --check-config --config AT/named.toml", exitConfig,
			"AT/named.toml:2: nginx.config", "/nope/nginx.conf"},
		{"a token that is not there", "tune --check-config --config AT/live.toml", exitConfig,
			"AT/live.toml:3: actuator.token_file", "/nope/token"},
		{"hold and release at once", "tune --hold --release", exitUsage, "--hold and --release", "want one of them"},
		{"a decision taken back at once", "tune --once --on-exit restore", exitUsage,
			"--once --on-exit restore", "--dry-run shows them"},
		{"an init that was not run", "init --undo --config AT/none", exitConfig,
			"nothing to take back", "init was not run for AT/none"},

		{"an NGINX configuration that is not there", "nginx show -c AT/none", exitConfig, "AT/none",
			"want NGINX's main file"},
		{"an NGINX configuration that is broken", "nginx show -c AT/broken.conf", exitConfig,
			"AT/broken.conf:3", `invalid parameter "weight=x"`},
		{"weights of nothing", "nginx set -c AT/nginx.conf", exitUsage,
			"set: want --upstream", "trimtab nginx show lists them"},
		{"a weight without a number", "nginx set -c AT/nginx.conf --upstream u --weight 127.0.0.1:1", exitUsage,
			"--weight 127.0.0.1:1", "want SERVER=N"},
		{"a weight that is no number", "nginx set -c AT/nginx.conf --upstream u --weight 127.0.0.1:1=x", exitUsage,
			`"x" is not a number`, "want SERVER=N"},
		{"a weight out of range",
			"nginx set -c AT/nginx.conf --upstream u --weight 127.0.0.1:1=0 --dry-run", exitRefused,
			"weight 0 of server 127.0.0.1:1", "want 1 to 100"},
		{"an upstream that is not there",
			"nginx set -c AT/nginx.conf --upstream w --weight 127.0.0.1:1=3 --dry-run", exitRefused,
			`no upstream "w"`, "trimtab nginx show lists them"},
		{"a server that is not there",
			"nginx set -c AT/nginx.conf --upstream u --weight 127.0.0.1:9=3 --dry-run", exitRefused,
			"has no server 127.0.0.1:9", "trimtab nginx show lists them"},
		{"a live token that is not there", "nginx live show --token-file AT/none", exitConfig,
			"AT/none", "trimtab nginx live install makes it"},
		{"a control call across the network", "nginx live show --address 10.0.0.1:1", exitUsage,
			`"10.0.0.1:1"`, "is not loopback"},
		{"a drain of nobody", "drain", exitUsage, "want --upstream and --server", "trimtab nginx show lists them"},
		{"a pin of more than everything", "pin --upstream u --server s --share 150%", exitUsage,
			`--share "150%"`, "want more than 0%"},
		{"a report that is not there", "tune --replay AT/none", exitConfig, "AT/none", "want a report of a fault"},
		{"a fleet without keys", "fleet status --keys AT/none", exitConfig, "AT/none", "trimtab fleet keys makes them"},
		{"a port for an address", "testbed --listen 80", exitConfig, "--listen 80", "want a free address such as"},
		{"a port for the shim's address", "nginx shim install --listen 80", exitRefused,
			"--listen 80", "want an address such as"},
		{"man pages into a file", "man AT/empty", exitConfig, "AT/empty", "want a folder"},
		{"no seeds", "arena identical --seeds 0", exitUsage, "--seeds 0", "want at least 1"},
		{"no worlds", "arena worlds --worlds 0", exitUsage, "--worlds 0", "want at least 1"},
		{"an objective misspelt", "plan --objective througput AT/empty", exitUsage,
			`--objective "througput"`, "want one of tardiness"},
		{"a plan for nothing", "plan --objective throughput", exitUsage, "want statistics", "--state with --load"},
		{"a scenario of nothing", "scenario from AT/none", exitConfig, "AT/none", "want a file of trimtab collect or run"},
		{"a graph for nobody", "graph init", exitUsage, "--target is missing", "want the URL"},
		{"an experiment that was not begun", "prove --config AT/none", exitConfig, "AT/none", "trimtab init writes one"},
		{"a state that is not there", "explain --state AT/none", exitConfig,
			"there is no AT/none", "start trimtab tune first"},
		{"reports that are not there", "compare AT/none AT/none", exitConfig,
			"AT/none", "want a report of trimtab load --report"},
	} {
		t.Run(c.name, func(t *testing.T) {
			words := strings.Fields(strings.ReplaceAll(c.args, "AT/", dir+"/"))
			code, _, stderr := command(t.Context(), words...)
			said := ""
			for line := range strings.Lines(stderr) {
				if strings.HasPrefix(line, "trimtab: ") {
					said += line
				}
			}
			what, todo := strings.ReplaceAll(c.what, "AT/", dir+"/"), strings.ReplaceAll(c.todo, "AT/", dir+"/")
			if code != c.code || strings.Count(said, "\n") != 1 || !strings.Contains(said, what) ||
				!strings.Contains(said, todo) {
				t.Errorf("trimtab %s\n  got %d and %q\n want %d and one line with %q and %q", c.args, code, said,
					c.code, what, todo)
			}
		})
	}
}
