package host

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/portwatch/portwatch/internal/event"
)

// Target is the namespace that settings are written for.
type Target struct {
	// Own is true for the namespace that the settings' writer lives in; the
	// others are entered by PID, or by Name, as ip-netns(8) knows it.
	Own bool
	// Boot is true for the one that the host's boot files speak of. Those are
	// never written for another, such as that of ip netns exec.
	Boot bool
	PID  int
	Name string
	// Container and Pod say what the namespace is known to be. With neither, the
	// lines for both are given, unless it is that of the boot files.
	Container, Pod bool
}

// Lines are commands, or settings, for one place.
type Lines struct {
	Where string // "now", "at boot", "docker, podman", "pod"
	Text  []string
}

const (
	keyRange    = "net.ipv4.ip_local_port_range"
	keyReserved = "net.ipv4.ip_local_reserved_ports"
	dropIn      = "/etc/sysctl.d/60-local-ports.conf"
)

// setting is a sysctl and its value.
type setting struct{ key, value string }

// RangeLines are the lines that set a range and a reserved list. The list comes
// first: between the two writes no claimed port is exposed. An empty list is
// left out unless today's is to be emptied. The lines for containers are those
// for the next start: a new namespace begins with the kernel's defaults.
func RangeLines(t Target, r event.PortRange, reserve []event.PortRange) []Lines {
	var settings []setting
	if len(reserve) > 0 {
		settings = append(settings, setting{keyReserved, FormatPorts(reserve)})
	}
	return linesOf(t, append(settings, setting{keyRange, fmt.Sprintf("%d %d", r.Low, r.High)}))
}

// ReserveLines are the lines that keep ports from connections, beside what is
// reserved today.
func ReserveLines(t Target, today []event.PortRange, ports ...uint16) []Lines {
	reserved := SetOf(today...)
	for _, port := range ports {
		reserved.AddPort(port)
	}
	return linesOf(t, []setting{{keyReserved, reserved.String()}})
}

func linesOf(t Target, settings []setting) []Lines {
	prefix := ""
	switch {
	case t.Boot && !t.Container && !t.Pod:
		return []Lines{{"now", sysctlCommands("", settings)}, {"at boot", bootFile(settings)}}
	case t.Own:
	case t.PID > 0:
		prefix = fmt.Sprintf("nsenter -t %d -n ", t.PID)
	default:
		prefix = "ip netns exec " + t.Name + " "
	}
	all := []Lines{{"now", sysctlCommands(prefix, settings)}}
	if t.Container || !t.Pod {
		all = append(all, Lines{"docker, podman", engineOptions(settings)})
	}
	if t.Pod || !t.Container {
		all = append(all, Lines{"pod", podFields(settings)})
	}
	return all
}

func sysctlCommands(prefix string, settings []setting) (lines []string) {
	for _, s := range settings {
		lines = append(lines, fmt.Sprintf("%ssysctl -w %s=%q", prefix, s.key, s.value))
	}
	return lines
}

func bootFile(settings []setting) []string {
	lines := []string{"cat > " + dropIn + " <<'END'"}
	for _, s := range settings {
		lines = append(lines, s.key+" = "+s.value)
	}
	return append(lines, "END")
}

func engineOptions(settings []setting) []string {
	var options []string
	for _, s := range settings {
		options = append(options, fmt.Sprintf("--sysctl %s=%q", s.key, s.value))
	}
	return options
}

func podFields(settings []setting) []string {
	lines := []string{"securityContext:", "  sysctls:"}
	for _, s := range settings {
		lines = append(lines, "  - name: "+s.key, fmt.Sprintf("    value: %q", s.value))
	}
	return lines
}

// sysctlDirs are where settings for the next boot come from; of two files with
// one name the first counts, and the files apply in the order of their names
// (sysctl.d(5)).
var sysctlDirs = []string{"etc/sysctl.d", "run/sysctl.d", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d", "lib/sysctl.d"}

// BootNotes says which files beside our own set the range or the reserved list
// at boot, and so would undo what is written.
func BootNotes(fsys fs.FS) (notes []string, unread []Unread) {
	files := map[string]string{} // by name
	for _, dir := range sysctlDirs {
		names, err := list(fsys, dir, "*.conf")
		if err != nil {
			unread = append(unread, Unread{"settings for the next boot", err.Error()})
		}
		for _, name := range names {
			if _, known := files[name]; !known {
				files[name] = path.Join(dir, name)
			}
		}
	}
	order := []string{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if "/"+files[name] != dropIn {
			order = append(order, files[name])
		}
	}
	if _, err := fs.Stat(fsys, "etc/sysctl.conf"); err == nil && files["99-sysctl.conf"] == "" {
		order = append(order, "etc/sysctl.conf")
	}
	for _, file := range order {
		text, err := readText(fsys, file)
		if err != nil {
			unread = append(unread, Unread{"settings for the next boot", err.Error()})
		}
		notes = append(notes, fileNotes(file, text)...)
	}
	return notes, unread
}

func fileNotes(file, text string) (notes []string) {
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimLeft(line, "- \t"), "=")
		key = strings.ReplaceAll(strings.TrimSpace(key), "/", ".")
		if ok && (key == keyRange || key == keyReserved) {
			notes = append(notes, fmt.Sprintf("/%s sets %s = %s at boot: change it there too",
				file, key, strings.Join(strings.Fields(value), " ")))
		}
	}
	return notes
}
