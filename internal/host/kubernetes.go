package host

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/portwatch/portwatch/internal/event"
)

// nodePorts is what the API server gives NodePort services from, unless its
// flag --service-node-port-range says otherwise (DefaultServiceNodePortRange,
// pkg/kubeapiserver/options/options.go of Kubernetes).
var nodePorts = event.PortRange{Low: 30000, High: 32767}

const nodePortFlag = "service-node-port-range"

// nodePrograms make a host a Kubernetes node; they may hold several parts.
var nodePrograms = []string{
	"kubelet", "kube-proxy", "kube-apiserver", "k3s", "k3s-server", "k3s-agent", "rke2", "kubelite", "hyperkube",
}

// nodeFiles make a host a node whose programs do not run now.
var nodeFiles = []string{
	"etc/kubernetes/kubelet.conf",
	"etc/systemd/system/kubelet.service", "usr/lib/systemd/system/kubelet.service", "lib/systemd/system/kubelet.service",
}

// nodePortFiles may hold the flag where the API server runs on this host.
var nodePortFiles = []string{
	"etc/kubernetes/manifests/kube-apiserver.yaml", "etc/rancher/k3s/config.yaml", "etc/rancher/rke2/config.yaml",
}

// kubernetes claims the NodePort range where the host is a node. A node's own
// programs do not know the range: only the API server does, which may run
// elsewhere. The default is claimed then, and Source says that it is that.
func kubernetes(fsys fs.FS, running []process) ([]Claim, []Unread) {
	name := ""
	for i := range running {
		if slices.Contains(nodePrograms, running[i].name()) {
			name = running[i].label()
			break
		}
	}
	for _, file := range nodeFiles {
		if _, err := fs.Stat(fsys, file); name == "" && err == nil {
			name = "kubelet, not running, /" + file
		}
	}
	if name == "" {
		return nil, nil
	}
	text, source, unread := nodePortSetting(fsys, running)
	ports := nodePorts
	if text != "" {
		var err error
		if ports, err = parseNodePorts(text); err != nil {
			return nil, append(unread, Unread{"NodePort range of " + name, source + ": " + err.Error()})
		}
	}
	return []Claim{{Ports: ports, Kind: KindKubernetes, Name: "NodePort services of " + name, Source: source}}, unread
}

// nodePortSetting finds the flag of an API server on this host.
func nodePortSetting(fsys fs.FS, running []process) (text, source string, unread []Unread) {
	for i := range running {
		if value, ok := running[i].flag(nodePortFlag); ok {
			return value, "--" + nodePortFlag + " of " + running[i].label(), nil
		}
	}
	for _, file := range nodePortFiles {
		content, err := readText(fsys, file)
		if err != nil {
			if !isAbsent(err) {
				unread = append(unread, Unread{"NodePort range", err.Error()})
			}
			continue
		}
		if value, ok := settingInText(content); ok {
			return value, "/" + file, unread
		}
	}
	return "", "default of the API server; its flag --" + nodePortFlag + " was not found here", unread
}

// settingInText finds "--service-node-port-range=A-B" in a manifest, or
// "service-node-port-range: A-B" in a configuration.
func settingInText(content string) (string, bool) {
	for line := range strings.Lines(content) {
		_, value, ok := strings.Cut(line, nodePortFlag)
		if ok && !strings.HasPrefix(strings.TrimSpace(line), "#") {
			return strings.Trim(value, "=: \t\r\n\"'"), true
		}
	}
	return "", false
}

// parseNodePorts parses "30000-32767" and "30000+2767".
func parseNodePorts(text string) (event.PortRange, error) {
	base, size, plus := strings.Cut(text, "+")
	if !plus {
		return ParsePorts(text)
	}
	low, err := ParsePort(base)
	if err != nil {
		return event.PortRange{}, err
	}
	n, err := strconv.ParseUint(size, 10, 16)
	if err != nil || uint64(low)+n > 65535 {
		return event.PortRange{}, fmt.Errorf("%q is no range of ports: want LOW-HIGH or LOW+COUNT", text)
	}
	return event.PortRange{Low: low, High: low + uint16(n)}, nil
}
