package control

import (
	"errors"
	"strings"
	"testing"
)

func TestContainNamesThePlace(t *testing.T) {
	var none map[string]int
	var list []int
	for _, c := range []struct {
		name string
		f    func()
		want string // in the error; empty: no error
	}{
		{"no panic is no error", func() {}, ""},
		{"a panic with a text", func() { panic("boom") }, "boom"},
		{"a write to a nil map", func() { none["x"]++ }, "nil map"},
		{"an index out of range", func() { list[len(none)]++ }, "index out of range"},
		{"a panic with an error", func() { panic(errors.New("torn")) }, "torn"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Contain(c.f)
			if c.want == "" {
				if err != nil {
					t.Errorf("got %v, want nil", err)
				}
				return
			}
			fault := (*Panic)(nil)
			if !errors.Is(err, ErrInternal) || !errors.As(err, &fault) {
				t.Fatalf("got %v, want an internal fault", err)
			}
			if !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(fault.Place, "control/contain_test.go:") ||
				len(fault.Stack) == 0 {
				t.Errorf("got %v at %s with a stack of %d bytes, want %s at control/contain_test.go", err, fault.Place,
					len(fault.Stack), c.want)
			}
		})
	}
}
