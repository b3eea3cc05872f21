package weights

import "fmt"

// Min and Max bound a weight: NGINX refuses 0, and a huge weight makes some of its balancers allocate
// gigabytes.
const (
	Min = 1
	Max = 100
)

// Weight is an NGINX upstream weight. It cannot be outside Min…Max; the zero value is 1.
type Weight struct{ less1 uint8 }

// New returns the weight n, or an error when n is outside Min…Max.
func New(n int) (Weight, error) {
	if n < Min || n > Max {
		return Weight{}, fmt.Errorf("weight %d: want %d to %d", n, Min, Max)
	}
	return Weight{less1: uint8(n - 1)}, nil
}

// Int returns the weight as a number, 1 to 100.
func (w Weight) Int() int { return int(w.less1) + 1 }

func (w Weight) String() string { return fmt.Sprint(w.Int()) }

// Setting is what is set for one server of an upstream group.
type Setting struct {
	Weight Weight `json:"weight"`
	Down   bool   `json:"down"` // ejected
}

// String returns the weight, or "down".
func (s Setting) String() string {
	if s.Down {
		return "down"
	}
	return s.Weight.String()
}

// Group holds the settings of one upstream group by server address.
type Group map[string]Setting

// Set holds the settings of every server of every upstream group: group name, server address, setting.
type Set map[string]Group

// Clamp returns the weight nearest to n.
func Clamp(n int) Weight { return Weight{less1: uint8(min(max(n, Min), Max) - 1)} }
