package sim

// event is something that happens at a time: the end of a service, or the arrival of a response at NGINX.
type event struct {
	at      int64 // ns
	request int32
	kind    eventKind
}

type eventKind int32

const (
	serviceEnd eventKind = iota
	response
)

// eventQueue is a 4-ary heap on the time: flatter than a binary one, and the four children share a cache line.
type eventQueue []event

func (q *eventQueue) push(e event) {
	h := append(*q, e)
	i := len(h) - 1
	for i > 0 {
		p := (i - 1) >> 2
		if h[p].at <= e.at {
			break
		}
		h[i] = h[p]
		i = p
	}
	h[i] = e
	*q = h
}

// pop removes the first event, which the caller has read as q[0].
func (q *eventQueue) pop() {
	h := *q
	n := len(h) - 1
	last := h[n]
	*q = h[:n]
	if n > 0 {
		h[:n].sink(last)
	}
}

// replace puts e in the place of the first event.
func (q eventQueue) replace(e event) { q.sink(e) }

// order makes a heap of whatever the events are.
func (q eventQueue) order() {
	for i := (len(q) - 2) >> 2; i >= 0; i-- {
		q.sinkFrom(i, q[i])
	}
}

func (q eventQueue) sink(e event) { q.sinkFrom(0, e) }

// sinkFrom lets e sink from place i, which is free.
func (q eventQueue) sinkFrom(i int, e event) {
	n := len(q)
	for {
		c := i<<2 + 1
		if c >= n {
			break
		}
		m, at := c, q[c].at
		for j, end := c+1, min(c+4, n); j < end; j++ {
			if q[j].at < at {
				m, at = j, q[j].at
			}
		}
		if at >= e.at {
			break
		}
		q[i] = q[m]
		i = m
	}
	q[i] = e
}
