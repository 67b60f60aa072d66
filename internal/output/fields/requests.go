package fields

import "github.com/portwatch/portwatch/internal/event"

// Mode diag compares dumps of sockets: what was asked for, given and refused
// meanwhile it cannot know. There, such a fact is null, never 0.

// SeesRequests reports whether the stream tells single requests.
func (c *Context) SeesRequests() bool {
	return c == nil || c.Meta == nil || c.Meta.Start.Mode != event.ModeDiag
}

// ofRequests is v where the stream tells single requests, else absent.
func ofRequests(c *Context, v Value) Value {
	if !c.SeesRequests() {
		return Value{}
	}
	return v
}

// requestRows makes a field of a list about single requests.
func requestRows[T, U any](name, meaning string, of Object[U], get func(*T) ([]U, bool)) Field[T] {
	return Field[T]{Name: name, Meaning: meaning, Type: List, nested: list[T, U]{of, get, true}}
}
