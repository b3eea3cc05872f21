package socialnet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
	"golang.org/x/sync/errgroup"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/requests"
)

// Network is the social network: what the servers of one deployment share.
type Network struct {
	store   Store
	process uint64 // tells post ids of processes with one store apart
	count   atomic.Uint64
}

// NewNetwork returns a network that keeps its state in store.
func NewNetwork(store Store) *Network {
	return &Network{store: store, process: rand.Uint64() & 0x3ff}
}

// Register adds a user.
func (n *Network) Register(ctx context.Context, id int64, name string) error {
	if err := n.store.AddUser(ctx, id, name); err != nil {
		return fmt.Errorf("register user %q with id %d: %w", name, id, err)
	}
	return nil
}

// Follow makes follower follow followee; doing it twice is harmless.
func (n *Network) Follow(ctx context.Context, follower, followee int64) error {
	return n.store.SetFollow(ctx, follower, followee, true)
}

// Unfollow undoes Follow.
func (n *Network) Unfollow(ctx context.Context, follower, followee int64) error {
	return n.store.SetFollow(ctx, follower, followee, false)
}

// followByName follows or unfollows by names.
func (n *Network) followByName(ctx context.Context, follower, followee string, follows bool) error {
	ids, err := n.store.UserIDs(ctx, nil, []string{follower, followee})
	if err != nil {
		return err
	}
	for i, id := range ids {
		if id < 0 {
			return fmt.Errorf("user %q: %w", []string{follower, followee}[i], ErrNoUser)
		}
	}
	return n.store.SetFollow(ctx, ids[0], ids[1], follows)
}

// Draft is a post before it is composed.
type Draft struct {
	UserID   int64
	Username string
	Text     string
	Media    []Media
	PostType int
}

// Compose publishes a post: it links the users that the text mentions as @name, shortens its URLs, and puts it on the
// author's user timeline and on the home timelines of the author's followers and of those mentioned.
func (n *Network) Compose(ctx context.Context, d Draft) error {
	text, urls := shorten(d.Text)
	names := mentions(d.Text)
	post := Post{
		Creator: User{ID: d.UserID, Name: d.Username}, Text: text, URLs: urls, Media: d.Media, Type: d.PostType,
		ID: n.postID(), RequestID: rand.Int64() >> 3, Timestamp: time.Now().UnixMilli(),
	}
	readers := make([]int64, 0, 64)
	if len(names) > 0 {
		ids, err := n.store.UserIDs(ctx, readers, names)
		if err != nil {
			return fmt.Errorf("look up mentioned users: %w", err)
		}
		readers = ids[:0]
		for i, id := range ids {
			if id >= 0 {
				post.Mentions = append(post.Mentions, User{ID: id, Name: names[i]})
				readers = append(readers, id)
			}
		}
	}
	readers, err := n.store.Followers(ctx, readers, d.UserID)
	if err != nil {
		return fmt.Errorf("look up followers: %w", err)
	}
	slices.Sort(readers)
	readers = slices.Compact(readers)
	if err := n.store.AddPost(ctx, post.ID, post.appendJSON(nil), d.UserID, readers); err != nil {
		return fmt.Errorf("store post: %w", err)
	}
	return nil
}

// postID returns an id that grows with time and is unique among processes: 41 bits of milliseconds, 10 of the
// process, 12 of a counter.
func (n *Network) postID() int64 {
	const epoch = 1_500_000_000_000 // July 2017, ms
	ms := uint64(time.Now().UnixMilli()-epoch) & (1<<41 - 1)
	return int64(ms<<22 | n.process<<12 | n.count.Add(1)&0xfff)
}

// Timeline appends the posts start…stop-1 of a timeline, the newest being 0, as a JSON array to dst. Like the
// original, a negative start or a stop that is not after it gives none.
func (n *Network) Timeline(ctx context.Context, dst []byte, kind Kind, user int64, start, stop int) ([]byte, error) {
	if start < 0 || stop <= start {
		return append(dst, "[]"...), nil
	}
	posts, err := n.store.Posts(ctx, make([][]byte, 0, min(stop-start, TimelineLimit)), kind, user, start, stop)
	if err != nil {
		return dst, fmt.Errorf("read timeline of user %d: %w", user, err)
	}
	size := 2
	for _, p := range posts {
		size += len(p) + 1
	}
	dst = append(slices.Grow(dst, size+1), '[')
	for i, p := range posts {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, p...)
	}
	return append(dst, ']'), nil
}

// Populate registers users first…first+users-1 as username_<id>, unless they are registered, and makes the ends of each
// edge, counted from 0, follow each other. It is what `trimtab graph init` does, without the calls.
func (n *Network) Populate(ctx context.Context, users, first int, edges [][2]int32) error {
	for i := range users {
		id := int64(first + i)
		if err := n.Register(ctx, id, username(id)); err != nil && !errors.Is(err, ErrUserExists) {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	const workers = 8 // a store behind a socket answers many at once
	for w := range workers {
		group.Go(func() error {
			for i := w; i < len(edges); i += workers {
				a, b := int64(first)+int64(edges[i][0]), int64(first)+int64(edges[i][1])
				if err := errors.Join(n.Follow(ctx, a, b), n.Follow(ctx, b, a)); err != nil {
					return fmt.Errorf("follow between users %d and %d: %w", a, b, err)
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// Prefill writes perUser posts like those of the compose workload for each of the users first…first+users-1, in turn,
// unless the first user has posts already.
func (n *Network) Prefill(ctx context.Context, users, first, perUser int, seed uint64) error {
	posts, err := n.store.Posts(ctx, nil, UserTimeline, int64(first), 0, 1)
	if err != nil || len(posts) > 0 {
		return err
	}
	targeter, err := requests.NewTargeter(deathstarbench.ComposePost, "http://prefill",
		requests.TargetOptions{Users: users, FirstUser: first, Seed: seed})
	if err != nil {
		return err
	}
	for range perUser {
		for i := range users {
			var target vegeta.Target
			if err := targeter(&target); err != nil {
				return err
			}
			form, err := url.ParseQuery(string(target.Body))
			if err != nil {
				return fmt.Errorf("read own post: %w", err)
			}
			media, err := parseMedia(form.Get("media_ids"), form.Get("media_types"))
			if err != nil {
				return err
			}
			author := int64(first + i)
			if err := n.Compose(ctx, Draft{UserID: author, Username: username(author), Text: form.Get("text"),
				Media: media}); err != nil {
				return err
			}
		}
	}
	return nil
}

func username(id int64) string { return fmt.Sprintf("username_%d", id) }

// Close closes the store.
func (n *Network) Close() error { return n.store.Close() }
