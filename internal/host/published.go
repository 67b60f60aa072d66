package host

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/portwatch/portwatch/internal/event"
)

const (
	dockerDir = "var/lib/docker/containers"
	cniDir    = "var/lib/cni/results"
)

// binding is one end of a published port in docker's files.
type binding struct {
	HostIP   string `json:"HostIp"`
	HostPort string
}

type bindings map[string][]binding // by "80/tcp", the container's port

// dockerPorts claims the published ports of docker's containers: those that a
// running one has, and those that a stopped one was made with. They stay
// claimed where no proxy listens on them and only packets are rewritten.
func dockerPorts(fsys fs.FS) (claims []Claim, unread []Unread) {
	ids, err := list(fsys, dockerDir, "*")
	if err != nil {
		return nil, []Unread{{"published ports of docker", err.Error()}}
	}
	for _, id := range ids {
		found, err := dockerContainer(fsys, dockerDir+"/"+id)
		if err != nil && !isAbsent(err) { // removed meanwhile
			unread = append(unread, Unread{"published ports of docker container " + id[:min(12, len(id))], err.Error()})
		}
		claims = append(claims, found...)
	}
	return claims, unread
}

func dockerContainer(fsys fs.FS, dir string) ([]Claim, error) {
	var container struct {
		Name            string
		State           struct{ Running bool }
		NetworkSettings struct{ Ports bindings }
	}
	if err := readJSON(fsys, dir+"/config.v2.json", &container); err != nil {
		return nil, err
	}
	name, ports := "container "+strings.TrimPrefix(container.Name, "/"), container.NetworkSettings.Ports
	if !container.State.Running {
		var made struct{ PortBindings bindings }
		if err := readJSON(fsys, dir+"/hostconfig.json", &made); err != nil {
			return nil, err
		}
		name, ports = name+", not running", made.PortBindings
	}
	return ports.claims(Claim{Kind: KindPublished, Name: name, Source: "/" + dir})
}

func (b bindings) claims(like Claim) (claims []Claim, err error) {
	for _, inside := range slices.Sorted(maps.Keys(b)) {
		_, protocol, _ := strings.Cut(inside, "/")
		for _, end := range b[inside] {
			if end.HostPort == "" || end.HostPort == "0" {
				continue // a random one is given at each start
			}
			c := like
			if c.Ports, err = ParsePorts(end.HostPort); err != nil {
				return claims, err
			}
			c.Protocol = protocolOf(protocol)
			c.Addr, _ = netip.ParseAddr(end.HostIP)
			claims = append(claims, c)
		}
	}
	return claims, nil
}

// cniPorts claims the host ports that CNI was asked to map: those of pods and
// of containers of containerd, CRI-O and older Podman. The cache is the
// library's own (libcni/api.go, cachedInfo).
func cniPorts(fsys fs.FS) (claims []Claim, unread []Unread) {
	names, err := list(fsys, cniDir, "*")
	if err != nil {
		return nil, []Unread{{"host ports of pods and containers", err.Error()}}
	}
	for _, name := range names {
		var cached struct {
			ContainerID    string `json:"containerId"`
			CapabilityArgs struct {
				PortMappings []struct {
					HostPort uint16 `json:"hostPort"`
					Protocol string `json:"protocol"`
					HostIP   string `json:"hostIP"`
				} `json:"portMappings"`
			} `json:"capabilityArgs"`
		}
		err := readJSON(fsys, cniDir+"/"+name, &cached)
		if err != nil && !isAbsent(err) {
			unread = append(unread, Unread{"host ports of " + name, err.Error()})
			continue
		}
		for _, m := range cached.CapabilityArgs.PortMappings {
			if m.HostPort == 0 {
				continue
			}
			addr, _ := netip.ParseAddr(m.HostIP)
			claims = append(claims, Claim{
				Ports: event.PortRange{Low: m.HostPort, High: m.HostPort}, Protocol: protocolOf(m.Protocol), Addr: addr,
				Kind: KindPublished, Source: "/" + cniDir + "/" + name,
				Name: "container " + cached.ContainerID[:min(12, len(cached.ContainerID))],
			})
		}
	}
	return claims, unread
}

func readJSON(fsys fs.FS, name string, into any) error {
	text, err := readText(fsys, name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		return fmt.Errorf("parse %s: %w", name, err)
	}
	return nil
}

// protocolOf is the protocol of the word, 0 if it is another one.
func protocolOf(word string) event.Protocol {
	switch strings.ToLower(word) {
	case "tcp", "":
		return event.TCP
	case "udp":
		return event.UDP
	}
	return 0
}
