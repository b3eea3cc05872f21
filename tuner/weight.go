package tuner

import (
	"fmt"
	"strconv"
)

// MinWeight and MaxWeight bound a weight: NGINX refuses 0, and a huge weight makes some of its balancers allocate
// gigabytes.
const (
	MinWeight = 1
	MaxWeight = 100
)

// Weight is an NGINX upstream weight. It cannot be outside MinWeight…MaxWeight; the zero value is 1.
type Weight struct{ less1 uint8 }

// NewWeight returns the weight n, or an error when n is outside MinWeight…MaxWeight.
func NewWeight(n int) (Weight, error) {
	if n < MinWeight || n > MaxWeight {
		return Weight{}, fmt.Errorf("weight %d: want %d to %d", n, MinWeight, MaxWeight)
	}
	return Weight{less1: uint8(n - 1)}, nil
}

// Int returns the weight as a number, 1 to 100.
func (w Weight) Int() int { return int(w.less1) + 1 }

func (w Weight) String() string { return fmt.Sprint(w.Int()) }

// MarshalText writes the weight as a number.
func (w Weight) MarshalText() ([]byte, error) { return strconv.AppendInt(nil, int64(w.Int()), 10), nil }

// UnmarshalText reads what MarshalText wrote.
func (w *Weight) UnmarshalText(text []byte) error {
	n, err := strconv.Atoi(string(text))
	if err == nil {
		*w, err = NewWeight(n)
	}
	return err
}

// Setting is what is set for one server of an upstream group.
type Setting struct {
	Weight Weight `json:"weight"`
	Down   bool   `json:"down"` // ejected
}

// Weights holds the settings of every server: upstream group, server address, setting.
type Weights map[string]map[string]Setting

// Clone returns a deep copy.
func (w Weights) Clone() Weights {
	c := make(Weights, len(w))
	for group, servers := range w {
		s := make(map[string]Setting, len(servers))
		for server, setting := range servers {
			s[server] = setting
		}
		c[group] = s
	}
	return c
}

// Equal reports whether both hold the same settings.
func (w Weights) Equal(o Weights) bool {
	if len(w) != len(o) {
		return false
	}
	for group, servers := range w {
		others, ok := o[group]
		if !ok || len(servers) != len(others) {
			return false
		}
		for server, setting := range servers {
			if other, ok := others[server]; !ok || other != setting {
				return false
			}
		}
	}
	return true
}
