package main

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
)

// schemaVersion is the version of the objects that --json prints; it grows when a field changes its meaning or goes,
// not when one comes. docs/reference/schema.json describes them.
const schemaVersion = 2

const versionKey = `"schema_version":`

// printJSON writes an object as one line, its schema's version first unless it has one.
func printJSON(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if fields, ok := bytes.CutPrefix(text, []byte("{")); ok && !bytes.HasPrefix(fields, []byte(versionKey)) {
		head := "{" + versionKey + strconv.Itoa(schemaVersion)
		if !bytes.HasPrefix(fields, []byte("}")) {
			head += ","
		}
		text = append([]byte(head), fields...)
	}
	_, err = w.Write(append(text, '\n'))
	return err
}
