package portrange

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/portwatch/portwatch/internal/event"
)

const (
	// usualText is room for every value but a long list.
	usualText = 4 << 10
	// maxText is room for the longest value there is, a reserved list of
	// every other port: 32,768 numbers of up to six bytes.
	maxText = 256 << 10
)

// Read reads the settings from fsys, the tree of /proc/sys/net as the calling
// thread sees it: what os.DirFS("/proc/sys/net") shows follows the thread's
// network namespace, so a foreign one is read inside netns.Do. NetNS is left
// to the caller.
//
// A setting that the kernel lacks is absent: nil, or the zero value. A value
// that is not understood is an error that names the file and quotes the text.
func Read(fsys fs.FS) (event.Limits, error) {
	r := reader{fsys: fsys}
	limits := event.Limits{
		Range:              value(&r, "ipv4/ip_local_port_range", parseRange),
		Reserved:           value(&r, "ipv4/ip_local_reserved_ports", parseReserved),
		TWReuse:            value(&r, "ipv4/tcp_tw_reuse", parseNumber),
		TWReuseDelayMillis: value(&r, "ipv4/tcp_tw_reuse_delay", parseOptional),
		Timestamps:         value(&r, "ipv4/tcp_timestamps", parseNumber),
		MaxTWBuckets:       value(&r, "ipv4/tcp_max_tw_buckets", parseNumber),
		FinTimeoutSeconds:  value(&r, "ipv4/tcp_fin_timeout", parseNumber),
		UnprivilegedStart:  value(&r, "ipv4/ip_unprivileged_port_start", parseNumber),
		StepWidth:          value(&r, "ipv4/ip_local_port_step_width", parseOptional),
	}
	if r.err != nil {
		return event.Limits{}, r.err
	}
	return limits, nil
}

// reader reads settings until the first error, which it keeps.
type reader struct {
	fsys fs.FS
	err  error
}

// value is the parsed content of a file, or zero if there is no such file.
func value[T any](r *reader, name string, parse func(string) (T, error)) (v T) {
	if r.err != nil {
		return v
	}
	text, err := r.text(name)
	if errors.Is(err, fs.ErrNotExist) {
		return v
	}
	if err != nil {
		r.err = fmt.Errorf("read %s: %w", name, err)
		return v
	}
	parsed, err := parse(strings.TrimSpace(text))
	if err != nil {
		r.err = fmt.Errorf("parse %s: %w", name, err)
		return v
	}
	return parsed
}

// text reads a file with one read(2). The kernel prints a bitmap into the
// first read only and cuts it at that read's size (proc_do_large_bitmap,
// kernel/sysctl.c): os.ReadFile, which starts with 512 bytes, would lose the
// rest of a long list without an error. The kernel allocates as much as is
// asked for, so the whole size is asked for only where it is needed.
func (r *reader) text(name string) (string, error) {
	for _, size := range [...]int{usualText, maxText} {
		text, err := r.upTo(name, size)
		if err != nil || len(text) < size {
			return text, err
		}
	}
	return "", fmt.Errorf("text is longer than %d bytes", maxText)
}

// upTo reads the first size bytes of a file.
func (r *reader) upTo(name string, size int) (text string, err error) {
	file, err := r.fsys.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	buf := make([]byte, size)
	n, err := io.ReadFull(file, buf)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", err
	}
	return string(buf[:n]), nil
}
