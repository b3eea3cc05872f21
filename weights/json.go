package weights

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// MarshalJSON writes the weight as a number.
func (w Weight) MarshalJSON() ([]byte, error) { return strconv.AppendInt(nil, int64(w.Int()), 10), nil }

// UnmarshalJSON reads a number from 1 to 100. Files of earlier programs have it in quotes.
func (w *Weight) UnmarshalJSON(text []byte) error {
	n, err := strconv.Atoi(string(bytes.Trim(text, `"`)))
	if err != nil {
		return fmt.Errorf("read a weight: %s is no whole number", text)
	}
	*w, err = New(n)
	return err
}

// UnmarshalJSON reads {"weight": 3, "down": false}. Files of earlier programs may have the number alone, 0 for down.
func (s *Setting) UnmarshalJSON(text []byte) error {
	if text = bytes.TrimSpace(text); len(text) > 0 && text[0] != '{' {
		if string(text) == "0" {
			*s = Setting{Down: true}
			return nil
		}
		*s = Setting{}
		return s.Weight.UnmarshalJSON(text)
	}
	type plain Setting
	return json.Unmarshal(text, (*plain)(s))
}
