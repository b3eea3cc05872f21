package weights

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestSettingsAreReadAsTheyAreWritten(t *testing.T) {
	three, err := New(3)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, text string
		want       Setting
		wrong      bool
	}{
		{"as it is written", `{"weight":3,"down":false}`, Setting{Weight: three}, false},
		{"a server that is down keeps its weight", `{"weight":3,"down":true}`, Setting{Weight: three, Down: true}, false},
		{"an earlier program's weight in quotes", `{"weight":"3","down":true}`, Setting{Weight: three, Down: true}, false},
		{"an earlier program's number alone", ` 3 `, Setting{Weight: three}, false},
		{"an earlier program's 0 for down", `0`, Setting{Down: true}, false},
		{"a weight that is too large", `{"weight":101}`, Setting{}, true},
		{"no whole number", `{"weight":1.5}`, Setting{}, true},
		{"words", `"down"`, Setting{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got Setting
			err := json.Unmarshal([]byte(c.text), &got)
			if (err != nil) != c.wrong {
				t.Fatalf("got error %v, want one: %t", err, c.wrong)
			}
			if c.wrong {
				return
			}
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			text, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			var again Setting
			if err := json.Unmarshal(text, &again); err != nil || !reflect.DeepEqual(again, got) {
				t.Errorf("written as %s and read as %+v, %v, want %+v", text, again, err, got)
			}
		})
	}
}
