package tracer

import (
	"errors"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
)

// bpf/kernel.h declares by hand the few kernel types that we read. Every
// struct in it whose name is no flavour must be the running kernel's, member
// for member: a member that is missing here is reported by name, before the
// verifier speaks of poisoned instructions.
func TestKernelTypes(t *testing.T) {
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		t.Fatal(err)
	}
	spec, err := loadBpf()
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for typ, err := range spec.Types.All() {
		if err != nil {
			t.Fatal(err)
		}
		ours, ok := typ.(*btf.Struct)
		if !ok || ours.Name == "" || strings.HasPrefix(ours.Name, "pw_") || isOurs[ours.Name] || strings.Contains(ours.Name, "___") {
			continue
		}
		var theirs *btf.Struct
		if err := kernel.TypeByName(ours.Name, &theirs); err != nil {
			if !errors.Is(err, btf.ErrNotFound) {
				t.Fatal(err)
			}
			t.Errorf("the kernel has no struct %s", ours.Name)
			continue
		}
		checked++
		for _, m := range ours.Members {
			compareMember(t, kernel, ours.Name, m, theirs)
		}
	}
	if checked < 20 {
		t.Errorf("compared %d structs only", checked)
	}
}

// isOurs are structs of the object that are no kernel's.
var isOurs = map[string]bool{
	"who": true, "refusal": true, "args": true, "asked": true, "chain": true,
	"trace_event_raw_sys_exit": true, // exists where CONFIG_FTRACE_SYSCALLS does
}

// moved are members that another release has under a flavour's name.
var moved = map[string]bool{"netns_ipv4.ip_local_ports": true, "local_ports.range": true, "inet_sock.local_port_range": true}

func compareMember(t *testing.T, kernel *btf.Spec, name string, ours btf.Member, theirs *btf.Struct) {
	t.Helper()
	if ours.Name == "" {
		return
	}
	member, ok := findMember(theirs.Members, ours.Name)
	if !ok {
		if !moved[name+"."+ours.Name] {
			t.Errorf("struct %s of this kernel has no member %s", name, ours.Name)
		}
		return
	}
	if moved[name+"."+ours.Name] || ours.BitfieldSize > 0 || member.BitfieldSize > 0 {
		return
	}
	size, err := btf.Sizeof(ours.Type)
	if err != nil {
		t.Fatal(err)
	}
	if _, isInt := btf.UnderlyingType(ours.Type).(*btf.Int); !isInt {
		return // structs are compared by themselves, pointers are pointers
	}
	if have, err := btf.Sizeof(member.Type); err != nil || have != size {
		t.Errorf("%s.%s has %d bytes in this kernel, %d in kernel.h (%v)", name, ours.Name, have, size, err)
	}
}

// findMember looks into anonymous members too, as C does.
func findMember(members []btf.Member, name string) (btf.Member, bool) {
	for _, m := range members {
		if m.Name == name {
			return m, true
		}
		if m.Name != "" {
			continue
		}
		var inner []btf.Member
		switch typ := btf.UnderlyingType(m.Type).(type) {
		case *btf.Struct:
			inner = typ.Members
		case *btf.Union:
			inner = typ.Members
		}
		if found, ok := findMember(inner, name); ok {
			return found, true
		}
	}
	return btf.Member{}, false
}
