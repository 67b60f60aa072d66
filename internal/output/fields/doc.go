// Package fields is the one registry of what portwatch prints: each field has
// a name, a unit, a meaning of one sentence, a JSON type and a formatter.
// Table columns, JSON keys, CSV headers and the JSON Schema documents in
// docs/schema all come from it; there is no second way to print a fact.
//
// # Contract
//
// Keys are snake_case. Within a schema number keys are added, never renamed.
// Every key of a schema is always there: null means not known or not
// applicable. Ratios are 0 to 1, durations end in _seconds, times are RFC 3339
// in UTC with nanoseconds, and identities of 64 bits are strings, because
// JavaScript and jq would round them.
//
// The tables of fields are package variables that nothing writes to. All
// functions may be called concurrently.
package fields
