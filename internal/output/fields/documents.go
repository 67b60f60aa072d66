package fields

import "strings"

// Documents are all documents that portwatch prints, by name.
func Documents() []Schemer {
	return []Schemer{Blame, Doctor, Error, Event, Explain, Limits, Range, Recording, Run, Self, Status, Top, Verify, Version, Why}
}

// FileName is the name of a document's schema in docs/schema:
// "portwatch.event/1" is in "event.1.json".
func FileName(d Schemer) string {
	name := strings.TrimPrefix(d.SchemaName(), "portwatch.")
	return strings.ReplaceAll(name, "/", ".") + ".json"
}
