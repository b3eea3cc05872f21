package edge

// Place is where a request goes.
type Place struct {
	Deny          bool
	Server, Model int
}

// Outcome is what became of a request that was not denied.
type Outcome struct {
	Request    Request
	Place      Place
	TotalSec   float64 // until its answer
	ServiceSec float64 // of it in service, as the server says
	Failed     bool    // there was no answer
}

// Policy places requests. It is used by one goroutine.
type Policy interface {
	// Place is asked when a request comes; inside are the requests that were sent to each server and not answered yet.
	Place(r *Request, inside []int) Place
	// Done tells what became of a request; it comes in the order of answers.
	Done(o *Outcome)
}

// Score is what a run gave.
type Score struct {
	Requests    int     `json:"requests"`
	Both        int     `json:"timely_and_correct"`
	OnlyCorrect int     `json:"only_correct"`
	OnlyTimely  int     `json:"only_timely"`
	Neither     int     `json:"neither"`
	Denied      int     `json:"denied"`
	Failed      int     `json:"failed"` // of neither: no answer at all
	MeanSec     float64 `json:"mean_s"`
	PlaceUS     float64 `json:"place_us"` // mean time of a decision, µs
	sum         float64
}

// What an answer is worth.
const (
	worthBoth    = 1.0
	worthCorrect = 0.7
	worthTimely  = 0.3
	worthNeither = -1.0
)

// worth is what an answer is worth.
func worth(timely, correct bool) float64 {
	switch {
	case timely && correct:
		return worthBoth
	case correct:
		return worthCorrect
	case timely:
		return worthTimely
	}
	return worthNeither
}

// judge says whether an answer was timely and correct.
func (w *World) judge(o *Outcome) (timely, correct bool) {
	if o.Failed {
		return false, false
	}
	return o.TotalSec <= o.Request.Within, w.Servers[o.Place.Server].Models[o.Place.Model].Quality >= o.Request.Accuracy
}

func (s *Score) add(w *World, o *Outcome) {
	timely, correct := w.judge(o)
	switch worth(timely, correct) {
	case worthBoth:
		s.Both++
	case worthCorrect:
		s.OnlyCorrect++
	case worthTimely:
		s.OnlyTimely++
	default:
		s.Neither++
	}
	if o.Failed {
		s.Failed++
		return
	}
	s.sum += o.TotalSec
}

// finish works out the mean of the answers' times.
func (s *Score) finish() {
	if n := s.Requests - s.Denied - s.Failed; n > 0 {
		s.MeanSec = s.sum / float64(n)
	}
}

// Value is the score itself, −1…1.
func (s *Score) Value() float64 {
	if s.Requests == 0 {
		return 0
	}
	return (worthBoth*float64(s.Both) + worthCorrect*float64(s.OnlyCorrect) + worthTimely*float64(s.OnlyTimely) +
		worthNeither*float64(s.Neither)) / float64(s.Requests)
}
