package sim

// request is one request in flight, in a slot of the pool.
type request struct {
	due    int64   // ns; when the client was due to send it, and did
	began  int64   // ns; when the attempt in hand began
	normal float64 // standard normal deviate of its size
	group  int32
	peer   int32  // of the attempt in hand
	next   int32  // the next one waiting on the same server, or the next free slot
	epoch  int32  // of the balancer's state that counts the attempt as active
	status uint16 // of the response on its way
	class  uint16
}

const none = -1

// pool holds the requests in flight; it grows to their greatest number and no further.
type pool struct {
	requests []request
	free     int32
}

func newPool() pool { return pool{free: none} }

func (p *pool) get() int32 {
	if p.free == none {
		p.requests = append(p.requests, request{})
		return int32(len(p.requests) - 1)
	}
	i := p.free
	p.free = p.requests[i].next
	return i
}

func (p *pool) put(i int32) {
	p.requests[i].next = p.free
	p.free = i
}
