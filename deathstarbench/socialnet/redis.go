package socialnet

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// OpenStore opens the store that a URL names: memory:// (or nothing) in this process, redis://host:port/db,
// rediss://… or unix:///path/of/socket a Redis server that several processes can share.
func OpenStore(ctx context.Context, url string) (Store, error) {
	if url == "" || url == "memory://" {
		return NewMemory(), nil
	}
	scheme, _, _ := strings.Cut(url, "://")
	if scheme != "redis" && scheme != "rediss" && scheme != "unix" {
		return nil, fmt.Errorf("store %q: want memory://, redis://host:port, rediss://host:port or unix:///path", url)
	}
	options, err := redis.ParseURL(url)
	if err != nil {
		return nil, fmt.Errorf("store %q: %w", url, err)
	}
	// The library prints failed dials to stderr; they are returned as errors too.
	quiet.Do(func() { redis.SetLogger(silent{}) })
	client := redis.NewClient(options)
	if err := client.Ping(ctx).Err(); err != nil {
		return nil, errors.Join(fmt.Errorf("reach store %s: %w", options.Addr, err), client.Close())
	}
	return &Redis{client}, nil
}

// quiet guards the logger of the redis library, which is one for the process.
var quiet sync.Once

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// Redis is a store in a Redis server. A post lives as long as it is among the newest TimelineLimit of its author; a
// home timeline leaves out posts that have gone.
//
// Keys: trimtab:names (hash name→id), trimtab:users (hash id→name), trimtab:followers:<id> (set of ids),
// trimtab:home:<id> and trimtab:user:<id> (lists of post ids, newest first), trimtab:post:<id>.
type Redis struct{ client *redis.Client }

var _ Store = (*Redis)(nil)

const prefix = "trimtab:"

func followersKey(id int64) string { return prefix + "followers:" + strconv.FormatInt(id, 10) }
func postKey(id string) string     { return prefix + "post:" + id }

func timelineKey(kind Kind, user int64) string {
	if kind == HomeTimeline {
		return prefix + "home:" + strconv.FormatInt(user, 10)
	}
	return prefix + "user:" + strconv.FormatInt(user, 10)
}

// Each change is one script: atomic, and one round trip however many followers there are.
var (
	addUserScript = redis.NewScript(`
if redis.call('HEXISTS', KEYS[1], ARGV[2]) == 1 or redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return 1`)

	followScript = redis.NewScript(`
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 or redis.call('HEXISTS', KEYS[1], ARGV[2]) == 0 then return 0 end
redis.call(ARGV[3], KEYS[2], ARGV[1])
return 1`)

	// KEYS: post, user timeline, home timelines. ARGV: id, post, limit, prefix of posts.
	addPostScript = redis.NewScript(`
redis.call('SET', KEYS[1], ARGV[2])
if redis.call('LPUSH', KEYS[2], ARGV[1]) > tonumber(ARGV[3]) then
  redis.call('DEL', ARGV[4] .. redis.call('RPOP', KEYS[2]))
end
for i = 3, #KEYS do
  if redis.call('LPUSH', KEYS[i], ARGV[1]) > tonumber(ARGV[3]) then redis.call('RPOP', KEYS[i]) end
end
return 1`)
)

// AddUser implements Store.
func (r *Redis) AddUser(ctx context.Context, id int64, name string) error {
	added, err := addUserScript.Run(ctx, r.client, []string{prefix + "names", prefix + "users"}, id, name).Bool()
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	if !added {
		return ErrUserExists
	}
	return nil
}

// UserIDs implements Store.
func (r *Redis) UserIDs(ctx context.Context, dst []int64, names []string) ([]int64, error) {
	if len(names) == 0 {
		return dst, nil
	}
	found, err := r.client.HMGet(ctx, prefix+"names", names...).Result()
	if err != nil {
		return dst, err
	}
	for _, v := range found {
		id := int64(-1)
		if text, ok := v.(string); ok {
			if id, err = strconv.ParseInt(text, 10, 64); err != nil {
				return dst, fmt.Errorf("read user id: %w", err)
			}
		}
		dst = append(dst, id)
	}
	return dst, nil
}

// SetFollow implements Store.
func (r *Redis) SetFollow(ctx context.Context, follower, followee int64, follows bool) error {
	command := "SADD"
	if !follows {
		command = "SREM"
	}
	known, err := followScript.Run(ctx, r.client, []string{prefix + "users", followersKey(followee)}, follower,
		followee, command).Bool()
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	if !known {
		return ErrNoUser
	}
	return nil
}

// Followers implements Store.
func (r *Redis) Followers(ctx context.Context, dst []int64, user int64) ([]int64, error) {
	members, err := r.client.SMembers(ctx, followersKey(user)).Result()
	if err != nil {
		return dst, err
	}
	for _, m := range members {
		id, err := strconv.ParseInt(m, 10, 64)
		if err != nil {
			return dst, fmt.Errorf("read follower: %w", err)
		}
		dst = append(dst, id)
	}
	return dst, nil
}

// AddPost implements Store.
func (r *Redis) AddPost(ctx context.Context, id int64, post []byte, author int64, readers []int64) error {
	text := strconv.FormatInt(id, 10)
	keys := make([]string, 0, 2+len(readers))
	keys = append(keys, postKey(text), timelineKey(UserTimeline, author))
	for _, reader := range readers {
		keys = append(keys, timelineKey(HomeTimeline, reader))
	}
	return addPostScript.Run(ctx, r.client, keys, text, post, TimelineLimit, postKey("")).Err()
}

// Posts implements Store.
func (r *Redis) Posts(ctx context.Context, dst [][]byte, kind Kind, user int64, start, stop int) ([][]byte, error) {
	ids, err := r.client.LRange(ctx, timelineKey(kind, user), int64(start), int64(stop)-1).Result()
	if err != nil || len(ids) == 0 {
		return dst, err
	}
	for i := range ids {
		ids[i] = postKey(ids[i])
	}
	posts, err := r.client.MGet(ctx, ids...).Result()
	if err != nil {
		return dst, err
	}
	for _, p := range posts {
		if text, ok := p.(string); ok {
			dst = append(dst, []byte(text))
		}
	}
	return dst, nil
}

// Close implements Store.
func (r *Redis) Close() error { return r.client.Close() }
