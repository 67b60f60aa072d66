package main

import (
	"slices"
	"testing"
)

func TestLibraries(t *testing.T) {
	const ldd = "\tlinux-vdso.so.1 (0x00007f07)\n\tlibz.so.1 => /lib/libz.so.1 (0x00007f07)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f07)\n"
	if got, want := libraries([]byte(ldd)), []string{"/lib/libz.so.1", "/lib64/ld-linux-x86-64.so.2"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := findPeer("pw-no-such-program"); err == nil {
		t.Error("a program that is not there was found")
	}
}
