package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// peer is another tracer, with which the tests compare the cost of ours: its
// program and the libraries that it needs.
type peer struct {
	files map[string]string // in the machine, here
	argv  []string
}

// findPeer looks a program up, and what its loader would load.
func findPeer(name string) (*peer, error) {
	program, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("find peer: %w; next: apt-get install libbpf-tools", err)
	}
	output, err := exec.Command("ldd", program).Output()
	if err != nil {
		return nil, fmt.Errorf("find libraries of %s: %w", program, err)
	}
	const dir = "/peer"
	p := &peer{files: map[string]string{path.Join(dir, filepath.Base(program)): program}}
	loader := ""
	for _, file := range libraries(output) {
		inside := path.Join(dir, filepath.Base(file))
		p.files[inside] = file
		if strings.HasPrefix(filepath.Base(file), "ld-linux") {
			loader = inside
		}
	}
	if loader == "" {
		return nil, fmt.Errorf("find libraries of %s: ldd names no loader", program)
	}
	p.argv = []string{loader, "--library-path", dir, path.Join(dir, filepath.Base(program))}
	return p, nil
}

// libraries are the files that ldd names.
func libraries(output []byte) []string {
	var files []string
	for line := range bytes.Lines(output) {
		for word := range strings.FieldsSeq(string(line)) {
			if strings.HasPrefix(word, "/") {
				files = append(files, word)
			}
		}
	}
	return files
}

// environ tells the tests how to start it.
func (p *peer) environ() []string {
	if p == nil {
		return nil
	}
	return []string{"PORTWATCH_TEST_PEER=" + strings.Join(p.argv, " ")}
}
