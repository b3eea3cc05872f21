package socialnet

import (
	"bytes"
	"cmp"
	"context"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"trimtab/deathstarbench"
)

// prefixed is a service whose path goes on behind the prefix.
type prefixed struct {
	prefix string
	offer  offer
}

// offered is what a server makes of a route; false: it does not serve it, which is 404.
func offered(server *deathstarbench.Server, r route) (offer, bool) {
	v := offer{route: r}
	if r.workload != "" {
		mean, ok := server.Service[r.workload]
		if !ok {
			return v, false
		}
		v.service = newDraw(mean.Std(), server.ServiceCV)
		v.delay = server.Delay(r.workload)
	}
	return v, true
}

// offerOwn adds the scenario's own services that the server has a service time for.
func (s *Server) offerOwn(cfg ServerConfig) {
	for i := range cfg.Own {
		w := &cfg.Own[i]
		v, ok := offered(&cfg.Server, route{method: w.Verb(), workload: w.Name, own: true,
			call: ownCall(w, cfg.Seed^nameSeed(w.Name))})
		if !ok {
			continue
		}
		if path, whole := w.Location(); whole {
			s.routes[path] = v
		} else {
			s.under = append(s.under, prefixed{path, v})
		}
	}
	slices.SortFunc(s.under, func(a, b prefixed) int { return cmp.Compare(len(b.prefix), len(a.prefix)) })
}

// route is what is behind a path: an exact one first, then the longest prefix, as NGINX has it.
func (s *Server) route(path string) (offer, bool) {
	if v, ok := s.routes[path]; ok {
		return v, true
	}
	for i := range s.under {
		if strings.HasPrefix(path, s.under[i].prefix) {
			return s.under[i].offer, true
		}
	}
	return offer{}, false
}

// ownCall answers with bodies of the workload's sizes: the n-th answer of a seed has always the same.
func ownCall(w *deathstarbench.Workload, seed uint64) call {
	const never = 100 // standard deviations: the largest answer there is
	filler := append(bytes.Repeat([]byte{'.'}, w.AnswerBytes(never)), '\n')
	var n atomic.Uint64
	return func(context.Context, *Network, url.Values) reply {
		size := w.AnswerBytes(rand.New(rand.NewPCG(seed, n.Add(1))).NormFloat64())
		return reply{status: http.StatusOK, body: filler[len(filler)-1-size:]}
	}
}
