package recording

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"

	"github.com/portwatch/portwatch/internal/event"
)

// Errors of what is no recording, or one that this version cannot read.
var (
	ErrFormat  = errors.New("not a recording")
	ErrVersion = errors.New("made by a newer portwatch")
)

// FileHeader is the first block of a recording. What the kernel was like is
// said by the first event, of kind start.
type FileHeader struct {
	Format string `json:"format"` // "portwatch recording"
	Major  int    `json:"major"`
	Minor  int    `json:"minor"`
	// Writer is the version of portwatch that recorded.
	Writer string `json:"writer"`
	// ID tells recordings apart: 32 hex digits, random.
	ID   string `json:"id"`
	Arch string `json:"arch"`
	// Kinds and Sections name the numbers in the file, for readers to come.
	Kinds    map[int]string `json:"kinds"`
	Sections map[int]string `json:"sections"`
}

const formatName = "portwatch recording"

func newFileHeader(writer, id string) FileHeader {
	h := FileHeader{
		Format: formatName, Major: Major, Minor: Minor, Writer: writer, ID: id, Arch: runtime.GOARCH,
		Kinds: map[int]string{}, Sections: map[int]string{},
	}
	for k := event.Kind(1); k.String() != ""; k++ {
		h.Kinds[int(k)] = k.String()
	}
	for i, name := range sectionNames {
		if name != "" {
			h.Sections[i] = name
		}
	}
	return h
}

func parseFileHeader(payload []byte) (FileHeader, error) {
	var h FileHeader
	if err := json.Unmarshal(payload, &h); err != nil || h.Format != formatName {
		return h, fmt.Errorf("%w: its header says nothing", ErrFormat)
	}
	if h.Major > Major {
		return h, fmt.Errorf("%w (%s): it has format %d.%d, and this portwatch reads %d", ErrVersion, h.Writer, h.Major, h.Minor, Major)
	}
	return h, nil
}

// Note is what a recording says of itself, for people.
type Note struct {
	Time event.Time `json:"boot_ns"`
	Text string     `json:"text"`
}
