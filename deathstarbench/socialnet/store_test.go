package socialnet

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// eachStore runs a test on every store; Redis is a private server on a socket of its own.
func eachStore(t *testing.T, test func(t *testing.T, store Store)) {
	t.Run("memory", func(t *testing.T) {
		store, err := OpenStore(t.Context(), "memory://")
		if err != nil {
			t.Fatal(err)
		}
		test(t, store)
	})
	t.Run("redis", func(t *testing.T) {
		store, err := OpenStore(t.Context(), startRedis(t))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		})
		test(t, store)
	})
}

// startRedis starts a Redis server that keeps nothing on disk and returns its URL.
func startRedis(t *testing.T) string {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("redis-server is not installed: apt-get install redis-server")
	}
	dir := t.TempDir()
	socket := filepath.Join(dir, "redis.sock")
	cmd := exec.Command(binary, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", dir,
		"--logfile", filepath.Join(dir, "log"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	url := "unix://" + socket
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		store, err := OpenStore(ctx, url)
		if err == nil {
			store.Close()
			return url
		}
		select {
		case <-ctx.Done():
			t.Fatalf("redis-server is not up: %v", err)
		case <-tick.C:
		}
	}
}

func TestStores(t *testing.T) {
	eachStore(t, func(t *testing.T, s Store) {
		ctx := t.Context()
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(s.AddUser(ctx, 1, "ann"))
		must(s.AddUser(ctx, 2, "bob"))
		must(s.AddUser(ctx, 3, "cid"))
		for why, err := range map[string]error{
			"a taken id":   s.AddUser(ctx, 1, "eve"),
			"a taken name": s.AddUser(ctx, 4, "ann"),
		} {
			if !errors.Is(err, ErrUserExists) {
				t.Errorf("%s: got %v, want ErrUserExists", why, err)
			}
		}
		ids, err := s.UserIDs(ctx, []int64{7}, []string{"cid", "nobody", "ann"})
		if must(err); !slices.Equal(ids, []int64{7, 3, -1, 1}) {
			t.Errorf("ids: got %v, want 7 as before, then 3, -1, 1", ids)
		}
		if ids, err := s.UserIDs(ctx, nil, nil); err != nil || len(ids) != 0 {
			t.Errorf("ids of no names: got %v, %v", ids, err)
		}

		must(s.SetFollow(ctx, 1, 2, true))
		must(s.SetFollow(ctx, 3, 2, true))
		must(s.SetFollow(ctx, 3, 2, true)) // again: harmless
		if err := s.SetFollow(ctx, 1, 9, true); !errors.Is(err, ErrNoUser) {
			t.Errorf("following nobody: got %v, want ErrNoUser", err)
		}
		if err := s.SetFollow(ctx, 9, 1, true); !errors.Is(err, ErrNoUser) {
			t.Errorf("nobody following: got %v, want ErrNoUser", err)
		}
		followers := func(user int64) []int64 {
			t.Helper()
			ids, err := s.Followers(ctx, nil, user)
			must(err)
			slices.Sort(ids)
			return ids
		}
		if got := followers(2); !slices.Equal(got, []int64{1, 3}) {
			t.Errorf("followers: got %v, want 1 and 3", got)
		}
		must(s.SetFollow(ctx, 1, 2, false))
		must(s.SetFollow(ctx, 1, 2, false)) // again: harmless
		if got := followers(2); !slices.Equal(got, []int64{3}) {
			t.Errorf("followers after an unfollow: got %v, want 3", got)
		}
		if got := followers(9); len(got) != 0 {
			t.Errorf("followers of nobody: got %v", got)
		}

		// One more post than a timeline holds: the oldest has gone from both.
		for i := range TimelineLimit + 1 {
			must(s.AddPost(ctx, int64(i), fmt.Appendf(nil, "post %d", i), 2, []int64{3}))
		}
		for _, c := range []struct {
			why         string
			kind        Kind
			user        int64
			start, stop int
			want        []string
		}{
			{"the newest two", UserTimeline, 2, 0, 2, []string{"post 128", "post 127"}},
			{"some further down, at a follower", HomeTimeline, 3, 10, 12, []string{"post 118", "post 117"}},
			{"the end, beyond which there is nothing", UserTimeline, 2, 126, 136, []string{"post 2", "post 1"}},
			{"the end of a home timeline", HomeTimeline, 3, 127, 300, []string{"post 1"}},
			{"beyond the end", UserTimeline, 2, 128, 138, nil},
			{"the home timeline of the author", HomeTimeline, 2, 0, 10, nil},
			{"the user timeline of a reader", UserTimeline, 3, 0, 10, nil},
			{"a user who does not exist", UserTimeline, 99, 0, 10, nil},
		} {
			posts, err := s.Posts(ctx, nil, c.kind, c.user, c.start, c.stop)
			must(err)
			var got []string
			for _, p := range posts {
				got = append(got, string(p))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: got %v, want %v", c.why, got, c.want)
			}
		}
		// Like the original, a post asks for no registration.
		must(s.AddPost(ctx, 1000, []byte("hello"), 77, nil))
		if posts, err := s.Posts(ctx, nil, UserTimeline, 77, 0, 10); err != nil || len(posts) != 1 {
			t.Errorf("a post of an unregistered user: got %d posts, %v, want 1", len(posts), err)
		}
	})
}

func TestProcessesShareARedisStore(t *testing.T) {
	url := startRedis(t)
	var networks [2]*Network
	for i := range networks {
		store, err := OpenStore(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		networks[i] = NewNetwork(store)
		defer networks[i].Close()
	}
	ctx := t.Context()
	if err := networks[0].Populate(ctx, 3, 1, [][2]int32{{0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := networks[1].Populate(ctx, 3, 1, [][2]int32{{1, 2}}); err != nil { // the users exist: kept
		t.Fatal(err)
	}
	if err := networks[0].Compose(ctx, Draft{UserID: 2, Username: "username_2", Text: "hello"}); err != nil {
		t.Fatal(err)
	}
	for _, reader := range []int64{1, 3} {
		posts := home(t, networks[1], reader)
		if len(posts) != 1 || posts[0].Text != "hello" {
			t.Errorf("user %d reads %v, want the post written by the other process", reader, posts)
		}
	}
}

func TestOpenStoreRefuses(t *testing.T) {
	for why, url := range map[string]string{
		"another kind of store":      "mysql://localhost",
		"a malformed address":        "redis://localhost:port",
		"a server that is not there": "unix://" + filepath.Join(t.TempDir(), "nothing.sock"),
	} {
		if store, err := OpenStore(t.Context(), url); err == nil {
			store.Close()
			t.Errorf("%s: got no error", why)
		}
	}
}
