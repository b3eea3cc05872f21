package requests

import (
	"math"
	"net/url"
	"regexp"
	"strconv"
	"sync"
	"testing"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"trimtab/deathstarbench"
)

func mustTargeter(t testing.TB, workload string, opts TargetOptions) vegeta.Targeter {
	t.Helper()
	targeter, err := NewTargeter(workload, "http://lb:8080/", opts)
	if err != nil {
		t.Fatal(err)
	}
	return targeter
}

func next(t testing.TB, targeter vegeta.Targeter) vegeta.Target {
	t.Helper()
	var target vegeta.Target
	if err := targeter(&target); err != nil {
		t.Fatal(err)
	}
	return target
}

// The form body of DeathStarBench's compose-post.lua, to the byte.
var composeBody = regexp.MustCompile(`^username=username_(\d+)&user_id=(\d+)&text=([0-9a-zA-Z]{256})((?: @username_\d+){1,6})((?: http://[0-9a-zA-Z]{64}){1,6})` +
	`&media_ids=\[("\d{18}"(?:,"\d{18}"){0,4})\]&media_types=\[("png"(?:,"png"){0,4})\]&post_type=0$`)

func TestComposeRequestsAreThoseOfDeathStarBench(t *testing.T) {
	targeter := mustTargeter(t, deathstarbench.ComposePost, TargetOptions{Users: 50, FirstUser: 1, Seed: 3})
	const n = 3000
	mentions, links, media, users := map[int]int{}, map[int]int{}, map[int]int{}, map[int]int{}
	for range n {
		target := next(t, targeter)
		if target.Method != "POST" || target.URL != "http://lb:8080/wrk2-api/post/compose" ||
			target.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
			t.Fatalf("got %s %s %v", target.Method, target.URL, target.Header)
		}
		m := composeBody.FindStringSubmatch(string(target.Body))
		if m == nil {
			t.Fatalf("body does not match: %s", target.Body)
		}
		if m[1] != m[2] {
			t.Fatalf("user name %s and id %s differ", m[1], m[2])
		}
		user, _ := strconv.Atoi(m[1])
		users[user]++
		names := regexp.MustCompile(`@username_(\d+)`).FindAllStringSubmatch(m[4], -1)
		for _, name := range names {
			other, _ := strconv.Atoi(name[1])
			if other == user || other < 1 || other > 50 {
				t.Fatalf("user %d mentions %d: want another one of 1 to 50", user, other)
			}
		}
		mentions[len(names)]++
		links[len(regexp.MustCompile(`http://`).FindAllString(m[5], -1))]++
		pieces := len(regexp.MustCompile(`\d{18}`).FindAllString(m[6], -1))
		if kinds := len(regexp.MustCompile(`png`).FindAllString(m[7], -1)); kinds != pieces {
			t.Fatalf("%d media of %d types", pieces, kinds)
		}
		media[pieces]++
		form, err := url.ParseQuery(string(target.Body))
		if err != nil || len(form) != 6 {
			t.Fatalf("a form parser reads %v, %v", form, err)
		}
	}
	uniform(t, "mentions", mentions, 1, 6, n)
	uniform(t, "links", links, 1, 6, n)
	uniform(t, "media", media, 1, 5, n)
	uniform(t, "users", users, 1, 50, n)
}

// uniform checks counts of from…to against the uniform distribution by a chi-square test at about 0.1 %.
func uniform(t *testing.T, what string, counts map[int]int, from, to, n int) {
	t.Helper()
	k := to - from + 1
	want := float64(n) / float64(k)
	chi, total := 0.0, 0
	for i := from; i <= to; i++ {
		d := float64(counts[i]) - want
		chi += d * d / want
		total += counts[i]
	}
	if total != n {
		t.Errorf("%s: %d of %d outside %d…%d: %v", what, n-total, n, from, to, counts)
	}
	// The 99.9 % quantile of chi-square is below this for every number of degrees of freedom up to 10,000.
	freedom := float64(k - 1)
	bound := freedom + 4.4*math.Sqrt(freedom) + 7
	if chi > bound {
		t.Errorf("%s: chi-square %.1f at %d degrees of freedom, want below %.1f: %v", what, chi, k-1, bound, counts)
	}
}

func TestReadRequestsAreThoseOfDeathStarBench(t *testing.T) {
	for workload, path := range map[string]string{deathstarbench.ReadHomeTimeline: "/wrk2-api/home-timeline/read",
		deathstarbench.ReadUserTimeline: "/wrk2-api/user-timeline/read"} {
		targeter := mustTargeter(t, workload, TargetOptions{Seed: 5})
		shape := regexp.MustCompile(`^http://lb:8080` + path + `\?user_id=(\d+)&start=(\d+)&stop=(\d+)$`)
		starts, users := map[int]int{}, map[int]int{}
		const n = 20000
		for range n {
			target := next(t, targeter)
			m := shape.FindStringSubmatch(target.URL)
			if target.Method != "GET" || target.Body != nil || m == nil {
				t.Fatalf("%s: got %s %s with body %q", workload, target.Method, target.URL, target.Body)
			}
			user, _ := strconv.Atoi(m[1])
			start, _ := strconv.Atoi(m[2])
			stop, _ := strconv.Atoi(m[3])
			if stop != start+10 {
				t.Fatalf("%s: start %d, stop %d", workload, start, stop)
			}
			starts[start]++
			users[user]++
		}
		uniform(t, workload+" start", starts, 0, 100, n)
		uniform(t, workload+" user", users, 0, 961, n) // first user 0, 962 users by default
	}
}

func TestMixedIsSixtyThirtyTen(t *testing.T) {
	targeter := mustTargeter(t, deathstarbench.Mixed, TargetOptions{Seed: 9})
	count := map[string]int{}
	const n = 20000
	for range n {
		u, err := url.Parse(next(t, targeter).URL)
		if err != nil {
			t.Fatal(err)
		}
		count[u.Path]++
	}
	for path, share := range map[string]float64{deathstarbench.HomeTimelinePath: 0.6,
		deathstarbench.UserTimelinePath: 0.3, deathstarbench.ComposePath: 0.1} {
		got := float64(count[path]) / n
		if sd := math.Sqrt(share * (1 - share) / n); got < share-4*sd || got > share+4*sd {
			t.Errorf("%s: got share %.4f, want %.1f within four standard deviations", path, got, share)
		}
	}
}

func TestTargetersAreSeeded(t *testing.T) {
	for _, workload := range append(deathstarbench.Workloads(), deathstarbench.Mixed) {
		a, b := mustTargeter(t, workload, TargetOptions{Seed: 1}), mustTargeter(t, workload, TargetOptions{Seed: 1})
		other := mustTargeter(t, workload, TargetOptions{Seed: 2})
		differ := 0
		for i := range 100 {
			x, y, z := next(t, a), next(t, b), next(t, other)
			if !x.Equal(&y) {
				t.Fatalf("%s: request %d differs for one seed: %v and %v", workload, i, x, y)
			}
			if !x.Equal(&z) {
				differ++
			}
		}
		if differ < 90 {
			t.Errorf("%s: %d of 100 requests differ for two seeds", workload, differ)
		}
	}
}

func TestTargeterServesManyWorkersAtOnce(t *testing.T) {
	one, many := mustTargeter(t, deathstarbench.Mixed, TargetOptions{Seed: 4}), mustTargeter(t, deathstarbench.Mixed,
		TargetOptions{Seed: 4})
	const n = 2000
	want := map[string]int{}
	for range n {
		target := next(t, one)
		want[target.URL+string(target.Body)]++
	}
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for range n / 8 {
				var target vegeta.Target
				if err := many(&target); err != nil {
					t.Error(err)
				}
				mu.Lock()
				want[target.URL+string(target.Body)]--
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	for request, left := range want {
		if left != 0 {
			t.Fatalf("%d more than one worker alone of %s", -left, request)
		}
	}
}

// A request costs its own URL or body and nothing else.
func TestTargeterAllocatesTheRequestOnly(t *testing.T) {
	for _, workload := range append(deathstarbench.Workloads(), deathstarbench.Mixed) {
		targeter := mustTargeter(t, workload, TargetOptions{Seed: 1})
		var target vegeta.Target
		for range 200 { // the scratch buffer grows to its size
			_ = targeter(&target)
		}
		if got := testing.AllocsPerRun(1000, func() { _ = targeter(&target) }); got > 1 {
			t.Errorf("%s: %g allocations per request, want 1", workload, got)
		}
	}
}

func TestNewTargeterRefuses(t *testing.T) {
	for _, c := range []struct {
		why, workload, url string
		opts               TargetOptions
	}{
		{"a workload that does not exist", "login", "http://lb", TargetOptions{}},
		{"an address without a scheme", deathstarbench.Mixed, "lb:8080", TargetOptions{}},
		{"one user, who could mention nobody", deathstarbench.Mixed, "http://lb", TargetOptions{Users: 1}},
		{"a negative number of users", deathstarbench.Mixed, "http://lb", TargetOptions{Users: -5}},
		{"a negative user", deathstarbench.Mixed, "http://lb", TargetOptions{FirstUser: -1}},
	} {
		if _, err := NewTargeter(c.workload, c.url, c.opts); err == nil {
			t.Errorf("%s: got no error", c.why)
		}
	}
	targeter := mustTargeter(t, deathstarbench.Mixed, TargetOptions{})
	if err := targeter(nil); err != vegeta.ErrNilTarget {
		t.Errorf("a nil target: got %v, want ErrNilTarget", err)
	}
}

func BenchmarkTargeter(b *testing.B) {
	for _, workload := range append(deathstarbench.Workloads(), deathstarbench.Mixed) {
		b.Run(workload, func(b *testing.B) {
			targeter := mustTargeter(b, workload, TargetOptions{Seed: 1})
			var target vegeta.Target
			b.ReportAllocs()
			for b.Loop() {
				_ = targeter(&target)
			}
		})
	}
}
