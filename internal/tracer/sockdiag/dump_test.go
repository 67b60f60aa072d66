package sockdiag

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/mdlayher/netlink"
	"github.com/mdlayher/netlink/nlenc"
	"github.com/mdlayher/netlink/nltest"
	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/event"
)

// fakeConn answers every request with the given messages.
func fakeConn(t *testing.T, flags netlink.HeaderFlags, answers ...[]byte) *Conn {
	t.Helper()
	return dialFake(t, func(requests []netlink.Message) ([]netlink.Message, error) {
		var msgs []netlink.Message
		for _, data := range answers {
			header := requests[0].Header
			header.Flags = flags
			msgs = append(msgs, netlink.Message{Header: header, Data: data})
		}
		return nltest.Multipart(append(msgs, netlink.Message{Header: requests[0].Header, Data: make([]byte, 4)}))
	})
}

func dialFake(t *testing.T, fn nltest.Func) *Conn {
	t.Helper()
	c := &Conn{nl: nltest.Dial(fn)}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

var tcp4 = Request{Family: event.IPv4, Protocol: event.TCP}

func listener(t *testing.T, local string) []byte {
	t.Helper()
	return message{family: unix.AF_INET, state: 10, local: local}.encode(t)
}

func TestDumpDelivers(t *testing.T) {
	tests := []struct {
		name  string
		flags netlink.HeaderFlags
		want  error
	}{
		{"whole", 0, nil},
		{"interrupted", netlink.DumpInterrupted, ErrInterrupted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := fakeConn(t, tt.flags, listener(t, "10.0.0.1:80"), listener(t, "10.0.0.1:81"))
			var ports []uint16
			err := c.Dump(context.Background(), tcp4, func(s *Socket) error {
				ports = append(ports, s.Local.Port())
				return nil
			})
			if !errors.Is(err, tt.want) {
				t.Errorf("Dump() = %v, want %v", err, tt.want)
			}
			if len(ports) != 2 || ports[0] != 80 || ports[1] != 81 {
				t.Errorf("ports %v, want 80 and 81", ports)
			}
		})
	}
}

func TestDumpStopsAtTheFunctionsError(t *testing.T) {
	c := fakeConn(t, 0, listener(t, "10.0.0.1:80"), listener(t, "10.0.0.1:81"))
	want, calls := errors.New("enough"), 0
	err := c.Dump(context.Background(), tcp4, func(*Socket) error { calls++; return want })
	if !errors.Is(err, want) || calls != 1 {
		t.Errorf("Dump() = %v after %d calls, want %v after 1", err, calls, want)
	}
}

func TestDumpFails(t *testing.T) {
	live := context.Background()
	canceled, cancel := context.WithCancel(live)
	cancel()
	tests := []struct {
		name string
		ctx  context.Context
		conn *Conn
		want error
		text string
	}{
		{"canceled", canceled, fakeConn(t, 0, listener(t, "10.0.0.1:80"), listener(t, "10.0.0.1:81")), context.Canceled, ""},
		{"no module", live, refusing(t, netlink.Error, unix.ENOENT), ErrUnavailable, "list tcp sockets: "},
		{"no protocol module", live, refusing(t, netlink.Done, unix.ENOENT), ErrUnavailable, "list tcp sockets: "},
		{"no support", live, refusing(t, netlink.Error, unix.EOPNOTSUPP), ErrUnavailable, "list tcp sockets: "},
		{"no right", live, refusing(t, netlink.Error, unix.EPERM), unix.EPERM, "list tcp sockets: "},
		{"garbage", live, fakeConn(t, 0, []byte{1}, []byte{2}), nil, "parse inet_diag_msg: 1 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.conn.Dump(tt.ctx, tcp4, func(*Socket) error { return nil })
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("Dump() = %v, want %q, %v", err, tt.text, tt.want)
			}
		})
	}
}

// refusing answers as a kernel does: without a handler for the family by an
// error, without one for the protocol by the end of the dump.
func refusing(t *testing.T, kind netlink.HeaderType, errno unix.Errno) *Conn {
	t.Helper()
	return dialFake(t, func(requests []netlink.Message) ([]netlink.Message, error) {
		header := requests[0].Header
		header.Type, header.Flags = kind, netlink.Multi
		return []netlink.Message{{Header: header, Data: nlenc.Int32Bytes(-int32(errno))}}, nil
	})
}

func TestDumpRefusesUnknownFamily(t *testing.T) {
	if err := fakeConn(t, 0).Dump(context.Background(), Request{Family: 5}, nil); err == nil {
		t.Error("Dump() = nil, want an error")
	}
}
