package main

import (
	"bytes"
	"fmt"
	"path"
	"strings"
)

// archive is an initramfs in the making: a cpio archive in the format "newc",
// which the kernel unpacks into its root file system.
type archive struct {
	buf   bytes.Buffer
	inode int
	made  map[string]bool // directories
}

// Modes of inodes, as stat(2) has them.
const (
	modeDir  = 0o040755
	modeFile = 0o100755
)

// dir adds a directory and those above it.
func (a *archive) dir(name string) {
	name = strings.Trim(path.Clean("/"+name), "/")
	if name == "" || a.made[name] {
		return
	}
	a.dir(path.Dir(name))
	if a.made == nil {
		a.made = map[string]bool{}
	}
	a.made[name] = true
	a.entry(name, modeDir, nil)
}

// file adds an executable file and the directories above it.
func (a *archive) file(name string, data []byte) {
	a.dir(path.Dir(name))
	a.entry(strings.Trim(name, "/"), modeFile, data)
}

// bytes ends the archive.
func (a *archive) bytes() []byte {
	a.entry("TRAILER!!!", 0, nil)
	return a.buf.Bytes()
}

// entry writes a header of 13 numbers in hexadecimal, the name and the data,
// each up to a multiple of 4 bytes.
func (a *archive) entry(name string, mode int, data []byte) {
	a.inode++
	a.buf.WriteString("070701")
	for _, field := range [13]int{
		a.inode, mode, 0, 0, 1, 0, // inode, mode, uid, gid, links, time
		len(data), 0, 0, 0, 0, // size, devices
		len(name) + 1, 0, // with its NUL; checksum, which newc lacks
	} {
		fmt.Fprintf(&a.buf, "%08x", field)
	}
	a.buf.WriteString(name + "\x00")
	a.pad()
	a.buf.Write(data)
	a.pad()
}

func (a *archive) pad() {
	for a.buf.Len()%4 != 0 {
		a.buf.WriteByte(0)
	}
}
