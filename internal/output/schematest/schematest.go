// Package schematest checks documents against their JSON Schema, for tests. It
// knows the keywords that package fields writes, and fails on any other, so
// that none is believed to be checked that is not.
package schematest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"time"
)

type schema struct {
	Dialect     string            `json:"$schema"`
	ID          string            `json:"$id"`
	Title       string            `json:"title"`
	Description string            `json:"description"`
	Unit        string            `json:"x-unit"`
	Type        words             `json:"type"`
	Const       any               `json:"const"`
	Enum        []any             `json:"enum"`
	Format      string            `json:"format"`
	Pattern     string            `json:"pattern"`
	Properties  map[string]schema `json:"properties"`
	Additional  *schema           `json:"additionalProperties"`
	Required    []string          `json:"required"`
	Items       *schema           `json:"items"`
}

// words is one word or several.
type words []string

func (w *words) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*w = words{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(w))
}

// Validate reports how the document differs from the schema. Beyond the
// schema's own demands every key must be one of it: a key that is not in the
// registry must not be printed.
func Validate(schemaText, document []byte) error {
	var s schema
	var v any
	strict := json.NewDecoder(bytes.NewReader(schemaText))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&s); err != nil {
		return fmt.Errorf("read schema: %w", err)
	}
	if err := json.Unmarshal(document, &v); err != nil {
		return fmt.Errorf("read document: %w", err)
	}
	return s.check("$", v)
}

func (s *schema) check(path string, v any) error {
	if s.Const != nil && v != s.Const {
		return fmt.Errorf("%s: is %v, not %v", path, v, s.Const)
	}
	if s.Type != nil && !slices.ContainsFunc(s.Type, func(t string) bool { return is(t, v) }) {
		return fmt.Errorf("%s: %v is none of %v", path, v, s.Type)
	}
	if s.Enum != nil && !slices.Contains(s.Enum, v) {
		return fmt.Errorf("%s: %v is none of %v", path, v, s.Enum)
	}
	switch v := v.(type) {
	case string:
		return s.checkString(path, v)
	case map[string]any:
		return s.checkObject(path, v)
	case []any:
		return s.checkList(path, v)
	}
	return nil
}

func is(typ string, v any) bool {
	switch v := v.(type) {
	case nil:
		return typ == "null"
	case bool:
		return typ == "boolean"
	case string:
		return typ == "string"
	case float64:
		return typ == "number" || (typ == "integer" && v == float64(int64(v)))
	case []any:
		return typ == "array"
	}
	return typ == "object"
}

func (s *schema) checkString(path, v string) error {
	if s.Pattern != "" {
		pattern, err := regexp.Compile(s.Pattern)
		if err != nil {
			return fmt.Errorf("%s: compile pattern: %w", path, err)
		}
		if !pattern.MatchString(v) {
			return fmt.Errorf("%s: %q does not match %s", path, v, s.Pattern)
		}
	}
	if s.Format == "date-time" {
		if _, err := time.Parse(time.RFC3339Nano, v); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

func (s *schema) checkObject(path string, v map[string]any) error {
	for _, key := range s.Required {
		if _, ok := v[key]; !ok {
			return fmt.Errorf("%s: has no key %s", path, key)
		}
	}
	for key, value := range v {
		property, ok := s.Properties[key]
		if !ok && s.Additional != nil {
			property, ok = *s.Additional, true
		}
		if !ok {
			return fmt.Errorf("%s: key %s is not in the schema", path, key)
		}
		if err := property.check(path+"."+key, value); err != nil {
			return err
		}
	}
	return nil
}

func (s *schema) checkList(path string, v []any) error {
	if s.Items == nil {
		return nil
	}
	for i, item := range v {
		if err := s.Items.check(fmt.Sprintf("%s[%d]", path, i), item); err != nil {
			return err
		}
	}
	return nil
}
