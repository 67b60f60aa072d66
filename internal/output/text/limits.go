package text

import (
	"fmt"
	"strings"

	"github.com/portwatch/portwatch/internal/event"
	"github.com/portwatch/portwatch/internal/host"
	"github.com/portwatch/portwatch/internal/output/fields"
)

// AppendLimits appends a report of limits: the answer, the table, how to raise
// what is near, who uses ports and who does not, and what could not be read.
func AppendLimits(dst []byte, c *fields.Context, r *host.LimitsReport, width int) []byte {
	dst = appendWrapped(dst, event.Printable(r.Summary()), 0, 0, width)
	if wall := r.WallSentence(); wall != "" {
		dst = appendWrapped(dst, event.Printable(wall), 0, 0, width)
	}
	dst = append(dst, '\n')
	dst = Table[host.Limit]{Columns: fields.LimitColumns(r.Thresholds, r.Window > 0), Width: width}.Append(dst, c, r.Limits)
	for i := range r.Limits {
		l := &r.Limits[i]
		if level := l.Level(r.Thresholds); level == "warning" || level == "critical" || l == r.FirstWall {
			dst = append(dst, '\n')
			dst = appendWrapped(dst, l.Name+", beyond it: "+event.Printable(l.Error), 0, 2, width)
			dst = appendWrapped(append(dst, "  "...), "to raise it: "+event.Printable(l.Raise), 2, 4, width)
		}
	}
	dst = appendUse(dst, r, width)
	dst = appendList(dst, "Mind:", r.Notes, width)
	var unread []string
	for i := range r.Limits {
		if l := &r.Limits[i]; l.Unread != "" {
			unread = append(unread, l.Name+": "+l.Unread)
		}
	}
	return appendList(dst, "Not readable:", unread, width)
}

// appendUse appends what tells a server from a client.
func appendUse(dst []byte, r *host.LimitsReport, width int) []byte {
	var lines []string
	for _, a := range r.Accepted {
		lines = append(lines, fmt.Sprintf("%s accepted on :%d, they use one port", thousands(uint64(a.Count)), a.Port))
	}
	for _, u := range r.Unlistened {
		lines = append(lines, fmt.Sprintf(
			"%s on :%d, outside of what the range gives, and nobody listens on it: its program bound the port, a listener that has ended accepted them, or they are older than the range",
			thousands(uint64(u.Count)), u.Port))
	}
	for _, p := range r.Pools {
		ports := "local ports"
		if p.Ports == 1 {
			ports = "local port"
		}
		lines = append(lines, fmt.Sprintf("%s %s from %s to %s", thousands(uint64(p.Ports)), ports, p.Local, p.Remote))
	}
	return appendList(dst, "Connections:", lines, width)
}

// LimitsStatus is the first line that monitoring reads.
func LimitsStatus(r *host.LimitsReport) string {
	word := map[string]string{"warning": "WARNING", "critical": "CRITICAL", "unknown": "UNKNOWN"}[r.Level()]
	if word == "" {
		word = "OK"
	}
	var perf []string
	for i := range r.Limits {
		if ratio, known := r.Limits[i].Ratio(); known {
			perf = append(perf, fmt.Sprintf("%s=%.4f", r.Limits[i].Name, ratio))
		}
	}
	return fmt.Sprintf("PORTWATCH %s - %s | %s", word, strings.TrimSuffix(r.Summary(), "."), strings.Join(perf, " "))
}
