package daemon

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"trimtab/vts"
)

// Where no probe is named, nothing is known of what a server answers when all is well, but its peers show it: they are
// asked the same first.
const (
	peerPath    = "/"
	probePeers  = 3                // that are asked until one can be compared with
	probeSlower = 3                // times as long as its peer the server may take
	probeDoubt  = 10 * time.Minute // after which requests tell of a server that only answers otherwise than its peers
)

// verdict is what a round of questions told of a server.
type verdict int

const (
	seenNothing verdict = iota // nobody can be compared with
	seenWell                   // as it should
	seenUnlike                 // a client error that peers do not have
	seenFailing                // not at all, or with what no server in order answers
)

func (c *convalescent) note(v verdict) {
	c.odd = v == seenUnlike || v == seenNothing
	switch v {
	case seenNothing: // what was known before is no longer
		c.right = 0
		return
	case seenWell:
		c.right++
	default:
		c.right = 0
	}
	c.known = true
}

// peersOf are the servers of an upstream beside those that are out, the ones with most requests first.
func peersOf(sample *vts.Sample, upstream string, out []string) (peers []string) {
	if sample == nil {
		return nil
	}
	for g := range sample.Groups {
		if sample.Groups[g].Name != upstream {
			continue
		}
		all := slices.Clone(sample.Groups[g].Peers)
		slices.SortStableFunc(all, func(a, b vts.PeerSample) int { return cmp.Compare(b.Requests, a.Requests) })
		for i := range all {
			v := &all[i]
			if v.Down || v.Backup || slices.Contains(out, v.Server) || strings.HasPrefix(v.Server, "unix:") {
				continue
			}
			if peers = append(peers, v.Server); len(peers) == probePeers {
				break
			}
		}
	}
	return peers
}

// compare asks a server what a peer that can be compared with is asked too.
func (p *prober) compare(ctx context.Context, s serverOf, peers []string) verdict {
	usual := 0
	for _, peer := range peers {
		code, err := p.ask(ctx, serverOf{s.upstream, peer}, peerPath, p.limit)
		if err == nil && tells(code) {
			usual = code
			break
		}
	}
	if usual == 0 {
		return seenNothing
	}
	for range probeTimes {
		switch code, err := p.ask(ctx, s, peerPath, probeSlower*p.limit); {
		case err != nil || sick(code):
			return seenFailing
		case code != usual && code >= 400:
			return seenUnlike
		}
	}
	return seenWell
}

// sick reports whether a status is one that no server in order answers to a plain question.
func sick(code int) bool { return code == http.StatusTooManyRequests || code >= 500 }

// tells reports whether a peer's status says what is usual. With 400 a server turns down those who do not speak TLS.
func tells(code int) bool { return code >= 200 && !sick(code) && code != http.StatusBadRequest }
