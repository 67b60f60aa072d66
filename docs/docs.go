// Package docs holds the pages that portwatch explains things with. They are
// titled with the words that people search for, and embedded: what is printed
// in an outage needs no network.
package docs

import (
	"embed"
	"io/fs"
	"path"
	"slices"
	"strings"
)

//go:embed pages/*.md
var files embed.FS

// words is the file of short entries, one for each second-level heading.
const words = "words.md"

// Page is one page, or one short entry.
type Page struct {
	Name  string // of its file or heading, without the ending
	Title string
	// Topics are what it is found by beside its name: an errno, a setting, the
	// text of an error message. In lower case.
	Topics []string
	// Host are the facts of a host that belong beside it.
	Host []string
	// Text is markdown, wrapped for 80 columns, without the title.
	Text string
}

// Pages are all pages and short entries, the pages first, each kind by name.
func Pages() []Page {
	entries, err := fs.ReadDir(files, "pages")
	if err != nil {
		panic("docs: " + err.Error()) // the files are in the program
	}
	var pages, short []Page
	for _, e := range entries {
		text, err := fs.ReadFile(files, path.Join("pages", e.Name()))
		if err != nil {
			panic("docs: " + err.Error())
		}
		if e.Name() != words {
			title, rest, _ := strings.Cut(strings.TrimPrefix(string(text), "# "), "\n")
			pages = append(pages, parse(strings.TrimSuffix(e.Name(), ".md"), title, rest))
			continue
		}
		for _, section := range strings.Split(string(text), "\n## ")[1:] {
			title, rest, _ := strings.Cut(section, "\n")
			short = append(short, parse(title, title, rest))
		}
	}
	slices.SortFunc(short, func(a, b Page) int { return strings.Compare(a.Name, b.Name) })
	return append(pages, short...)
}

// parse takes the comments of a page apart:
//
//	<!-- topics: eaddrnotavail; cannot assign requested address -->
//	<!-- host: range; reuse -->
func parse(name, title, rest string) Page {
	p := Page{Name: name, Title: title}
	var text strings.Builder
	for line := range strings.Lines(rest) {
		comment, ok := strings.CutPrefix(strings.TrimSpace(line), "<!-- ")
		if !ok {
			text.WriteString(line)
			continue
		}
		kind, list, _ := strings.Cut(strings.TrimSuffix(comment, " -->"), ": ")
		switch kind {
		case "topics":
			p.Topics = strings.Split(list, "; ")
		case "host":
			p.Host = strings.Split(list, "; ")
		}
	}
	p.Text = strings.TrimSpace(text.String()) + "\n"
	return p
}
