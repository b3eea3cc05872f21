package socialnet

import "time"

// state is where a request is.
type state uint8

const (
	queued state = iota + 1
	inService
	leaving // on its way through the network
	hung    // with a server that will never answer
	gone
)

// ticket is one request in a station.
type ticket struct {
	service  draw
	delay    time.Duration // of the network
	accepted bool          // in service or in queue: neither refused nor failed by a fault
	arrived  time.Duration
	due      time.Duration // to leave; set when it does, but not for those refused, lost or canceled
	state    state
	result   outcome      // what to report when it leaves
	done     chan outcome // gets exactly one
}

// fifo is a queue of tickets that reuses its memory.
type fifo struct {
	ring []*ticket // length a power of two
	head int
	n    int
}

func (q *fifo) push(t *ticket) {
	if q.n == len(q.ring) {
		ring := make([]*ticket, max(16, 2*q.n))
		for i := range q.n {
			ring[i] = q.ring[(q.head+i)&(len(q.ring)-1)]
		}
		q.ring, q.head = ring, 0
	}
	q.ring[(q.head+q.n)&(len(q.ring)-1)] = t
	q.n++
}

// pop returns the oldest ticket, or nil.
func (q *fifo) pop() *ticket {
	if q.n == 0 {
		return nil
	}
	t := q.ring[q.head]
	q.ring[q.head] = nil
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.n--
	return t
}

// compact drops the tickets that have left the queue otherwise.
func (q *fifo) compact() {
	for range q.n {
		if t := q.pop(); t.state == queued {
			q.push(t)
		}
	}
}

// event is when something is due for a ticket.
type event struct {
	at     time.Duration
	ticket *ticket
}

// events is a binary heap, the earliest first.
type events struct{ list []event }

func (h *events) push(e event) {
	h.list = append(h.list, e)
	i := len(h.list) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if h.list[parent].at <= h.list[i].at {
			break
		}
		h.list[parent], h.list[i] = h.list[i], h.list[parent]
		i = parent
	}
}

func (h *events) pop() event {
	top := h.list[0]
	last := len(h.list) - 1
	h.list[0] = h.list[last]
	h.list[last] = event{}
	h.list = h.list[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			return top
		}
		if child+1 < last && h.list[child+1].at < h.list[child].at {
			child++
		}
		if h.list[i].at <= h.list[child].at {
			return top
		}
		h.list[i], h.list[child] = h.list[child], h.list[i]
		i = child
	}
}
