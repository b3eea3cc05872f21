package socialnet

import (
	"context"
	"errors"
)

// Errors of a store that callers tell apart.
var (
	ErrUserExists = errors.New("user exists")
	ErrNoUser     = errors.New("no such user")
)

// TimelineLimit is the number of posts that a timeline keeps; older ones are dropped. The workloads read up to 110.
const TimelineLimit = 128

// Kind says which of a user's two timelines is meant.
type Kind uint8

// The timelines of a user.
const (
	HomeTimeline Kind = iota // posts of those whom the user follows, and posts that mention the user
	UserTimeline             // the user's own posts
)

// Store keeps users, who follows whom, and the newest posts of every timeline. It is safe for concurrent use.
type Store interface {
	// AddUser adds a user, or fails with ErrUserExists when the id or the name is taken.
	AddUser(ctx context.Context, id int64, name string) error
	// UserIDs appends the id of every name to dst, -1 for a name that no user has.
	UserIDs(ctx context.Context, dst []int64, names []string) ([]int64, error)
	// SetFollow makes follower follow followee, or no longer, and fails with ErrNoUser when one of them is unknown.
	SetFollow(ctx context.Context, follower, followee int64, follows bool) error
	// Followers appends the ids of the followers of the user to dst, in no order.
	Followers(ctx context.Context, dst []int64, user int64) ([]int64, error)
	// AddPost puts a post, encoded as JSON, on the author's user timeline and on the home timelines of readers.
	// The store keeps post: it must not be changed afterwards.
	AddPost(ctx context.Context, id int64, post []byte, author int64, readers []int64) error
	// Posts appends the posts start…stop-1 of a timeline to dst, the newest being 0. They must not be changed.
	Posts(ctx context.Context, dst [][]byte, kind Kind, user int64, start, stop int) ([][]byte, error)
	// Close frees what the store holds.
	Close() error
}
