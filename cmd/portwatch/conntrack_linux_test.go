package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/tracer/tracertest"
)

// netfilter makes messages of nf_tables: a table with a chain at the output hook,
// whose one rule asks for the state of a connection. From then on the kernel
// tracks the namespace's connections.
type netfilter struct {
	buf      []byte
	sequence uint32
}

func attribute(kind uint16, content []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofNlAttr+len(content)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), content...)
	return append(b, make([]byte, -len(b)&(unix.NLA_ALIGNTO-1))...)
}

func word(kind uint16, text string) []byte { return attribute(kind, append([]byte(text), 0)) }

func number(kind uint16, n uint32) []byte {
	return attribute(kind, binary.BigEndian.AppendUint32(nil, n))
}

func nested(kind uint16, parts ...[]byte) []byte {
	return attribute(kind|unix.NLA_F_NESTED, join(parts...))
}

func join(parts ...[]byte) (all []byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func (n *netfilter) message(kind, flags uint16, resource uint16, family byte, content ...[]byte) {
	body := append([]byte{family, unix.NFNETLINK_V0, byte(resource >> 8), byte(resource)}, join(content...)...)
	n.sequence++
	n.buf = binary.NativeEndian.AppendUint32(n.buf, uint32(unix.SizeofNlMsghdr+len(body)))
	n.buf = binary.NativeEndian.AppendUint16(n.buf, kind)
	n.buf = binary.NativeEndian.AppendUint16(n.buf, flags|unix.NLM_F_REQUEST)
	n.buf = binary.NativeEndian.AppendUint32(n.buf, n.sequence)
	n.buf = append(binary.NativeEndian.AppendUint32(n.buf, 0), body...)
}

// trackConnections is for a thread in the namespace.
func trackConnections() error {
	const subsystem = unix.NFNL_SUBSYS_NFTABLES << 8
	const create = unix.NLM_F_CREATE | unix.NLM_F_ACK
	n := &netfilter{}
	n.message(unix.NFNL_MSG_BATCH_BEGIN, 0, unix.NFNL_SUBSYS_NFTABLES, unix.AF_UNSPEC)
	n.message(subsystem|unix.NFT_MSG_NEWTABLE, create, 0, unix.NFPROTO_IPV4, word(unix.NFTA_TABLE_NAME, "t"))
	n.message(subsystem|unix.NFT_MSG_NEWCHAIN, create, 0, unix.NFPROTO_IPV4,
		word(unix.NFTA_CHAIN_TABLE, "t"), word(unix.NFTA_CHAIN_NAME, "out"), word(unix.NFTA_CHAIN_TYPE, "filter"),
		nested(unix.NFTA_CHAIN_HOOK, number(unix.NFTA_HOOK_HOOKNUM, unix.NF_INET_LOCAL_OUT), number(unix.NFTA_HOOK_PRIORITY, 0)))
	n.message(subsystem|unix.NFT_MSG_NEWRULE, create|unix.NLM_F_APPEND, 0, unix.NFPROTO_IPV4,
		word(unix.NFTA_RULE_TABLE, "t"), word(unix.NFTA_RULE_CHAIN, "out"),
		nested(unix.NFTA_RULE_EXPRESSIONS, nested(unix.NFTA_LIST_ELEM, word(unix.NFTA_EXPR_NAME, "ct"), nested(unix.NFTA_EXPR_DATA,
			number(unix.NFTA_CT_DREG, unix.NFT_REG_1), number(unix.NFTA_CT_KEY, unix.NFT_CT_STATE)))))
	n.message(unix.NFNL_MSG_BATCH_END, 0, unix.NFNL_SUBSYS_NFTABLES, unix.AF_UNSPEC)
	return n.send(3)
}

// send waits for so many answers.
func (n *netfilter) send(answers int) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, n.buf, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	for range answers {
		got, _, err := unix.Recvfrom(fd, answer, 0)
		if err != nil {
			return err
		}
		if got < unix.SizeofNlMsghdr+4 {
			return fmt.Errorf("nf_tables answers %d bytes", got)
		}
		if code := int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); code != 0 {
			return fmt.Errorf("nf_tables: %w", syscall.Errno(-code))
		}
	}
	return nil
}

// sendTo sends one datagram to each of so many ports.
func sendTo(flows int) error {
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer c.Close()
	for i := range flows {
		if _, err := c.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 10000 + i}); err != nil {
			return err
		}
	}
	return nil
}

// The count is the namespace's, and the limit the host's; where connections are not
// tracked at all, both are absent. The limit itself is one for the host, and is not
// reached here.
func TestConntrackIsThatOfTheNamespace(t *testing.T) {
	ns := tracertest.PrivateNetNS(t)
	tracertest.StartActor(t, ns, "idle") // makes the namespace one that can be found
	const flows = 100
	most, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_max")
	tracked := err == nil
	if tracked {
		ns.Do(trackConnections)
		ns.Do(func() error { return sendTo(flows) })
	}
	all, _ := walls(t, "-N", inode(ns))
	for _, w := range all {
		if w.Name != "conntrack" {
			continue
		}
		switch {
		case !tracked && (w.Used != nil || w.Max != nil || w.Level != "unknown"):
			t.Errorf("without conntrack: %s of %s, %s", deref(w.Used), deref(w.Max), w.Level)
		case tracked && (deref(w.Used) != fmt.Sprint(flows) || deref(w.Max) != strings.TrimSpace(string(most))):
			t.Errorf("%s of %s, want %d of %s", deref(w.Used), deref(w.Max), flows, most)
		}
		return
	}
	t.Error("conntrack is no row of limits")
}
