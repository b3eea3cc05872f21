package worlds

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"time"

	"trimtab/deathstarbench"
)

// dice draw what a world is made of.
type dice struct{ *rand.Rand }

// Each kind of world draws from a stream of its own.
const (
	streamRandom    = 0x776f726c64
	streamRecurring = 0x7265637572
	streamMesh      = 0x6d657368
	streamMix       = 0x6d6978 // of random worlds: apart, so that the others stay what they were
)

func newDice(seed, stream uint64) dice {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	binary.LittleEndian.PutUint64(key[8:], stream)
	return dice{rand.New(rand.NewChaCha8(key))} // neighbouring seeds have nothing in common
}

// between draws uniformly from [low, high).
func (d dice) between(low, high float64) float64 { return low + (high-low)*d.Float64() }

// scale draws a factor log-uniformly from [low, high).
func (d dice) scale(low, high float64) float64 {
	return math.Exp(d.between(math.Log(low), math.Log(high)))
}

func (d dice) chance(p float64) bool { return d.Float64() < p }

// pick draws one of the values, all equally likely: what is listed twice is twice as likely.
func pick[T any](d dice, values ...T) T { return values[d.IntN(len(values))] }

// some draws n different numbers below total, in an order of chance.
func (d dice) some(n, total int) []int { return d.Perm(total)[:min(n, total)] }

// significant rounds to three significant digits, so that files can be read.
func significant(x float64) float64 {
	if x == 0 {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(math.Abs(x)))-2)
	if unit < 1 { // dividing by a whole power of ten keeps 0.29 from becoming 0.29000000000000004
		inverse := math.Round(1 / unit)
		return math.Round(x*inverse) / inverse
	}
	return math.Round(x/unit) * unit
}

// milliseconds is a time of so many ms with three significant digits.
func milliseconds(ms float64) deathstarbench.Duration {
	return deathstarbench.Duration(math.Round(significant(ms) * float64(time.Millisecond)))
}

// tenths is a time of so many seconds, to a tenth.
func tenths(s float64) deathstarbench.Duration {
	return deathstarbench.Duration(math.Round(s*10) * float64(time.Second/10))
}
