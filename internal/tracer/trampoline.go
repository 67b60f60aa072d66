package tracer

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/event"
)

// reportTrampolines tries, with a program that does nothing, whether the
// kernel lets anybody attach to the functions that full mode needs.
func reportTrampolines(support *Support) {
	h := readHost()
	for i := range hooks {
		if k := &hooks[i]; k.onFunction() && k.modes == inFull {
			support.report(reportTrampoline(k, h, support))
		}
	}
}

func reportTrampoline(k *hook, h host, support *Support) HookReport {
	r := HookReport{Hook: k.place(), State: HookOff, Reason: "mode " + event.ModeFull.String() + " would attach it"}
	err := tryTrampoline(k.targets[0])
	if err == nil {
		return r
	}
	cause := h.explain(err)
	r.State, r.Reason = HookRefused, cause.Error()
	if errors.Is(cause, ErrUnsupported) {
		r.State = HookAbsent
	}
	if errors.Is(cause, ErrPermission) {
		r.Reason = "EPERM: " + h.whyNot()
		support.Advice = "a kernel that permits BPF trampolines (fentry, fexit)"
	}
	return r
}

// CanTrace reports whether the kernel lets this process attach to its
// functions, which is what mode full needs; nil if it does.
func CanTrace() error {
	if err := tryTrampoline("inet_hash_connect"); err != nil {
		return fmt.Errorf("attach to inet_hash_connect: %w", readHost().explain(err))
	}
	return nil
}

func tryTrampoline(function string) error {
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name:         "pw_try",
		Type:         ebpf.Tracing,
		AttachType:   ebpf.AttachTraceFEntry,
		AttachTo:     function,
		License:      "Dual BSD/GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		return loadCause(err)
	}
	defer prog.Close()
	l, err := link.AttachTracing(link.TracingOptions{Program: prog})
	if err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	return l.Close()
}

// loadCause drops the library's advice about RLIMIT_MEMLOCK.
func loadCause(err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("load: %w", unix.EPERM)
	}
	return err
}
