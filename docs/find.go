package docs

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Find finds the page about a topic: by its name or one of its topics, or by a
// topic that the text holds, the longest one, as people paste whole lines of a
// log. Without one, near are the names that come closest, three at most.
func Find(topic string) (page Page, near []string, found bool) {
	pages, wanted := Pages(), normal(topic)
	if number, err := strconv.Atoi(wanted); err == nil {
		wanted = "errno " + strconv.Itoa(number)
	}
	longest := 0
	for _, p := range pages {
		for _, known := range append([]string{p.Name}, p.Topics...) {
			known = normal(known)
			if known == wanted {
				return p, nil, true
			}
			if len(known) > longest && within(known, wanted) {
				page, longest = p, len(known)
			}
		}
	}
	if longest > 0 {
		return page, nil, true
	}
	return Page{}, nearest(pages, wanted), false
}

// normal makes "net.ipv4.tcp_fin_timeout", "TCP fin-timeout" and
// "tcp_fin_timeout" one.
func normal(text string) string {
	text = strings.ToLower(text)
	for _, prefix := range [...]string{"net.ipv4.", "/proc/sys/net/ipv4/", "net.core.", "net.netfilter."} {
		text = strings.ReplaceAll(text, prefix, "")
	}
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" _-:;,.()[]'\"\t\n", r) }), " ")
}

// within reports whether the words of known stand in text, whole.
func within(known, text string) bool { return strings.Contains(" "+text+" ", " "+known+" ") }

const nearNames = 3

// nearest ranks names by the fewest letters to change, among all topics of a
// page.
func nearest(pages []Page, wanted string) []string {
	type ranked struct {
		name     string
		distance int
	}
	var all []ranked
	for _, p := range pages {
		best := distance(normal(p.Name), wanted)
		for _, topic := range p.Topics {
			best = min(best, distance(normal(topic), wanted))
		}
		all = append(all, ranked{p.Name, best})
	}
	slices.SortStableFunc(all, func(a, b ranked) int { return cmp.Compare(a.distance, b.distance) })
	var names []string
	for _, r := range all[:min(nearNames, len(all))] {
		names = append(names, r.name)
	}
	return names
}

// distance is Levenshtein's: letters to insert, delete or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
