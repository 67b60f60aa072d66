package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// netnsInode resolves a word of -N that names a namespace by a number or a
// file. Any other word is a name: 0 without an error, to be compared with the
// names that events bring.
func netnsInode(word string) (uint32, error) {
	kind, rest, _ := strings.Cut(word, ":")
	switch {
	case word == "":
		return 0, errors.New("empty; known are a name, pid:N, inode:N and a path")
	case kind == "inode" && rest != "":
		inode, err := strconv.ParseUint(rest, 10, 32)
		if err != nil || inode == 0 {
			return 0, fmt.Errorf("%q is no inode number", rest)
		}
		return uint32(inode), nil
	case kind == "pid" && rest != "":
		if _, err := strconv.ParseUint(rest, 10, 32); err != nil {
			return 0, fmt.Errorf("%q is no process id", rest)
		}
		return fileInode("/proc/" + rest + "/ns/net")
	case strings.Contains(word, "/"):
		return fileInode(word)
	}
	return 0, nil
}

func fileInode(path string) (uint32, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, fmt.Errorf("stat %s: no inode", path)
	}
	return uint32(stat.Ino), nil
}
