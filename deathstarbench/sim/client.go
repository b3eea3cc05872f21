package sim

import "time"

// outcome is what the clients of one group saw.
type outcome struct {
	run      Client // requests that were due after the warm-up
	interval Client // answers of the current control interval
}

// Client is what clients saw of one upstream group: true latencies from the moment that requests were due.
type Client struct {
	Group    string
	Workload string
	Requests uint64 // answered, with an error or without
	Errors   uint64 // answered 4xx or 5xx, or not before the client gave up
	Refused  uint64 // by admission, and in no other count
	// Tardiness is the sum of max(0, (t − d)/d) over all requests, d being the group's deadline, and
	// Options.ErrorTardiness for each that failed (accumulated relative tardiness).
	Tardiness float64
	Latency   Histogram
}

// ART is the accumulated relative tardiness per request; 0 without requests.
func (c *Client) ART() float64 {
	if c.Requests == 0 {
		return 0
	}
	return c.Tardiness / float64(c.Requests)
}

func (c *Client) add(o *Client) {
	c.Requests += o.Requests
	c.Errors += o.Errors
	c.Refused += o.Refused
	c.Tardiness += o.Tardiness
	c.Latency.Merge(&o.Latency)
}

func (c *Client) reset() {
	c.Requests, c.Errors, c.Refused, c.Tardiness = 0, 0, 0, 0
	c.Latency.Reset()
}

// gaveUp is the status that NGINX notes for a request whose client closed the connection.
const gaveUp = 499

func (s *Sim) answer(r *request, now int64, status uint16) {
	g := &s.groups[r.group]
	took := now - r.due + int64(s.opts.Overhead)
	tardiness := 0.0
	if status >= 400 {
		tardiness = s.opts.ErrorTardiness
	} else if g.deadline > 0 && float64(took) > g.deadline {
		tardiness = float64(took)/g.deadline - 1
	}
	c := &g.client.interval
	c.Requests++
	c.Tardiness += tardiness
	if status >= 400 {
		c.Errors++
	}
	c.Latency.record(took)
	if r.due >= s.warmup {
		c := &g.client.run
		c.Requests++
		c.Tardiness += tardiness
		if status >= 400 {
			c.Errors++
		}
		c.Latency.record(took)
	}
}

// Interval returns what the clients saw in the last control interval, by group in the order of the scenario. It is
// valid until the next Step.
func (s *Sim) Interval() []*Client {
	return s.clients(func(g *group) *Client { return &g.client.interval })
}

// Totals returns what the clients saw since the warm-up, by group in the order of the scenario.
func (s *Sim) Totals() []*Client { return s.clients(func(g *group) *Client { return &g.client.run }) }

func (s *Sim) clients(of func(*group) *Client) []*Client {
	n := len(s.groups) / len(s.fleet)
	out := make([]*Client, n)
	for i := range out {
		out[i] = of(&s.groups[i])
		if len(s.fleet) > 1 {
			sum := &Client{}
			for b := range s.fleet {
				sum.add(of(&s.groups[b*n+i]))
			}
			out[i] = sum
		}
		out[i].Group, out[i].Workload = s.groups[i].name, s.groups[i].workload
	}
	return out
}

// Sum adds clients up.
func Sum(clients []*Client) *Client {
	sum := &Client{Group: "all"}
	for _, c := range clients {
		sum.add(c)
	}
	return sum
}

// Deadline returns the deadline that the tardiness of a group is counted from; 0: none.
func (s *Sim) Deadline(group string) time.Duration {
	for i := range s.groups {
		if s.groups[i].name == group {
			return time.Duration(s.groups[i].deadline)
		}
	}
	return 0
}

// finish answers the client and frees the request.
func (s *Sim) finish(i int32, status uint16) {
	s.close(i, status)
	s.pool.put(i)
}

// close answers the client and forgets that it waits.
func (s *Sim) close(i int32, status uint16) {
	r := &s.pool.requests[i]
	s.answer(r, s.now, status)
	b := &s.fleet[s.groups[r.group].balancer]
	b.finished++
	b.inFlight--
	s.inFlight--
	if r.older == none {
		s.oldest = r.newer
	} else {
		s.pool.requests[r.older].newer = r.newer
	}
	if r.newer == none {
		s.newest = r.older
	} else {
		s.pool.requests[r.newer].older = r.older
	}
}

// giveUp returns when the client that waits longest gives up; never when none waits.
func (s *Sim) giveUp() int64 {
	if s.oldest == none || s.opts.Timeout < 0 {
		return never
	}
	return s.pool.requests[s.oldest].due + int64(s.opts.Timeout)
}

// abandon is what a client does that gave up. NGINX closes the connection to the server (499): a waiting request
// leaves the queue, one in service keeps its slot to the end, and nothing is left of one that hung.
func (s *Sim) abandon(i int32) {
	r := &s.pool.requests[i]
	g := &s.groups[r.group]
	s.count(r, s.now, gaveUp, false)
	if g.timed {
		g.measure(int(r.peer), r.epoch, r.began, s.now, abandoned)
	}
	g.done(int(r.peer), r.epoch, false, s.now)
	switch r.state {
	case hanging:
		s.hanging--
		s.finish(i, gaveUp)
		return
	case queued:
		s.servers[g.server[r.peer]].waiting--
	}
	r.state = gone
	s.close(i, gaveUp)
}
