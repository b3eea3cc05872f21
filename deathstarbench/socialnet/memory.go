package socialnet

import (
	"context"
	"sync"
)

// Memory is a store in memory.
type Memory struct {
	mu    sync.RWMutex
	users map[int64]*memoryUser
	names map[string]int64
}

type memoryUser struct {
	mu        sync.RWMutex
	name      string // empty: posted or followed without having registered
	followers map[int64]struct{}
	timelines [2]timeline
}

// timeline is a ring of the newest posts.
type timeline struct {
	posts [][]byte
	next  int // where the next post goes once the ring is full
}

func (t *timeline) add(post []byte) {
	if len(t.posts) < TimelineLimit {
		t.posts = append(t.posts, post)
		return
	}
	t.posts[t.next] = post
	t.next = (t.next + 1) % TimelineLimit
}

func (t *timeline) read(dst [][]byte, start, stop int) [][]byte {
	n := len(t.posts)
	for i := start; i < min(stop, n); i++ {
		dst = append(dst, t.posts[(t.next+n-1-i)%n])
	}
	return dst
}

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{users: map[int64]*memoryUser{}, names: map[string]int64{}}
}

var _ Store = (*Memory)(nil)

// AddUser implements Store.
func (m *Memory) AddUser(_ context.Context, id int64, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, taken := m.names[name]; taken {
		return ErrUserExists
	}
	u := m.users[id]
	if u != nil && u.name != "" {
		return ErrUserExists
	}
	if u == nil {
		u = &memoryUser{}
		m.users[id] = u
	}
	u.name = name
	m.names[name] = id
	return nil
}

// UserIDs implements Store.
func (m *Memory) UserIDs(_ context.Context, dst []int64, names []string) ([]int64, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, name := range names {
		id, ok := m.names[name]
		if !ok {
			id = -1
		}
		dst = append(dst, id)
	}
	return dst, nil
}

func (m *Memory) user(id int64) *memoryUser {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.users[id]
}

// author returns the user, known or not: like the original, a post asks for no registration.
func (m *Memory) author(id int64) *memoryUser {
	if u := m.user(id); u != nil {
		return u
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.users[id]
	if u == nil {
		u = &memoryUser{}
		m.users[id] = u
	}
	return u
}

// SetFollow implements Store.
func (m *Memory) SetFollow(_ context.Context, follower, followee int64, follows bool) error {
	from, to := m.user(follower), m.user(followee)
	if from == nil || to == nil {
		return ErrNoUser
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	if !follows {
		delete(to.followers, follower)
		return nil
	}
	if to.followers == nil {
		to.followers = map[int64]struct{}{}
	}
	to.followers[follower] = struct{}{}
	return nil
}

// Followers implements Store.
func (m *Memory) Followers(_ context.Context, dst []int64, user int64) ([]int64, error) {
	u := m.user(user)
	if u == nil {
		return dst, nil
	}
	u.mu.RLock()
	defer u.mu.RUnlock()
	for id := range u.followers {
		dst = append(dst, id)
	}
	return dst, nil
}

// AddPost implements Store.
func (m *Memory) AddPost(_ context.Context, _ int64, post []byte, author int64, readers []int64) error {
	m.author(author).add(UserTimeline, post)
	for _, id := range readers {
		if u := m.user(id); u != nil {
			u.add(HomeTimeline, post)
		}
	}
	return nil
}

func (u *memoryUser) add(kind Kind, post []byte) {
	u.mu.Lock()
	u.timelines[kind].add(post)
	u.mu.Unlock()
}

// Posts implements Store.
func (m *Memory) Posts(_ context.Context, dst [][]byte, kind Kind, user int64, start, stop int) ([][]byte, error) {
	u := m.user(user)
	if u == nil {
		return dst, nil
	}
	u.mu.RLock()
	defer u.mu.RUnlock()
	return u.timelines[kind].read(dst, start, stop), nil
}

// Close implements Store.
func (m *Memory) Close() error { return nil }
