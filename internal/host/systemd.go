package host

import (
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/portwatch/portwatch/internal/event"
)

// unitDirs are where systemd looks for units, the first one wins
// (systemd.unit(5)).
var unitDirs = []string{
	"etc/systemd/system", "run/systemd/system", "run/systemd/generator",
	"usr/local/lib/systemd/system", "usr/lib/systemd/system", "lib/systemd/system",
}

// socketUnits claims the ports of systemd's socket units. A unit that is not
// enabled is a claim too: who starts it expects its port.
func socketUnits(fsys fs.FS) (claims []Claim, unread []Unread) {
	units, enabled, unread := findUnits(fsys)
	for _, name := range slices.Sorted(maps.Keys(units)) {
		listens, err := readUnit(fsys, units[name], name)
		if err != nil {
			unread = append(unread, Unread{name, err.Error()})
			continue
		}
		state := ", not enabled"
		if enabled[name] {
			state = ", enabled"
		}
		for _, l := range listens {
			c := Claim{Kind: KindSystemd, Name: name, Source: "/" + units[name] + state}
			ok, err := l.claim(&c)
			if err != nil {
				unread = append(unread, Unread{name, err.Error()})
			} else if ok {
				claims = append(claims, c)
			}
		}
	}
	return claims, unread
}

// findUnits finds the socket units by name, and which of them another unit
// wants.
func findUnits(fsys fs.FS) (units map[string]string, enabled map[string]bool, unread []Unread) {
	units, enabled = map[string]string{}, map[string]bool{}
	for _, dir := range unitDirs {
		names, err := list(fsys, dir, "*.socket")
		if err != nil {
			unread = append(unread, Unread{"socket units of systemd", err.Error()})
			continue
		}
		for _, name := range names {
			if _, known := units[name]; !known {
				units[name] = path.Join(dir, name)
			}
		}
		for _, pattern := range [...]string{"*.wants", "*.requires"} {
			sets, _ := list(fsys, dir, pattern) // the directory was read above
			for _, set := range sets {
				wanted, err := list(fsys, path.Join(dir, set), "*.socket")
				if err != nil {
					unread = append(unread, Unread{"which socket units are enabled", err.Error()})
				}
				for _, name := range wanted {
					enabled[name] = true
				}
			}
		}
	}
	return units, enabled, unread
}

// listen is one line of a socket unit.
type listen struct {
	protocol event.Protocol
	value    string
}

// readUnit reads a unit and its drop-ins. A masked unit is a link to /dev/null
// and so has no lines.
func readUnit(fsys fs.FS, file, name string) (listens []listen, err error) {
	files := map[string]string{} // drop-ins by name: the first directory wins
	for _, dir := range unitDirs {
		names, err := list(fsys, path.Join(dir, name+".d"), "*.conf")
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			if _, known := files[n]; !known {
				files[n] = path.Join(dir, name+".d", n)
			}
		}
	}
	order := []string{file}
	for _, n := range slices.Sorted(maps.Keys(files)) {
		order = append(order, files[n])
	}
	for _, f := range order {
		text, err := readText(fsys, f)
		if err != nil && (f != file || !isAbsent(err)) {
			return nil, err
		}
		listens = appendListens(listens, text)
	}
	return listens, nil
}

// appendListens reads the Listen lines of a [Socket] section. An empty value
// takes back all that came before (systemd.socket(5)).
func appendListens(listens []listen, text string) []listen {
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = line
		}
		key, value, ok := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok || section != "[Socket]" || !strings.HasPrefix(key, "Listen") {
			continue
		}
		switch {
		case value == "":
			listens = nil
		case key == "ListenStream":
			listens = append(listens, listen{event.TCP, value})
		case key == "ListenDatagram":
			listens = append(listens, listen{event.UDP, value})
		}
	}
	return listens
}

// claim fills c with what the line listens on: false if it takes no port, as a
// path, an abstract name or a vsock.
func (l listen) claim(c *Claim) (bool, error) {
	if strings.HasPrefix(l.value, "/") || strings.HasPrefix(l.value, "@") ||
		strings.HasPrefix(l.value, "vsock") || strings.HasPrefix(l.value, "%t/") {
		return false, nil
	}
	addr, port := "", l.value
	if colon := strings.LastIndexByte(l.value, ':'); colon >= 0 {
		addr, port = strings.Trim(l.value[:colon], "[]"), l.value[colon+1:]
	}
	number, _, scoped := strings.Cut(port, "%") // "[fe80::1]:80%eth0"
	if scoped && number != "" {
		port = number
	}
	n, err := ParsePort(port)
	if err != nil {
		return false, fmt.Errorf("its socket %q depends on the instance or is no port", l.value)
	}
	c.Ports, c.Protocol = event.PortRange{Low: n, High: n}, l.protocol
	c.Addr, _ = netip.ParseAddr(addr)
	return true, nil
}
