package fields

import (
	"strconv"
	"strings"

	"github.com/portwatch/portwatch/internal/aggregate"
)

type victimRow = aggregate.Victim

// victim is who was refused.
var victim = Object[victimRow]{
	one("pool", "", "The id of the pool that had no headroom; null for what was refused for other reasons.", String,
		func(_ *Context, v *victimRow) Value {
			if v.Pool == nil {
				return Value{}
			}
			return Text(poolID(v.Pool))
		}),
	nest("owner", "Who was refused.", owner, func(v *victimRow) *ownerInfo { return v.Owner }),
	ownField(func(v *victimRow) *ownerInfo { return v.Owner }),
	one("failures", "failures", "How often.", Integer, func(_ *Context, v *victimRow) Value { return Count(v.Failures) }),
	{
		Name: "errnos", Meaning: "These by error; those whose error the mode cannot know as unknown.", Type: Nested, nested: byErrno{},
	},
	one("first", "", "When it was first refused.", Time, func(_ *Context, v *victimRow) Value { return Moment(v.First) }),
	one("last", "", "When it was last refused.", Time, func(_ *Context, v *victimRow) Value { return Moment(v.Last) }),
}

// byErrno is a field that counts by error: its keys are the errors' names.
type byErrno struct{}

func (byErrno) appendJSON(dst []byte, _ *Context, v *victimRow) []byte {
	dst = append(dst, '{')
	for i, e := range v.Errnos {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, orWord(e.Errno.String(), "unknown")), ':')
		dst = strconv.AppendUint(dst, e.Count, 10)
	}
	return append(dst, '}')
}

func (byErrno) schema() map[string]any {
	return map[string]any{"type": "object", "additionalProperties": map[string]any{"type": "integer"}}
}

func (byErrno) leaves(string) []leaf[victimRow] {
	return []leaf[victimRow]{{name: "errnos", value: func(_ *Context, v *victimRow) Value { return errorWords(v) }}}
}

// VictimColumns are the table of victims.
func VictimColumns(c *Context) []Column[victimRow] {
	return withOwn(c, []Column[victimRow]{
		{Header: "REFUSED", Value: func(_ *Context, v *victimRow) Value { return processWord(v.Owner) }},
		{Header: "TIMES", Right: true, Value: victim.Named("failures").value},
		{Header: "FIRST", Value: victim.Named("first").value},
		{Header: "LAST", Value: victim.Named("last").value},
		{Header: "ERROR", Value: func(_ *Context, v *victimRow) Value { return errorWords(v) }},
		{Header: "WANTED", Value: func(_ *Context, v *victimRow) Value {
			if v.Pool == nil {
				return Text("see below")
			}
			return Text(poolWord(v.Pool))
		}},
	}, victim.Named("of_command"))
}

func errorWords(v *victimRow) Value {
	words := make([]string, len(v.Errnos))
	for i, e := range v.Errnos {
		words[i] = orWord(e.Errno.String(), "not known")
	}
	return Text(strings.Join(words, ", "))
}

// processWord is an owner in a cell: name, pid, and that it has exited.
func processWord(o *ownerInfo) Value {
	word := processAndPID(o)
	if o.Exited {
		return Text(string(word.AppendText(nil, nil)) + " (exited)")
	}
	return word
}
