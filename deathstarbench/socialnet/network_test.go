package socialnet

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"trimtab/deathstarbench"
)

// shown is a post as the replies show it.
type shown struct {
	PostID  string `json:"post_id"`
	Creator struct {
		UserID   string `json:"user_id"`
		Username string `json:"username"`
	} `json:"creator"`
	ReqID        string `json:"req_id"`
	Text         string `json:"text"`
	UserMentions []struct {
		UserID   string `json:"user_id"`
		Username string `json:"username"`
	} `json:"user_mentions"`
	Media []struct {
		MediaID   string `json:"media_id"`
		MediaType string `json:"media_type"`
	} `json:"media"`
	URLs []struct {
		ShortenedURL string `json:"shortened_url"`
		ExpandedURL  string `json:"expanded_url"`
	} `json:"urls"`
	Timestamp string `json:"timestamp"`
	PostType  int    `json:"post_type"`
}

// decode reads a reply strictly: a field that is not known is an error.
func decode(t *testing.T, body []byte) []shown {
	t.Helper()
	var posts []shown
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.DisallowUnknownFields()
	if err := d.Decode(&posts); err != nil {
		t.Fatalf("decode %s: %v", body, err)
	}
	return posts
}

func home(t *testing.T, n *Network, user int64) []shown {
	t.Helper()
	body, err := n.Timeline(t.Context(), nil, HomeTimeline, user, 0, TimelineLimit)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, body)
}

// A thousand random composes over a random graph appear in exactly the home timelines of the author's followers
// and of those mentioned, and on the author's user timeline, newest first.
func TestThousandComposesAppearInTheRightTimelines(t *testing.T) {
	eachStore(t, func(t *testing.T, store Store) {
		const users, first = 60, 1
		ctx := t.Context()
		n := NewNetwork(store)
		graph, err := deathstarbench.GenerateGraph(users, 4)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Populate(ctx, users, first, graph.Edges); err != nil {
			t.Fatal(err)
		}
		follows := map[[2]int64]bool{} // follower, followee
		for _, e := range graph.Edges {
			a, b := int64(e[0])+first, int64(e[1])+first
			follows[[2]int64{a, b}], follows[[2]int64{b, a}] = true, true
		}
		// Some unfollow one way, so that following is not symmetric.
		for i, e := range graph.Edges {
			if i%5 == 0 {
				a, b := int64(e[0])+first, int64(e[1])+first
				if err := n.Unfollow(ctx, a, b); err != nil {
					t.Fatal(err)
				}
				delete(follows, [2]int64{a, b})
			}
		}
		rng := rand.New(rand.NewPCG(11, 12))
		wantHome, wantUser := map[int64][]string{}, map[int64][]string{}
		for i := range 1000 {
			author := int64(first + rng.IntN(users))
			text := fmt.Sprintf("post %d", i)
			readers := map[int64]bool{}
			for range rng.IntN(4) {
				other := int64(first + rng.IntN(users+5)) // some do not exist
				text += fmt.Sprintf(" @username_%d", other)
				if other < first+users {
					readers[other] = true // one's own mention counts too
				}
			}
			for user := int64(first); user < first+users; user++ {
				if follows[[2]int64{user, author}] {
					readers[user] = true
				}
			}
			if err := n.Compose(ctx, Draft{UserID: author, Username: username(author), Text: text}); err != nil {
				t.Fatal(err)
			}
			wantUser[author] = append(wantUser[author], text)
			for r := range readers {
				wantHome[r] = append(wantHome[r], text)
			}
		}
		for user := int64(first); user < first+users; user++ {
			check(t, "user", user, n, UserTimeline, wantUser[user])
			check(t, "home", user, n, HomeTimeline, wantHome[user])
		}
	})
}

// check compares a whole timeline, read in pages of ten, with the texts expected, oldest first.
func check(t *testing.T, name string, user int64, n *Network, kind Kind, want []string) {
	t.Helper()
	want = slices.Clone(want[max(0, len(want)-TimelineLimit):])
	slices.Reverse(want)
	var got []string
	for start := 0; ; start += 10 {
		body, err := n.Timeline(t.Context(), nil, kind, user, start, start+10)
		if err != nil {
			t.Fatal(err)
		}
		page := decode(t, body)
		for _, p := range page {
			got = append(got, p.Text)
		}
		if len(page) < 10 {
			break
		}
	}
	// In Redis a post that its author's timeline has dropped is gone everywhere; here no author writes so many.
	if !slices.Equal(got, want) {
		t.Errorf("%s timeline of user %d: got %d posts, want %d\n%q\n%q", name, user, len(got), len(want), got, want)
	}
}

func TestPrefillWritesForEveryUserOnce(t *testing.T) {
	n := NewNetwork(NewMemory())
	if err := n.Populate(t.Context(), 10, 1, nil); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there are posts already
		if err := n.Prefill(t.Context(), 10, 1, 3, 5); err != nil {
			t.Fatal(err)
		}
		for user := range int64(10) {
			body, err := n.Timeline(t.Context(), nil, UserTimeline, user+1, 0, 100)
			if err != nil {
				t.Fatal(err)
			}
			posts := decode(t, body)
			if len(posts) != 3 || posts[0].Creator.Username != username(user+1) || len(posts[0].Media) == 0 ||
				len(posts[0].UserMentions) == 0 {
				t.Fatalf("user %d: got %s, want three posts of its own with media and mentions", user+1, body)
			}
		}
	}
}

func TestTimelineRangesAreThoseOfTheOriginal(t *testing.T) {
	n := NewNetwork(NewMemory())
	for i := range 5 {
		if err := n.Compose(t.Context(), Draft{UserID: 1, Username: "u", Text: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		why         string
		start, stop int
		want        string
	}{
		{"stop is not part of it", 0, 2, "43"},
		{"from the middle beyond the end", 3, 13, "10"},
		{"beyond the end", 5, 15, ""},
		{"an empty range", 2, 2, ""},
		{"a range that runs backwards", 3, 1, ""},
		{"a negative start", -1, 3, ""},
		{"more than a timeline holds", 0, 1 << 40, "43210"},
	} {
		body, err := n.Timeline(t.Context(), nil, UserTimeline, 1, c.start, c.stop)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, p := range decode(t, body) {
			got += p.Text
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.why, got, c.want)
		}
	}
}

func TestMentionsAndURLs(t *testing.T) {
	for _, c := range []struct {
		why, text string
		names     []string
		urls      []string
		rest      string // the text with each short URL as <>
	}{
		{"plain text", "hello", nil, nil, "hello"},
		{"a mention ends at what no name has", "@ann-1_x! hi", []string{"ann-1_x"}, nil, "@ann-1_x! hi"},
		{"the same user twice", "@a @b @a", []string{"a", "b"}, nil, "@a @b @a"},
		{"an @ alone", "a @ b @", nil, nil, "a @ b @"},
		{"two in one word", "@a@b", []string{"a", "b"}, nil, "@a@b"},
		{"a URL", "see http://abc here", nil, []string{"http://abc"}, "see <> here"},
		{"the same URL twice, and https", "http://x https://y/z?q=1 http://x", nil,
			[]string{"http://x", "https://y/z?q=1", "http://x"}, "<> <> <>"},
		{"http without a URL", "http https:// http:/x", nil, nil, "http https:// http:/x"},
		{"text around", "ahttp://b\n", nil, []string{"http://b"}, "a<>\n"},
		{"nothing", "", nil, nil, ""},
	} {
		if got := mentions(c.text); !slices.Equal(got, c.names) {
			t.Errorf("%s: got mentions %q, want %q", c.why, got, c.names)
		}
		text, urls := shorten(c.text)
		var expanded []string
		for _, u := range urls {
			expanded = append(expanded, u.Expanded)
			if len(u.Short) != len(shortURL)+10 || !strings.HasPrefix(u.Short, shortURL) {
				t.Errorf("%s: got short URL %q", c.why, u.Short)
			}
			text = strings.Replace(text, u.Short, "<>", 1)
		}
		if !slices.Equal(expanded, c.urls) || text != c.rest {
			t.Errorf("%s: got %q with URLs %q, want %q with %q", c.why, text, expanded, c.rest, c.urls)
		}
	}
}

func FuzzPostJSON(f *testing.F) {
	f.Add("plain", "png")
	f.Add("\"\\\n\x00\x7f\u2028é\xff", "<&>")
	f.Fuzz(func(t *testing.T, text, kind string) {
		p := Post{Text: text, Media: []Media{{1, kind}}, Mentions: []User{{2, text}}, URLs: []URL{{kind, text}}}
		var back shown
		if err := json.Unmarshal(p.appendJSON(nil), &back); err != nil {
			t.Fatalf("%q: %v", p.appendJSON(nil), err)
		}
		valid := strings.ToValidUTF8(text, "\ufffd")
		// ToValidUTF8 makes one replacement of a run of invalid bytes, we one of each.
		if squash(back.Text) != squash(valid) {
			t.Fatalf("got %q, want %q", back.Text, valid)
		}
	})
}

func squash(s string) string {
	for strings.Contains(s, "\ufffd\ufffd") {
		s = strings.ReplaceAll(s, "\ufffd\ufffd", "\ufffd")
	}
	return s
}

func FuzzShorten(f *testing.F) {
	f.Add("a http://b https://c @d")
	f.Fuzz(func(t *testing.T, text string) {
		short, urls := shorten(text)
		for _, u := range urls {
			if !strings.Contains(text, u.Expanded) {
				t.Fatalf("%q has no %q", text, u.Expanded)
			}
			short = strings.Replace(short, u.Short, u.Expanded, 1)
		}
		if short != text {
			t.Fatalf("got %q back, want %q", short, text)
		}
	})
}
