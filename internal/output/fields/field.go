package fields

import "strings"

// Type is the JSON type of a field. Each may be null.
type Type uint8

// The types of fields.
const (
	String Type = iota
	Integer
	Real
	Boolean
	Time // a string in RFC 3339
	ID   // a decimal number in a string
	Nested
	List
)

// Field is one fact about a T.
type Field[T any] struct {
	Name    string
	Unit    string // "" for words and counts
	Meaning string // one sentence
	Type    Type
	// Words are all that a closed list of words may hold; nil if it is open.
	Words []string

	value  func(*Context, *T) Value // nil for Nested and List
	nested nested[T]
}

// nested is the inside of a field that holds an object or a list.
type nested[T any] interface {
	appendJSON(dst []byte, c *Context, v *T) []byte
	schema() map[string]any
	leaves(prefix string) []leaf[T]
}

// leaf is a field of a flattened object: one CSV column.
type leaf[T any] struct {
	name  string
	value func(*Context, *T) Value
}

// Value is what the field holds for v; absent for objects and lists.
func (f *Field[T]) Value(c *Context, v *T) Value {
	if f.value == nil {
		return Value{}
	}
	return f.value(c, v)
}

// one is a field with a single value.
func one[T any](name, unit, meaning string, typ Type, value func(*Context, *T) Value) Field[T] {
	return Field[T]{Name: name, Unit: unit, Meaning: meaning, Type: typ, value: value}
}

// words is a field with a closed list of words.
func words[T any](name, meaning, known string, value func(*T) string) Field[T] {
	f := one(name, "", meaning, String, func(_ *Context, v *T) Value { return Text(value(v)) })
	f.Words = strings.Fields(known)
	return f
}

// Object is the fields of a T, in the order in which they are printed.
type Object[T any] []Field[T]

// AppendJSON appends v as a JSON object.
func (o Object[T]) AppendJSON(dst []byte, c *Context, v *T) []byte {
	for i := range o {
		sep := byte(',')
		if i == 0 {
			sep = '{'
		}
		dst = append(dst, sep, '"')
		dst = append(dst, o[i].Name...)
		dst = append(dst, '"', ':')
		if o[i].nested != nil {
			dst = o[i].nested.appendJSON(dst, c, v)
		} else {
			dst = o[i].value(c, v).AppendJSON(dst, c)
		}
	}
	return append(dst, '}')
}

// Named returns the field with the name. It panics if there is none: names are
// written in this repository, not read.
func (o Object[T]) Named(name string) Field[T] {
	for i := range o {
		if o[i].Name == name {
			return o[i]
		}
	}
	panic("fields: no field " + name)
}

func (o Object[T]) leaves(prefix string) []leaf[T] {
	var all []leaf[T]
	for i := range o {
		if o[i].nested != nil {
			all = append(all, o[i].nested.leaves(prefix+o[i].Name+".")...)
			continue
		}
		all = append(all, leaf[T]{name: prefix + o[i].Name, value: o[i].value})
	}
	return all
}

// object is a field that holds one U of a T.
type object[T, U any] struct {
	of  Object[U]
	get func(*T) *U
}

// nest makes a field of an object; a nil pointer is null.
func nest[T, U any](name, meaning string, of Object[U], get func(*T) *U) Field[T] {
	return Field[T]{Name: name, Meaning: meaning, Type: Nested, nested: object[T, U]{of, get}}
}

func (n object[T, U]) appendJSON(dst []byte, c *Context, v *T) []byte {
	u := n.get(v)
	if u == nil {
		return append(dst, "null"...)
	}
	return n.of.AppendJSON(dst, c, u)
}

func (n object[T, U]) leaves(prefix string) []leaf[T] {
	inner := n.of.leaves(prefix)
	all := make([]leaf[T], len(inner))
	for i, l := range inner {
		all[i] = leaf[T]{name: l.name, value: func(c *Context, v *T) Value {
			if u := n.get(v); u != nil {
				return l.value(c, u)
			}
			return Value{}
		}}
	}
	return all
}

// list is a field that holds several U of a T. CSV has no place for it.
type list[T, U any] struct {
	of       Object[U]
	get      func(*T) ([]U, bool)
	requests bool // the list is about single requests
}

// rows makes a field of a list of objects; false is null, not known.
func rows[T, U any](name, meaning string, of Object[U], get func(*T) ([]U, bool)) Field[T] {
	return Field[T]{Name: name, Meaning: meaning, Type: List, nested: list[T, U]{of, get, false}}
}

func (n list[T, U]) appendJSON(dst []byte, c *Context, v *T) []byte {
	us, known := n.get(v)
	if !known || n.requests && !c.SeesRequests() {
		return append(dst, "null"...)
	}
	dst = append(dst, '[')
	for i := range us {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = n.of.AppendJSON(dst, c, &us[i])
	}
	return append(dst, ']')
}

func (n list[T, U]) leaves(string) []leaf[T] { return nil }

// wordList is a field that holds several words.
type wordList[T any] struct {
	get func(*Context, *T) []string
}

// wordsOf makes a field of a list of words; nil is null, not known.
func wordsOf[T any](name, meaning string, get func(*Context, *T) []string) Field[T] {
	return Field[T]{Name: name, Meaning: meaning, Type: List, nested: wordList[T]{get}}
}

func (n wordList[T]) appendJSON(dst []byte, c *Context, v *T) []byte {
	all := n.get(c, v)
	if all == nil {
		return append(dst, "null"...)
	}
	dst = append(dst, '[')
	for i, w := range all {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, w)
	}
	return append(dst, ']')
}

func (n wordList[T]) leaves(string) []leaf[T] { return nil }
