package fields

import (
	"encoding/json"
	"fmt"
)

const (
	dialect    = "https://json-schema.org/draft/2020-12/schema"
	schemaBase = "https://github.com/portwatch/portwatch/blob/main/docs/schema/"
)

// Schemer is a document that can say its own schema.
type Schemer interface {
	// SchemaName is the value of the document's key "schema", such as
	// "portwatch.event/1".
	SchemaName() string
	// Schema is the document's JSON Schema, indented, the same bytes each
	// time.
	Schema() ([]byte, error)
}

// Document is an object that stands alone and says its schema first.
type Document[T any] struct {
	name    string
	meaning string
	object  Object[T]
}

// newDocument makes a document of fields; the key "schema" is put in front.
func newDocument[T any](name, meaning string, parts ...Object[T]) Document[T] {
	d := Document[T]{name: name, meaning: meaning}
	d.object = Object[T]{one("schema", "", "The name and number of this schema.", String,
		func(*Context, *T) Value { return Text(name) })}
	for _, part := range parts {
		d.object = append(d.object, part...)
	}
	return d
}

// SchemaName implements [Schemer].
func (d Document[T]) SchemaName() string { return d.name }

// AppendJSON appends v as one JSON document on one line, without the line's
// end.
func (d Document[T]) AppendJSON(dst []byte, c *Context, v *T) []byte {
	return d.object.AppendJSON(dst, c, v)
}

// Schema implements [Schemer].
func (d Document[T]) Schema() ([]byte, error) {
	s := d.object.schema()
	s["$schema"], s["$id"], s["title"], s["description"] = dialect, schemaBase+FileName(d), d.name, d.meaning
	s["properties"].(map[string]any)["schema"] = map[string]any{
		"const": d.name, "description": d.object[0].Meaning,
	}
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode schema %s: %w", d.name, err)
	}
	return append(out, '\n'), nil
}

func (o Object[T]) schema() map[string]any {
	properties := make(map[string]any, len(o))
	required := make([]string, len(o))
	for i := range o {
		properties[o[i].Name] = o[i].schema()
		required[i] = o[i].Name
	}
	return map[string]any{"type": "object", "properties": properties, "required": required}
}

func (f *Field[T]) schema() map[string]any {
	var s map[string]any
	if f.nested != nil {
		s = f.nested.schema()
	} else {
		s = scalarSchema(f.Type)
	}
	s["description"] = f.Meaning
	if f.Unit != "" {
		s["x-unit"] = f.Unit
	}
	if f.Words != nil {
		all := make([]any, 0, len(f.Words)+1)
		for _, w := range f.Words {
			all = append(all, w)
		}
		s["enum"] = append(all, nil)
	}
	return s
}

func scalarSchema(t Type) map[string]any {
	s := map[string]any{}
	switch t {
	case Integer:
		s["type"] = []string{"integer", "null"}
	case Real:
		s["type"] = []string{"number", "null"}
	case Boolean:
		s["type"] = []string{"boolean", "null"}
	default:
		s["type"] = []string{"string", "null"}
	}
	switch t {
	case Time:
		s["format"] = "date-time"
	case ID:
		s["pattern"] = "^[0-9]+$"
	}
	return s
}

func (n object[T, U]) schema() map[string]any {
	s := n.of.schema()
	s["type"] = []string{"object", "null"}
	return s
}

func (n list[T, U]) schema() map[string]any {
	return map[string]any{"type": []string{"array", "null"}, "items": n.of.schema()}
}

func (n wordList[T]) schema() map[string]any {
	return map[string]any{"type": []string{"array", "null"}, "items": map[string]any{"type": "string"}}
}
