package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/portwatch/portwatch/internal/event"
)

// mesosPorts is what an agent offers unless --resources names ports
// (DEFAULT_PORTS, src/slave/constants.hpp of Mesos).
var mesosPorts = event.PortRange{Low: 31000, High: 32000}

// mesosFiles hold the flag --resources where a package's start script reads
// flags from files.
var mesosFiles = []string{"etc/mesos-agent/resources", "etc/mesos-slave/resources"}

// mesos claims what the agents on this host offer to tasks.
func mesos(fsys fs.FS, running []process) (claims []Claim, unread []Unread) {
	for i := range running {
		p := &running[i]
		if !slices.Contains([]string{"mesos-agent", "mesos-slave"}, p.name()) {
			continue
		}
		ranges, source, err := mesosResources(fsys, p)
		if err != nil {
			unread = append(unread, Unread{"ports of " + p.label(), err.Error()})
			continue
		}
		for _, r := range ranges {
			claims = append(claims, Claim{Ports: r, Kind: KindMesos, Name: "tasks of " + p.label(), Source: source})
		}
	}
	return claims, unread
}

func mesosResources(fsys fs.FS, p *process) ([]event.PortRange, string, error) {
	text, found := p.flag("resources")
	source := "--resources of " + p.label()
	if !found {
		var err error
		if text, source, err = mesosSetting(fsys, p); err != nil {
			return nil, "", err
		}
	}
	if file, ok := strings.CutPrefix(text, "file://"); ok {
		content, err := readWord(fsys, strings.TrimPrefix(file, "/"))
		if err != nil {
			return nil, "", err
		}
		text, source = content, file
	}
	ranges, named, err := parseResources(text)
	if err != nil {
		return nil, "", fmt.Errorf("parse %s: %w", source, err)
	}
	if !named {
		return []event.PortRange{mesosPorts}, "default: " + source + " names no ports", nil
	}
	return ranges, source, nil
}

// mesosSetting looks where the flag may come from where the command line does
// not have it: the environment, then the files of packages.
func mesosSetting(fsys fs.FS, p *process) (text, source string, err error) {
	name := fmt.Sprintf("proc/%d/environ", p.pid)
	environ, err := readText(fsys, name)
	if err != nil && !isAbsent(err) {
		return "", "", err
	}
	for entry := range strings.SplitSeq(environ, "\x00") {
		for _, key := range [...]string{"MESOS_RESOURCES=", "MESOS_SLAVE_RESOURCES="} {
			if value, ok := strings.CutPrefix(entry, key); ok {
				return value, "/" + name, nil
			}
		}
	}
	for _, file := range mesosFiles {
		text, err := readWord(fsys, file)
		if err == nil {
			return text, "/" + file, nil
		}
		if !isAbsent(err) {
			return "", "", err
		}
	}
	return "", "its command line", nil
}

// parseResources finds the ports in "cpus:8;ports(*):[31000-32000, 8080]" or
// in the JSON form. named is false if ports are not among the resources.
func parseResources(text string) (ranges []event.PortRange, named bool, err error) {
	if strings.HasPrefix(strings.TrimSpace(text), "[") || strings.HasPrefix(strings.TrimSpace(text), "{") {
		return parseJSONResources(text)
	}
	for item := range strings.SplitSeq(text, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(item), ":")
		name, _, _ = strings.Cut(name, "(") // the role
		if strings.TrimSpace(name) != "ports" {
			continue
		}
		inside, open := strings.CutPrefix(strings.TrimSpace(value), "[")
		inside, closed := strings.CutSuffix(inside, "]")
		if !open || !closed {
			return nil, true, fmt.Errorf("%q is no list of ports: want [LOW-HIGH, …]", value)
		}
		list, err := ParsePortList(strings.ReplaceAll(inside, " ", ""))
		if err != nil {
			return nil, true, err
		}
		ranges, named = append(ranges, list...), true
	}
	return ranges, named, nil
}

func parseJSONResources(text string) (ranges []event.PortRange, named bool, err error) {
	var resources []struct {
		Name   string
		Ranges struct {
			Range []struct{ Begin, End uint16 }
		}
	}
	if err := json.Unmarshal([]byte(text), &resources); err != nil {
		return nil, false, err
	}
	for _, r := range resources {
		if r.Name != "ports" {
			continue
		}
		named = true
		for _, span := range r.Ranges.Range {
			if span.Begin == 0 || span.End < span.Begin {
				return nil, true, errors.New("a range of ports runs backwards or begins at 0")
			}
			ranges = append(ranges, event.PortRange{Low: span.Begin, High: span.End})
		}
	}
	return ranges, named, nil
}
