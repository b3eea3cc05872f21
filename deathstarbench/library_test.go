package deathstarbench

import "testing"

func TestLibraryScenariosAreValid(t *testing.T) {
	for _, name := range Names() {
		s, err := Load(name)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if s.Name != name {
			t.Errorf("scenario %s: got name %q, want that of its file", name, s.Name)
		}
	}
}
