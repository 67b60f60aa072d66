package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/portwatch/portwatch/internal/tracer"
)

const (
	selfTestDir  = "/run/portwatch"
	selfTestFile = "selftest.json"
	// maxSelfTest bounds what is read: a result is a few kilobytes.
	maxSelfTest = 64 << 10
)

// selfTestKey is what a result of the self-test holds for.
type selfTestKey struct {
	BootID  string `json:"boot_id"`
	Kernel  string `json:"kernel"`
	Version string `json:"version"`
	Mode    string `json:"mode"` // that was asked for; "" for the best
}

// whole reports whether the key tells this boot, kernel and build from others.
func (k selfTestKey) whole() bool { return k.BootID != "" && k.Kernel != "" && k.Version != "" }

// selfTestResult is what is remembered.
type selfTestResult struct {
	Key   selfTestKey             `json:"key"`
	Time  time.Time               `json:"time"`
	Hooks []tracer.SelfTestResult `json:"hooks"`
}

// selfTestMemory keeps the last result in a directory that nobody else can
// write to. What it finds there it does not believe unless file and directory
// belong to this user alone.
type selfTestMemory struct{ dir string }

// load returns the result that was saved for the key, and false for anything
// else: the test is run again then.
func (m selfTestMemory) load(key selfTestKey) (result selfTestResult, ok bool) {
	if !key.whole() {
		return result, false
	}
	root, err := m.open()
	if err != nil {
		return result, false
	}
	defer root.Close()
	text, err := readOwn(root, selfTestFile)
	if err != nil || json.Unmarshal(text, &result) != nil || result.Key != key {
		return selfTestResult{}, false
	}
	return result, true
}

// readOwn reads a regular file of this user's. An [os.Root] follows links that
// stay within it, so the name is looked at first.
func readOwn(root *os.Root, name string) (text []byte, err error) {
	named, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !named.Mode().IsRegular() || !private(named) {
		return nil, fmt.Errorf("read %s: not a file of this user alone", name)
	}
	file, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if opened, err := file.Stat(); err != nil || !os.SameFile(named, opened) {
		return nil, errors.Join(fmt.Errorf("read %s: it was replaced meanwhile", name), err)
	}
	return io.ReadAll(io.LimitReader(file, maxSelfTest))
}

// save replaces what was remembered. The file is written under a new name and
// renamed, so that nobody reads half of it.
func (m selfTestMemory) save(result selfTestResult) (err error) {
	if !result.Key.whole() {
		return errors.New("save self-test: this build has no version of its own")
	}
	if err := os.Mkdir(m.dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("save self-test: %w", err)
	}
	root, err := m.open()
	if err != nil {
		return fmt.Errorf("save self-test: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	text, err := json.Marshal(result)
	if err != nil {
		return fmt.Errorf("save self-test: %w", err)
	}
	temporary := selfTestFile + "." + rand.Text()
	if err := writeNew(root, temporary, text); err != nil {
		return fmt.Errorf("save self-test: %w", errors.Join(err, root.Remove(temporary)))
	}
	if err := root.Rename(temporary, selfTestFile); err != nil {
		return fmt.Errorf("save self-test: %w", errors.Join(err, root.Remove(temporary)))
	}
	return nil
}

func writeNew(root *os.Root, name string, text []byte) (err error) {
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Close())
}

// open opens the directory, if it is this user's own.
func (m selfTestMemory) open() (*os.Root, error) {
	if info, err := os.Lstat(m.dir); err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, fmt.Errorf("open %s: not a directory", m.dir)
	}
	root, err := os.OpenRoot(m.dir)
	if err != nil {
		return nil, err
	}
	info, err := root.Stat(".")
	if err == nil && !private(info) {
		err = fmt.Errorf("open %s: others may write to it", m.dir)
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return root, nil
}

// private reports whether a file belongs to this user, and nobody else may
// even read it.
func private(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid() && info.Mode().Perm()&0o077 == 0
}
