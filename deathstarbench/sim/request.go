package sim

// request is one request in flight, in a slot of the pool.
type request struct {
	due    int64   // ns; when the client was due to send it, and did
	began  int64   // ns; when the attempt in hand began
	normal float64 // standard normal deviate of its size
	group  int32
	peer   int32 // of the attempt in hand
	next   int32 // the next one waiting on the same server, or the next free slot
	older  int32 // neighbours among the requests whose clients wait, by due time
	newer  int32
	epoch  int32  // of the balancer's state that counts the attempt as active
	status uint16 // of the response on its way
	class  uint16
	flight uint16 // requests that the server held when it was picked, of a method that asks
	state  state
}

// state is where a request is.
type state uint8

const (
	open    state = iota // between servers
	queued               // waiting for a slot
	away                 // in service, or its response is on its way
	hanging              // with a server that will never answer
	gone                 // its client gave up, and its slot of the pool is freed when the server lets go of it
)

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
