package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// Unread is something that could not be read, and why.
type Unread struct {
	What string // such as "docker containers"
	Why  string // the error, with the path
}

// maxFile bounds what is read of one file; the largest that matters are a
// registry of services and a page of listed sockets.
const maxFile = 8 << 20

// readText reads a file. A longer one than maxFile is an error: half a file
// would be a wrong answer.
func readText(fsys fs.FS, name string) (text string, err error) {
	file, err := fsys.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) > maxFile {
		return "", fmt.Errorf("read %s: longer than %d bytes", name, maxFile)
	}
	return string(data), nil
}

// readWord reads a file of one line.
func readWord(fsys fs.FS, name string) (string, error) {
	text, err := readText(fsys, name)
	return strings.TrimSpace(text), err
}

// list is the names in a directory that match a pattern of [path.Match],
// sorted; none if there is no such directory.
func list(fsys fs.FS, dir, pattern string) ([]string, error) {
	entries, err := fs.ReadDir(fsys, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if ok, err := path.Match(pattern, e.Name()); ok && err == nil {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// isAbsent reports whether an error says that there is nothing to read, as
// opposed to something that may not be read.
func isAbsent(err error) bool { return errors.Is(err, fs.ErrNotExist) }
