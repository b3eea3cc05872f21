//go:build linux

package loadgen

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program is a load generator as its users start it.
type program struct {
	name  string
	path  string
	args  []string
	stdin string
	got   []programRun
}

// programRun is what one round of a program cost.
type programRun struct{ perSecond, cpuPerRequest, maxRSS float64 }

const programRound = 3 * time.Second

// needScript skips a long comparison that scripts/bench-load.sh runs.
func needScript(b *testing.B) {
	b.Helper()
	if os.Getenv("TRIMTAB_BENCH_BIN") == "" {
		b.Skip("scripts/bench-load.sh runs this comparison")
	}
}

// BenchmarkPrograms compares peak request rates of whole programs against one NGINX, which counts the requests itself,
// in interleaved rounds. The environment names the programs: TRIMTAB_BENCH_BIN, TRIMTAB_BENCH_VEGETA,
// TRIMTAB_BENCH_WRK.
func BenchmarkPrograms(b *testing.B) {
	needScript(b)
	url := staticNGINX(b)
	seconds := fmt.Sprintf("%ds", programRound/time.Second)
	workers := strconv.Itoa(peakWorkers)
	programs := []*program{
		{name: "vegeta", path: os.Getenv("TRIMTAB_BENCH_VEGETA"), stdin: "GET " + url,
			args: []string{"attack", "-rate=0", "-workers=" + workers, "-max-workers=" + workers,
				"-duration=" + seconds, "-output=/dev/null"}},
		{name: "trimtab", path: os.Getenv("TRIMTAB_BENCH_BIN"),
			args: []string{"load", "--target", url, "--arrival", "exp", "--rate", "500000", "--workers", workers,
				"--max-workers", workers, "--duration", seconds, "--json"}},
		{name: "wrk", path: os.Getenv("TRIMTAB_BENCH_WRK"), args: []string{"-t2", "-c" + workers, "-d" + seconds, url}},
	}
	if programs[0].path == "" {
		b.Skip("TRIMTAB_BENCH_VEGETA names no program")
	}
	programs = slices.DeleteFunc(programs, func(p *program) bool { return p.path == "" })
	for b.Loop() {
		for _, p := range programs {
			p.got = append(p.got, p.run(b, url))
		}
	}
	for _, p := range programs {
		for unit, of := range map[string]func(programRun) float64{
			"req/s":       func(r programRun) float64 { return r.perSecond },
			"CPU_us/req":  func(r programRun) float64 { return r.cpuPerRequest },
			"max_RSS_MiB": func(r programRun) float64 { return r.maxRSS },
			"vs_vegeta": func(r programRun) float64 {
				return r.perSecond / medianOf(programs[0].got, programRun.rate)
			},
			"RSS_vs_vegeta": func(r programRun) float64 { return r.maxRSS / medianOf(programs[0].got, programRun.rss) },
		} {
			b.ReportMetric(medianOf(p.got, of), p.name+"_"+unit)
		}
	}
	b.ReportMetric(0, "ns/op")
}

func (r programRun) rate() float64 { return r.perSecond }
func (r programRun) rss() float64  { return r.maxRSS }

// medianOf returns the median of a figure over runs.
func medianOf[T any](runs []T, of func(T) float64) float64 {
	values := make([]float64, 0, len(runs))
	for _, r := range runs {
		values = append(values, of(r))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func (p *program) run(b *testing.B, url string) programRun {
	before := served(b, url)
	cmd := exec.CommandContext(b.Context(), p.path, p.args...)
	cmd.Stdin = strings.NewReader(p.stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		b.Fatalf("%s: %v: %s", p.name, err, stderr.String())
	}
	n := float64(served(b, url) - before - 1) // the second look at the counter counts itself
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return programRun{perSecond: n / programRound.Seconds(), cpuPerRequest: float64(cpu.Microseconds()) / n,
		maxRSS: float64(usage.Maxrss) / 1024}
}

// served returns how many requests NGINX has counted.
func served(b *testing.B, url string) int {
	resp, err := http.Get(strings.TrimSuffix(url, "/index.html") + "/status")
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^ \d+ \d+ (\d+)`).FindSubmatch(body)
	if m == nil {
		b.Fatalf("no counter in %q", body)
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		b.Fatal(err)
	}
	return n
}
