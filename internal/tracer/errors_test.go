package tracer

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const allCapabilities = 1<<41 - 1

func TestRefusalsAreExplained(t *testing.T) {
	tests := []struct {
		name string
		host host
		want []string
		not  string
	}{
		{"no capabilities", host{}, []string{"the process lacks CAP_BPF, CAP_PERFMON"}, "lockdown"},
		{"one is missing", host{capabilities: allCapabilities &^ (1 << 38)}, []string{"the process lacks CAP_PERFMON"}, ","},
		{
			"lockdown",
			host{capabilities: allCapabilities, lockdown: "confidentiality", lsm: []string{"lockdown"}},
			[]string{"lockdown is in confidentiality mode"},
			"none of these",
		},
		{
			"nothing explains it",
			host{capabilities: allCapabilities, lockdown: "none", lsm: []string{"lockdown", "apparmor"}, securityfs: true},
			[]string{"lockdown is none", "security modules are lockdown, apparmor", "none of these explains it"},
			"cannot",
		},
		{
			"no securityfs",
			host{capabilities: allCapabilities},
			[]string{"securityfs is not mounted", "cannot be read"},
			"explains",
		},
		{
			"an empty securityfs",
			host{capabilities: allCapabilities, securityfs: true},
			[]string{"securityfs names neither"},
			"not mounted",
		},
		{
			"half of it",
			host{capabilities: allCapabilities, lockdown: "none", securityfs: true},
			[]string{"lockdown is none", "security modules are not readable"},
			"cannot",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.host.whyNot()
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in %q", want, got)
				}
			}
			if strings.Contains(got, tt.not) {
				t.Errorf("%q in %q", tt.not, got)
			}
		})
	}
}

func TestExplainedErrorsAreTold(t *testing.T) {
	h := host{}
	memlock := fmt.Errorf("load program: %w (MEMLOCK may be too low)", unix.EPERM)
	if err := h.explain(memlock); !errors.Is(err, ErrPermission) || strings.Contains(err.Error(), "MEMLOCK") {
		t.Errorf("EPERM: %v", err)
	}
	if err := h.explain(unix.ENOENT); !errors.Is(err, ErrUnsupported) {
		t.Errorf("ENOENT: %v", err)
	}
	if err := h.explain(nil); err != nil {
		t.Errorf("no error: %v", err)
	}
}
