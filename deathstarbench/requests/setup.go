package requests

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"trimtab/deathstarbench"
)

// SetUp says how to bring a social graph into a deployment.
type SetUp struct {
	BaseURL     string                // of the deployment's front end
	Graph       *deathstarbench.Graph // users and who follows whom, both ways per edge
	FirstUser   int                   // id of node 0
	Posts       int                   // initial posts per user, drawn uniformly from 0 to this; 0: none
	Seed        uint64                // of the posts
	Concurrency int                   // calls at once; 0 means 16
	Attempts    int                   // per call, with back-off; 0 means 6
	BackOff     time.Duration         // before the second attempt, doubled each time, up to 5 s; 0 means 100 ms
	Client      *http.Client          // nil: one with a timeout of 30 s that uses no proxy
	// Progress is called now and then, by one goroutine at a time, with how much of a phase is done. May be nil.
	Progress func(phase string, done, total int)
}

// SetUpReport says what a SetUp did.
type SetUpReport struct {
	Users    int `json:"users"`    // registered now
	Existing int `json:"existing"` // were registered before
	Follows  int `json:"follows"`
	Posts    int `json:"posts"`
	Retries  int `json:"retries"`
}

// errExists is a refused registration of a user who exists.
var errExists = errors.New("exists")

// Run registers the users, makes both ends of every edge follow each other and composes the posts. Doing it again is
// harmless but for the posts. It stops at the first call that fails for good.
func (s SetUp) Run(ctx context.Context) (SetUpReport, error) {
	if s.Concurrency == 0 {
		s.Concurrency = 16
	}
	if s.Attempts == 0 {
		s.Attempts = 6
	}
	if s.BackOff == 0 {
		s.BackOff = 100 * time.Millisecond
	}
	if s.Client == nil {
		transport := &http.Transport{MaxIdleConnsPerHost: s.Concurrency, DisableCompression: true}
		defer transport.CloseIdleConnections()
		s.Client = &http.Client{Transport: transport, Timeout: 30 * time.Second}
	}
	s.BaseURL = strings.TrimRight(s.BaseURL, "/")
	calls := &calls{SetUp: s}
	var existing atomic.Int64
	id := func(node int32) string { return strconv.Itoa(s.FirstUser + int(node)) }
	err := calls.each(ctx, "register", s.Graph.Nodes, func(ctx context.Context, i int) error {
		user := id(int32(i))
		err := calls.post(ctx, deathstarbench.RegisterPath, url.Values{
			"first_name": {"first_name_" + user}, "last_name": {"last_name_" + user}, "username": {"username_" + user},
			"password": {"password_" + user}, "user_id": {user},
		}.Encode())
		if errors.Is(err, errExists) {
			existing.Add(1)
			return nil
		}
		return err
	})
	report := SetUpReport{Existing: int(existing.Load()), Users: int(calls.done.Load() - existing.Load())}
	if err == nil {
		err = calls.each(ctx, "follow", 2*len(s.Graph.Edges), func(ctx context.Context, i int) error {
			e := s.Graph.Edges[i/2]
			return calls.post(ctx, deathstarbench.FollowPath, url.Values{
				"user_name": {"username_" + id(e[i%2])}, "followee_name": {"username_" + id(e[1-i%2])},
			}.Encode())
		})
		report.Follows = int(calls.done.Load())
	}
	if err == nil && s.Posts > 0 {
		err = calls.compose(ctx)
		report.Posts = int(calls.done.Load())
	}
	report.Retries = int(calls.retries.Load())
	return report, err
}

// calls makes calls at a bounded concurrency.
type calls struct {
	SetUp
	done    atomic.Int64 // of the phase
	retries atomic.Int64
}

// each makes n calls and waits for them; the first error ends the rest.
func (c *calls) each(ctx context.Context, phase string, n int, do func(ctx context.Context, i int) error) error {
	c.done.Store(0)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(c.Concurrency, n) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := do(ctx, i); err != nil {
					cancel(fmt.Errorf("%s: %w", phase, err))
					return
				}
				c.done.Add(1)
			}
		})
	}
	finished := make(chan struct{})
	go func() {
		workers.Wait()
		close(finished)
	}()
	c.report(phase, n, finished)
	return context.Cause(ctx)
}

// report reports progress until finished.
func (c *calls) report(phase string, n int, finished <-chan struct{}) {
	if c.Progress == nil {
		<-finished
		return
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.Progress(phase, int(c.done.Load()), n)
		case <-finished:
			c.Progress(phase, int(c.done.Load()), n)
			return
		}
	}
}

// compose writes each user's posts, with texts like those of the compose workload.
func (c *calls) compose(ctx context.Context) error {
	rng := rand.New(rand.NewPCG(c.Seed, 0x60642e2a34326f15))
	var authors []int
	for user := range c.Graph.Nodes {
		for range rng.IntN(c.Posts + 1) {
			authors = append(authors, user)
		}
	}
	rng.Shuffle(len(authors), func(i, j int) { authors[i], authors[j] = authors[j], authors[i] })
	targeter, err := NewTargeter(deathstarbench.ComposePost, c.BaseURL, TargetOptions{Users: c.Graph.Nodes,
		FirstUser: c.FirstUser, Seed: c.Seed})
	if err != nil {
		return err
	}
	return c.each(ctx, "compose", len(authors), func(ctx context.Context, i int) error {
		var target vegeta.Target
		if err := targeter(&target); err != nil {
			return err
		}
		// The author is ours; what comes after the user id is the targeter's.
		_, rest, _ := bytes.Cut(target.Body, []byte("&text="))
		user := strconv.Itoa(c.FirstUser + authors[i])
		return c.post(ctx, deathstarbench.ComposePath, "username=username_"+user+"&user_id="+user+"&text="+string(rest))
	})
}

// post makes one call, again after a pause when it fails in a way that may pass.
func (c *calls) post(ctx context.Context, path, form string) error {
	pause := c.BackOff
	for attempt := 1; ; attempt++ {
		passing, err := c.try(ctx, path, form)
		if err == nil || !passing || ctx.Err() != nil {
			return err
		}
		if attempt == c.Attempts {
			return fmt.Errorf("%w (gave up after %d attempts)", err, attempt)
		}
		c.retries.Add(1)
		// Half of the pause is random, so that calls that failed together do not come back together.
		timer := time.NewTimer(pause/2 + rand.N(pause/2+1))
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		}
		pause = min(2*pause, 5*time.Second)
	}
}

// try makes one attempt; passing says that another may fare better.
func (c *calls) try(ctx context.Context, path, form string) (passing bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.BaseURL+path, strings.NewReader(form))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := c.Client.Do(req)
	if err != nil {
		return true, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return true, fmt.Errorf("post %s: %w", path, err)
	}
	if resp.StatusCode < 300 {
		return false, nil
	}
	answer := strings.TrimSpace(string(body))
	if resp.StatusCode == http.StatusInternalServerError && path == deathstarbench.RegisterPath &&
		strings.Contains(answer, "exist") {
		return false, errExists
	}
	passing = resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests
	return passing, fmt.Errorf("post %s: %s: %.200q", path, resp.Status, answer)
}
