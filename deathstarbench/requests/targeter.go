package requests

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"trimtab/deathstarbench"
)

// TargetOptions say which users the requests are about, and seed them.
type TargetOptions struct {
	Users     int    // number of users; 0 means deathstarbench.DefaultUsers; at least 2
	FirstUser int    // id of the first user; usually deathstarbench.DefaultFirstUser
	Seed      uint64 // the same seed gives the same requests in the same order
}

// NewTargeter returns a targeter of the workload for the social network at baseURL, such as http://nginx:8080. It is
// safe for concurrent use: the n-th call gets the n-th request whoever calls. The requests are those of
// DeathStarBench's own wrk2 scripts to the byte but for the random values; the form body is not percent-encoded there
// either. A call allocates nothing but the URL or body of its request; the headers are shared and must not be changed.
func NewTargeter(workload, baseURL string, opts TargetOptions) (vegeta.Targeter, error) {
	if opts.Users == 0 {
		opts.Users = deathstarbench.DefaultUsers
	}
	if opts.Users < 2 || opts.FirstUser < 0 {
		return nil, fmt.Errorf("workload %s: %d users from %d: want at least 2 users and a first user of at least 0",
			workload, opts.Users, opts.FirstUser)
	}
	if !strings.HasPrefix(baseURL, "http://") && !strings.HasPrefix(baseURL, "https://") {
		return nil, fmt.Errorf("workload %s: target %q: want a URL such as http://127.0.0.1:8080", workload, baseURL)
	}
	base := strings.TrimRight(baseURL, "/")
	r := &requests{
		compose: base + deathstarbench.ComposePath,
		home:    base + deathstarbench.HomeTimelinePath + "?user_id=",
		user:    base + deathstarbench.UserTimelinePath + "?user_id=",
		header:  http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
		users:   opts.Users,
		first:   opts.FirstUser,
		rng:     rand.New(rand.NewPCG(opts.Seed, 0x5bd1e9955bd1e995)),
	}
	var next func(*vegeta.Target)
	switch workload {
	case deathstarbench.ComposePost:
		next = r.nextCompose
	case deathstarbench.ReadHomeTimeline:
		next = func(t *vegeta.Target) { r.nextRead(t, r.home) }
	case deathstarbench.ReadUserTimeline:
		next = func(t *vegeta.Target) { r.nextRead(t, r.user) }
	case deathstarbench.Mixed:
		next = r.nextMixed
	default:
		return nil, fmt.Errorf("workload %q: want %s or %s", workload, strings.Join(deathstarbench.Workloads(), ", "),
			deathstarbench.Mixed)
	}
	return func(t *vegeta.Target) error {
		if t == nil {
			return vegeta.ErrNilTarget
		}
		r.mu.Lock()
		next(t)
		r.mu.Unlock()
		return nil
	}, nil
}

// requests draws the requests of one targeter.
type requests struct {
	compose, home, user string
	header              http.Header
	users, first        int

	mu  sync.Mutex
	rng *rand.Rand
	buf []byte // scratch; the request gets a copy
}

func (r *requests) anyUser() int { return r.first + r.rng.IntN(r.users) }

// nextMixed draws 60 % home timelines, 30 % user timelines and 10 % composes.
func (r *requests) nextMixed(t *vegeta.Target) {
	switch coin := r.rng.Float64(); {
	case coin < 0.60:
		r.nextRead(t, r.home)
	case coin < 0.90:
		r.nextRead(t, r.user)
	default:
		r.nextCompose(t)
	}
}

// nextRead asks for ten posts from a start that is uniform in 0…100.
func (r *requests) nextRead(t *vegeta.Target, prefix string) {
	user := r.anyUser()
	start := r.rng.IntN(101)
	b := append(r.buf[:0], prefix...)
	b = strconv.AppendInt(b, int64(user), 10)
	b = append(b, "&start="...)
	b = strconv.AppendInt(b, int64(start), 10)
	b = append(b, "&stop="...)
	b = strconv.AppendInt(b, int64(start+10), 10)
	r.buf = b
	t.Method, t.URL, t.Body, t.Header = http.MethodGet, string(b), nil, r.header
}

// nextCompose posts 256 random characters, one to six mentions of others, one to six links and one to five media.
func (r *requests) nextCompose(t *vegeta.Target) {
	user := r.anyUser()
	mentions, links, media := 1+r.rng.IntN(6), 1+r.rng.IntN(6), 1+r.rng.IntN(5)
	b := append(r.buf[:0], "username=username_"...)
	b = strconv.AppendInt(b, int64(user), 10)
	b = append(b, "&user_id="...)
	b = strconv.AppendInt(b, int64(user), 10)
	b = append(b, "&text="...)
	b = r.appendRandom(b, alphanumerics, 256)
	for range mentions {
		other := r.first + r.rng.IntN(r.users-1)
		if other >= user {
			other++ // uniform over all but the user
		}
		b = append(b, " @username_"...)
		b = strconv.AppendInt(b, int64(other), 10)
	}
	for range links {
		b = append(b, " http://"...)
		b = r.appendRandom(b, alphanumerics, 64)
	}
	b = append(b, `&media_ids=[`...)
	for i := range media {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = r.appendRandom(b, digits, 18)
		b = append(b, '"')
	}
	b = append(b, `]&media_types=[`...)
	for i := range media {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `"png"`...)
	}
	b = append(b, `]&post_type=0`...)
	r.buf = b
	t.Method, t.URL, t.Header = http.MethodPost, r.compose, r.header
	t.Body = append(make([]byte, 0, len(b)), b...)
}

const (
	digits        = "0123456789"
	alphanumerics = digits + "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// appendRandom appends n characters drawn uniformly from the set: as many bits as an index needs, drawn again when they
// exceed it.
func (r *requests) appendRandom(b []byte, set string, n int) []byte {
	width := bits.Len(uint(len(set) - 1))
	mask := uint64(1)<<width - 1
	var random uint64
	left := 0
	for n > 0 {
		if left < width {
			random, left = r.rng.Uint64(), 64
		}
		if i := random & mask; i < uint64(len(set)) {
			b = append(b, set[i])
			n--
		}
		random >>= width
		left -= width
	}
	return b
}
