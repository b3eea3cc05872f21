package socialnet

import (
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"trimtab/deathstarbench"
)

// caller makes calls to one server.
type caller struct {
	t      *testing.T
	server *Server
	client *http.Client
}

func newCaller(t *testing.T) *caller {
	s, client := startQuick(t, quick())
	return &caller{t, s, client}
}

// call sends a form (POST) or a query (GET) and returns status, content type and body.
func (c *caller) call(method, path, form string) (int, string, string) {
	c.t.Helper()
	target, body := "http://"+c.server.Addr()+path, form
	if method == http.MethodGet {
		target, body = target+"?"+form, ""
	}
	req, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := c.client.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := readAll(resp)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), text
}

// users registers users 1…n.
func (c *caller) users(n int) {
	c.t.Helper()
	for i := 1; i <= n; i++ {
		id := strconv.Itoa(i)
		status, kind, body := c.call("POST", deathstarbench.RegisterPath,
			"first_name=f&last_name=l&username=username_"+id+"&password=p&user_id="+id)
		if status != 200 || body != "Success!\n" || !strings.HasPrefix(kind, "text/plain") {
			c.t.Fatalf("register: got %d %s %q", status, kind, body)
		}
	}
}

func (c *caller) follow(a, b string) {
	c.t.Helper()
	if status, _, body := c.call("POST", deathstarbench.FollowPath,
		"user_name=username_"+a+"&followee_name=username_"+b); status != 200 || body != "" {
		c.t.Fatalf("follow: got %d %q, want 200 and nothing", status, body)
	}
}

// The body is written as DeathStarBench's wrk2 scripts write it: not percent-encoded.
const rawCompose = `username=username_1&user_id=1&text=Hello "you" é @username_2 @username_2 @nobody @username_3 http://abc http://def` +
	`&media_ids=["012345678901234567","999999999999999999"]&media_types=["png","jpg"]&post_type=0`

func TestRepliesFieldByField(t *testing.T) {
	c := newCaller(t)
	c.users(4)
	c.follow("4", "1")
	before := time.Now().UnixMilli()
	status, kind, body := c.call("POST", deathstarbench.ComposePath, rawCompose)
	if status != 200 || body != "Successfully upload post\n" || !strings.HasPrefix(kind, "text/plain") {
		t.Fatalf("compose: got %d %s %q", status, kind, body)
	}
	after := time.Now().UnixMilli()
	timelines := map[string]string{}
	for _, path := range []string{deathstarbench.HomeTimelinePath, deathstarbench.UserTimelinePath} {
		for user := range 5 {
			id := strconv.Itoa(user)
			status, kind, body := c.call("GET", path, "user_id="+id+"&start=0&stop=10")
			if status != 200 || kind != "application/json; charset=utf-8" || !strings.HasSuffix(body, "]\n") {
				t.Fatalf("%s: got %d %s %q", path, status, kind, body)
			}
			timelines[path+id] = body
		}
	}
	// The author's own home timeline has it not; followers' and those of users mentioned have it; nobody else's.
	for key, want := range map[string]int{"home1": 0, "home2": 1, "home3": 1, "home4": 1, "home0": 0, "user1": 1,
		"user2": 0} {
		body := timelines["/wrk2-api/"+key[:4]+"-timeline/read"+key[4:]]
		if got := len(decode(t, []byte(body))); got != want {
			t.Errorf("%s: got %d posts, want %d", key, got, want)
		}
	}
	if timelines[deathstarbench.HomeTimelinePath+"4"] != timelines[deathstarbench.UserTimelinePath+"1"] {
		t.Error("the post differs between home and user timeline")
	}
	raw := timelines[deathstarbench.UserTimelinePath+"1"]
	for _, shape := range []string{
		// ids and the timestamp are strings, post_type is a number
		`^\[\{"post_id":"\d+","creator":\{"user_id":"1","username":"username_1"\},"req_id":"\d+","text":"`,
		`,"timestamp":"\d{13}","post_type":0\}\]\n$`,
		`"user_mentions":\[\{"user_id":"2","username":"username_2"\},\{"user_id":"3","username":"username_3"\}\]`,
	} {
		if !regexp.MustCompile(shape).MatchString(raw) {
			t.Errorf("got %s, want it to match %s", raw, shape)
		}
	}
	p := decode(t, []byte(raw))[0]
	if p.Creator.UserID != "1" || p.Creator.Username != "username_1" {
		t.Errorf("creator: got %+v", p.Creator)
	}
	if id, err := strconv.ParseInt(p.PostID, 10, 64); err != nil || id <= 0 {
		t.Errorf("post_id: got %q, want a positive number", p.PostID)
	}
	if id, err := strconv.ParseInt(p.ReqID, 10, 64); err != nil || id < 0 {
		t.Errorf("req_id: got %q, want a number", p.ReqID)
	}
	if len(p.URLs) != 2 || p.URLs[0].ExpandedURL != "http://abc" || p.URLs[1].ExpandedURL != "http://def" ||
		p.URLs[0].ShortenedURL == p.URLs[1].ShortenedURL {
		t.Errorf("urls: got %+v", p.URLs)
	}
	if want := `Hello "you" é @username_2 @username_2 @nobody @username_3 ` + p.URLs[0].ShortenedURL + " " +
		p.URLs[1].ShortenedURL; p.Text != want {
		t.Errorf("text: got %q, want %q", p.Text, want)
	}
	if len(p.UserMentions) != 2 || p.UserMentions[0].UserID != "2" || p.UserMentions[1].Username != "username_3" {
		t.Errorf("user_mentions: got %+v, want users 2 and 3, each once", p.UserMentions)
	}
	if len(p.Media) != 2 || p.Media[0].MediaID != "12345678901234567" || p.Media[0].MediaType != "png" ||
		p.Media[1].MediaID != "999999999999999999" || p.Media[1].MediaType != "jpg" {
		t.Errorf("media: got %+v", p.Media)
	}
	if at, err := strconv.ParseInt(p.Timestamp, 10, 64); err != nil || at < before || at > after {
		t.Errorf("timestamp: got %q, want %d to %d", p.Timestamp, before, after)
	}
	if p.PostType != 0 {
		t.Errorf("post_type: got %d, want 0", p.PostType)
	}
}

func TestPercentEncodedFormsAreReadAlike(t *testing.T) {
	c := newCaller(t)
	c.users(2)
	form := url.Values{"username": {"username_1"}, "user_id": {"1"}, "text": {"a+b & c = d @username_2"},
		"post_type": {"3"}}
	if status, _, body := c.call("POST", deathstarbench.ComposePath, form.Encode()); status != 200 {
		t.Fatalf("got %d %q", status, body)
	}
	_, _, body := c.call("GET", deathstarbench.HomeTimelinePath, "user_id=2&start=0&stop=1")
	p := decode(t, []byte(body))
	if len(p) != 1 || p[0].Text != "a+b & c = d @username_2" || p[0].PostType != 3 || len(p[0].Media) != 0 {
		t.Errorf("got %s", body)
	}
}

// Every argument left out, and every one left empty, is 400 and the text of the original.
func TestIncompleteArguments(t *testing.T) {
	c := newCaller(t)
	for _, call := range []struct {
		method, path string
		args         []string
	}{
		{"POST", deathstarbench.ComposePath, []string{"username=u", "user_id=1", "text=t", "post_type=0"}},
		{"GET", deathstarbench.HomeTimelinePath, []string{"user_id=1", "start=0", "stop=10"}},
		{"GET", deathstarbench.UserTimelinePath, []string{"user_id=1", "start=0", "stop=10"}},
		{"POST", deathstarbench.RegisterPath, []string{"first_name=f", "last_name=l", "username=u", "password=p",
			"user_id=1"}},
		{"POST", deathstarbench.FollowPath, []string{"user_name=a", "followee_name=b"}},
		{"POST", deathstarbench.FollowPath, []string{"user_id=1", "followee_id=2"}},
		{"POST", deathstarbench.UnfollowPath, []string{"user_name=a", "followee_name=b"}},
	} {
		for i := range call.args {
			name, _, _ := strings.Cut(call.args[i], "=")
			for _, broken := range []string{"", name + "="} {
				args := append(append([]string{broken}, call.args[:i]...), call.args[i+1:]...)
				status, kind, body := c.call(call.method, call.path, strings.Join(args, "&"))
				if status != 400 || body != "Incomplete arguments\n" || !strings.HasPrefix(kind, "text/plain") {
					t.Errorf("%s without %s: got %d %s %q, want 400 Incomplete arguments", call.path, name, status,
						kind, body)
				}
			}
		}
	}
}

func TestRefusedCalls(t *testing.T) {
	c := newCaller(t)
	c.users(2)
	for _, call := range []struct {
		why, method, path, form string
		status                  int
		body                    string // its beginning
	}{
		{"a user who exists", "POST", deathstarbench.RegisterPath,
			"first_name=f&last_name=l&username=username_1&password=p&user_id=9", 500, "User registration failure: "},
		{"an id that exists", "POST", deathstarbench.RegisterPath,
			"first_name=f&last_name=l&username=new&password=p&user_id=1", 500, "User registration failure: "},
		{"an id that is no number", "POST", deathstarbench.RegisterPath,
			"first_name=f&last_name=l&username=new&password=p&user_id=x", 500, "User registration failure: "},
		{"following nobody", "POST", deathstarbench.FollowPath, "user_name=username_1&followee_name=nobody", 500,
			"Follow Failed: "},
		{"nobody unfollowing", "POST", deathstarbench.UnfollowPath, "user_id=99&followee_id=1", 500,
			"Unfollow Failed: "},
		{"an id to follow that is no number", "POST", deathstarbench.FollowPath, "user_id=1&followee_id=x", 500,
			"Follow Failed: "},
		{"an author id that is no number", "POST", deathstarbench.ComposePath,
			"username=u&user_id=x&text=t&post_type=0", 500, "compost_post failure: "},
		{"media that are no JSON", "POST", deathstarbench.ComposePath,
			"username=u&user_id=1&text=t&post_type=0&media_ids=[&media_types=[", 500, "compost_post failure: "},
		{"more media than types", "POST", deathstarbench.ComposePath,
			`username=u&user_id=1&text=t&post_type=0&media_ids=["1","2"]&media_types=["png"]`, 500,
			"compost_post failure: "},
		{"a timeline of a word", "GET", deathstarbench.HomeTimelinePath, "user_id=x&start=0&stop=10", 500,
			"Get home-timeline failure: "},
		{"a timeline to a word", "GET", deathstarbench.UserTimelinePath, "user_id=1&start=0&stop=x", 500,
			"Get user-timeline failure: "},
		{"the wrong method", "GET", deathstarbench.ComposePath, "", 405, ""},
		{"an unknown path", "GET", "/wrk2-api/nothing", "", 404, ""},
		{"a form beyond all bounds", "POST", deathstarbench.ComposePath, strings.Repeat("x", maxForm+1), 400,
			"read form: "},
	} {
		status, _, body := c.call(call.method, call.path, call.form)
		if status != call.status || !strings.HasPrefix(body, call.body) {
			t.Errorf("%s: got %d %.80q, want %d %s", call.why, status, body, call.status, call.body)
		}
	}
}

func TestFollowAndUnfollowByIDAndByName(t *testing.T) {
	c := newCaller(t)
	c.users(3)
	for _, step := range []struct {
		why, path, form string
		want            int // posts on the home timeline of user 2 after user 1 has posted once more
	}{
		{"nobody follows", "", "", 0},
		{"followed by name", deathstarbench.FollowPath, "user_name=username_2&followee_name=username_1", 1},
		{"again", deathstarbench.FollowPath, "user_id=2&followee_id=1", 2},
		{"unfollowed by id", deathstarbench.UnfollowPath, "user_id=2&followee_id=1", 2},
		{"followed by id", deathstarbench.FollowPath, "user_id=2&followee_id=1", 3},
		{"unfollowed by name", deathstarbench.UnfollowPath, "user_name=username_2&followee_name=username_1", 3},
	} {
		if step.path != "" {
			if status, _, body := c.call("POST", step.path, step.form); status != 200 || body != "" {
				t.Errorf("%s: got %d %q", step.why, status, body)
			}
		}
		c.call("POST", deathstarbench.ComposePath, "username=username_1&user_id=1&text=t&post_type=0")
		_, _, body := c.call("GET", deathstarbench.HomeTimelinePath, "user_id=2&start=0&stop=10")
		if got := len(decode(t, []byte(body))); got != step.want {
			t.Errorf("%s: got %d posts, want %d", step.why, got, step.want)
		}
	}
}
