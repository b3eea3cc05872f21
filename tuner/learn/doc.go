// Package learn holds what experience says: the Q tables of regimes.
package learn
