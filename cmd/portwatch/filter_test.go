package main

import (
	"net/netip"
	"os"
	"strconv"
	"testing"

	"github.com/spf13/cobra"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
)

func TestFilterOfOwners(t *testing.T) {
	crawler := aggregate.OwnerInfo{
		ID: event.OwnerID{Kind: event.OwnerProcess, PID: 977}, Comm: event.CommOf("scraper"),
		Cgroup: "/kube/pod1/c1", Unit: "crawl.service", Container: "scrape", ContainerID: "0123456789ab",
		Pod: "scrape-0", PodNamespace: "crawl",
	}
	tests := []struct {
		name  string
		flags filterFlags
		want  bool
	}{
		{"none", filterFlags{}, true},
		{"pid", filterFlags{pids: []string{"1", "977"}}, true},
		{"other pid", filterFlags{pids: []string{"97"}}, false},
		{"comm", filterFlags{comms: []string{"scraper"}}, true},
		{"part of a comm", filterFlags{comms: []string{"scrape"}}, false},
		{"cgroup", filterFlags{cgroups: []string{"/kube/pod1/c1"}}, true},
		{"cgroup above", filterFlags{cgroups: []string{"/kube/"}}, true},
		{"root cgroup", filterFlags{cgroups: []string{"/"}}, true},
		{"cgroup with the same start", filterFlags{cgroups: []string{"/kube/pod"}}, false},
		{"unit", filterFlags{units: []string{"crawl.service"}}, true},
		{"container by name", filterFlags{containers: []string{"scrape"}}, true},
		{"container by id", filterFlags{containers: []string{"01234"}}, true},
		{"container by too little of an id", filterFlags{containers: []string{"012"}}, false},
		{"pod", filterFlags{pods: []string{"crawl/scrape-0"}}, true},
		{"pod of another namespace", filterFlags{pods: []string{"web/scrape-0"}}, false},
		{"all must hold", filterFlags{pids: []string{"977"}, units: []string{"x"}}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := tt.flags.compile(&cobra.Command{})
			if err != nil {
				t.Fatal(err)
			}
			if got := f.owner(&crawler); got != tt.want {
				t.Errorf("shown = %t, want %t", got, tt.want)
			}
			if tt.name != "none" && f.owner(&aggregate.OwnerInfo{}) {
				t.Error("the unknown owner is shown under a filter")
			}
		})
	}
}

func TestFilterOfEvents(t *testing.T) {
	lease := event.Lease{
		ID: event.LeaseID{Cookie: 1, Born: 1}, Protocol: event.TCP, Family: event.IPv6,
		Local: netip.MustParseAddrPort("[::1]:40000"), Remote: netip.MustParseAddrPort("[::1]:443"),
	}
	allocation := aggregate.Record{NetNS: 5, NetNSName: "host", Owned: true, Event: event.Event{Kind: event.KindAllocate, Lease: lease}}
	tests := []struct {
		name  string
		flags filterFlags
		want  bool
	}{
		{"none", filterFlags{}, true},
		{"tcp", filterFlags{tcp: true}, true},
		{"udp", filterFlags{udp: true}, false},
		{"both", filterFlags{tcp: true, udp: true}, true},
		{"ipv4", filterFlags{ipv4: true}, false},
		{"ipv6", filterFlags{ipv6: true}, true},
		{"failures", filterFlags{onlyFails: true}, false},
		{"namespace by name", filterFlags{netns: []string{"host"}}, true},
		{"namespace by inode", filterFlags{netns: []string{"inode:5"}}, true},
		{"other namespace", filterFlags{netns: []string{"inode:6", "pod"}}, false},
		{"local port", filterFlags{localPorts: []string{"40000"}}, true},
		{"local ports", filterFlags{localPorts: []string{"1-5", "39999-40001"}}, true},
		{"remote port", filterFlags{remotePorts: []string{"443"}}, true},
		{"other remote port", filterFlags{remotePorts: []string{"444"}}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := tt.flags.compile(&cobra.Command{})
			if err != nil {
				t.Fatal(err)
			}
			if got := f.event(&allocation); got != tt.want {
				t.Errorf("shown = %t, want %t", got, tt.want)
			}
			if !f.event(&aggregate.Record{Event: event.Event{Kind: event.KindLost}}) {
				t.Error("a loss is hidden")
			}
		})
	}
}

func TestNetNSOfAProcess(t *testing.T) {
	byPID, err := netnsInode("pid:" + strconv.Itoa(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	byPath, err := netnsInode("/proc/self/ns/net")
	if err != nil || byPID == 0 || byPath != byPID {
		t.Errorf("inode by pid %d, by path %d, %v", byPID, byPath, err)
	}
}
