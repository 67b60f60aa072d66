// Package text prints for people: plain tables, one line per event, numbers
// with thousands separators, no colours, no trailing spaces. What stands in a
// column is decided by package fields; here are only widths.
package text
