package fields

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Explanation is what explain says about a topic.
type Explanation struct {
	Topic string // as it was asked for
	Title string
	Host  []string // facts of this host, a sentence each
	Text  string   // markdown, wrapped
	// Unread says why facts of the host are missing; "" if none are.
	Unread string
}

// Explain is the document portwatch.explain/1.
var Explain = newDocument("portwatch.explain/1", "What a topic means, with the values of this host.",
	reportEnvelope(func(e *Explanation) string { return e.Title }, nil), Object[Explanation]{
		one("topic", "", "The topic as it was asked for.", String, func(_ *Context, e *Explanation) Value { return Text(e.Topic) }),
		one("title", "", "The title of the page.", String, func(_ *Context, e *Explanation) Value { return Text(e.Title) }),
		wordsOf("on_this_host", "Facts of this host that belong to it.",
			func(_ *Context, e *Explanation) []string { return orNone(e.Host) }),
		one("text", "", "The page, in markdown.", String, func(_ *Context, e *Explanation) Value { return Text(e.Text) }),
		one("unread", "", "Why facts of the host are missing.", String, func(_ *Context, e *Explanation) Value { return Text(e.Unread) }),
	})

// Meaning is what the registry says of a key.
type Meaning struct {
	Document string // such as "portwatch.top/1"
	Path     string // of the key, such as "owners[].ports"
	Unit     string
	Meaning  string
}

// node is the part of a schema that holds meanings.
type node struct {
	Description string          `json:"description"`
	Unit        string          `json:"x-unit"`
	Properties  map[string]node `json:"properties"`
	Items       *node           `json:"items"`
}

// MeaningsOf finds a key in all documents; one entry for each meaning, in the
// order of documents.
func MeaningsOf(key string) ([]Meaning, error) {
	var found []Meaning
	for _, d := range Documents() {
		text, err := d.Schema()
		if err != nil {
			return nil, err
		}
		var root node
		if err := json.Unmarshal(text, &root); err != nil {
			return nil, fmt.Errorf("read schema %s: %w", d.SchemaName(), err)
		}
		root.collect(key, Meaning{Document: d.SchemaName()}, &found)
	}
	return found, nil
}

// collect looks through an object's keys in order, and into each.
func (n *node) collect(key string, at Meaning, found *[]Meaning) {
	for _, name := range slices.Sorted(maps.Keys(n.Properties)) {
		child := n.Properties[name]
		here := Meaning{Document: at.Document, Path: at.Path + name, Unit: child.Unit, Meaning: child.Description}
		known := slices.ContainsFunc(*found, func(m Meaning) bool { return m.Meaning == here.Meaning })
		if name == key && !known {
			*found = append(*found, here)
		}
		inside := Meaning{Document: at.Document, Path: here.Path + "."}
		child.collect(key, inside, found)
		if child.Items != nil {
			inside.Path = here.Path + "[]."
			child.Items.collect(key, inside, found)
		}
	}
}
