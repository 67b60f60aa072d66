// Package plan is what vmtest and the init of its machines say to each other.
package plan

import (
	"bytes"
	"encoding/json"
)

// Path is where init finds its Plan, Modules where it finds the modules, to be
// loaded in the order of their names.
const (
	Path    = "/plan.json"
	Modules = "/modules"
)

// Output is the port to which init and the commands write. The console, where
// the kernel talks at any moment, is another one.
const Output = "/dev/ttyS1"

// Plan is what a machine does before it turns itself off.
type Plan struct {
	Commands []Command
}

// Command is one program to run.
type Command struct {
	Argv    []string
	Dir     string
	Env     []string
	Seconds int // it is killed then
}

// Note is what init itself says, on a line of its own between the lines of the
// commands.
type Note struct {
	Event   Event
	Command int    // index, of Begin and End
	Text    string // uname -r of Booted, how it ended of End, the cause of Failed
	Code    int    // exit status of End; -1 if it was killed
}

// Event is what a Note is about.
type Event string

// Events of a machine's life.
const (
	Booted Event = "booted"
	Begin  Event = "begin"
	End    Event = "end"
	Over   Event = "over"   // all commands have run
	Failed Event = "failed" // nothing has, or nothing more
)

// mark precedes each note. No test prints it.
const mark = 0x1e // ASCII's record separator

// Line is the note as it is written. It begins a line of its own, whatever a
// command left unfinished.
func (n Note) Line() []byte {
	return append(append([]byte{'\n', mark}, encode(n)...), '\n')
}

// Encode is the plan as init finds it.
func (p Plan) Encode() []byte { return encode(p) }

// encode cannot fail: there are strings and numbers only.
func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

// Parse reads a note out of a line.
func Parse(line []byte) (Note, bool) {
	text, found := bytes.CutPrefix(line, []byte{mark})
	var n Note
	return n, found && json.Unmarshal(text, &n) == nil && n.Event != ""
}
