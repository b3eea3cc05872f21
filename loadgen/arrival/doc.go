// Package arrival holds the arrival processes: when requests are due. The load generator sends by them and the
// simulator simulates by them, so that both worlds see the same arrivals.
//
// A process is a renewal process in operational time: gaps of mean 1 are drawn from a seeded source (fixed, exp,
// norm, zipf) and mapped through the inverse of the integrated rate Λ(t) = ∫λ, so that every kind can follow a rate
// that changes with time; for exp the result is exactly the inhomogeneous Poisson process with rate λ(t) (Çınlar 1975).
package arrival
