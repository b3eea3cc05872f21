package socialnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"trimtab/deathstarbench"
)

// maxForm bounds the form of a request, in bytes.
const maxForm = 1 << 20

// reply is what a call answers.
type reply struct {
	status int
	json   bool
	body   []byte
}

func text(status int, format string, args ...any) reply {
	return reply{status: status, body: fmt.Appendf(nil, format+"\n", args...)}
}

var incomplete = text(http.StatusBadRequest, "Incomplete arguments")

// call answers one kind of request. It is the real work, done beside the modelled service time.
type call func(ctx context.Context, n *Network, form url.Values) reply

// route is what is behind a path.
type route struct {
	method   string
	workload string // empty: outside the capacity model
	call     call
	own      bool // a service of the scenario's own
}

// routes returns the calls of the front end that the workloads and the set-up use.
func routes() map[string]route {
	return map[string]route{
		deathstarbench.ComposePath: {method: http.MethodPost, workload: deathstarbench.ComposePost, call: compose},
		deathstarbench.HomeTimelinePath: {method: http.MethodGet, workload: deathstarbench.ReadHomeTimeline,
			call: readTimeline(HomeTimeline, "home")},
		deathstarbench.UserTimelinePath: {method: http.MethodGet, workload: deathstarbench.ReadUserTimeline,
			call: readTimeline(UserTimeline, "user")},
		deathstarbench.RegisterPath: {method: http.MethodPost, call: register},
		deathstarbench.FollowPath:   {method: http.MethodPost, call: follow(true, "Follow")},
		deathstarbench.UnfollowPath: {method: http.MethodPost, call: follow(false, "Unfollow")},
	}
}

func missing(form url.Values, keys ...string) bool {
	for _, k := range keys {
		if form.Get(k) == "" {
			return true
		}
	}
	return false
}

func compose(ctx context.Context, n *Network, form url.Values) reply {
	if missing(form, "user_id", "username", "post_type", "text") {
		return incomplete
	}
	d := Draft{Username: form.Get("username"), Text: form.Get("text")}
	var err, errType error
	d.UserID, err = strconv.ParseInt(form.Get("user_id"), 10, 64)
	d.PostType, errType = strconv.Atoi(form.Get("post_type"))
	if err = errors.Join(err, errType); err != nil {
		return text(http.StatusInternalServerError, "compost_post failure: %v", err)
	}
	if !missing(form, "media_ids", "media_types") {
		if d.Media, err = parseMedia(form.Get("media_ids"), form.Get("media_types")); err != nil {
			return text(http.StatusInternalServerError, "compost_post failure: %v", err)
		}
	}
	if err := n.Compose(ctx, d); err != nil {
		return text(http.StatusInternalServerError, "compost_post failure: %v", err)
	}
	return text(http.StatusOK, "Successfully upload post")
}

func parseMedia(ids, types string) ([]Media, error) {
	var id, kind []string
	if err := errors.Join(json.Unmarshal([]byte(ids), &id), json.Unmarshal([]byte(types), &kind)); err != nil {
		return nil, fmt.Errorf("read media: %w", err)
	}
	if len(id) != len(kind) {
		return nil, fmt.Errorf("%d media_ids for %d media_types", len(id), len(kind))
	}
	media := make([]Media, len(id))
	for i := range id {
		n, err := strconv.ParseInt(id[i], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read media id: %w", err)
		}
		media[i] = Media{ID: n, Type: kind[i]}
	}
	return media, nil
}

func readTimeline(kind Kind, name string) call {
	return func(ctx context.Context, n *Network, form url.Values) reply {
		if missing(form, "user_id", "start", "stop") {
			return incomplete
		}
		user, err1 := strconv.ParseInt(form.Get("user_id"), 10, 64)
		start, err2 := strconv.Atoi(form.Get("start"))
		stop, err3 := strconv.Atoi(form.Get("stop"))
		if err := errors.Join(err1, err2, err3); err != nil {
			return text(http.StatusInternalServerError, "Get %s-timeline failure: %v", name, err)
		}
		body, err := n.Timeline(ctx, nil, kind, user, start, stop)
		if err != nil {
			return text(http.StatusInternalServerError, "Get %s-timeline failure: %v", name, err)
		}
		return reply{status: http.StatusOK, json: true, body: append(body, '\n')}
	}
}

func register(ctx context.Context, n *Network, form url.Values) reply {
	if missing(form, "first_name", "last_name", "username", "password", "user_id") {
		return incomplete
	}
	id, err := strconv.ParseInt(form.Get("user_id"), 10, 64)
	if err == nil {
		err = n.Register(ctx, id, form.Get("username"))
	}
	if err != nil {
		return text(http.StatusInternalServerError, "User registration failure: %v", err)
	}
	return text(http.StatusOK, "Success!")
}

// follow serves follow and unfollow, by ids or by names. The original answers nothing but the status.
func follow(follows bool, name string) call {
	return func(ctx context.Context, n *Network, form url.Values) reply {
		var err error
		switch {
		case !missing(form, "user_id", "followee_id"):
			follower, err1 := strconv.ParseInt(form.Get("user_id"), 10, 64)
			followee, err2 := strconv.ParseInt(form.Get("followee_id"), 10, 64)
			if err = errors.Join(err1, err2); err == nil {
				err = n.store.SetFollow(ctx, follower, followee, follows)
			}
		case !missing(form, "user_name", "followee_name"):
			err = n.followByName(ctx, form.Get("user_name"), form.Get("followee_name"), follows)
		default:
			return incomplete
		}
		if err != nil {
			return text(http.StatusInternalServerError, "%s Failed: %v", name, err)
		}
		return reply{status: http.StatusOK}
	}
}
