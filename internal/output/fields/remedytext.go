package fields

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/event"
)

// dropIn is the file in which a setting of the host's own namespace lasts: one for
// each, so that no other advice overwrites it.
func dropIn(key string) string {
	name := key[strings.LastIndexByte(key, '.')+1:]
	return "/etc/sysctl.d/61-" + strings.ReplaceAll(name, "_", "-") + ".conf"
}

// text is what to do.
func (r *remedyRow) text() string {
	switch r.ID {
	case aggregate.ReuseConnections:
		return fmt.Sprintf("keep connections%s open and use them again (pool, keep-alive): %s open now", r.farEnd(), areOf(r.Ports))
	case aggregate.PeerClosesFirst:
		return "let the far end close first: no TIME_WAIT stays here"
	case aggregate.TCPTWReuse:
		if r.Effect == nil {
			return "let connect() take over ports in TIME_WAIT"
		}
		return fmt.Sprintf("let connect() take over ports in TIME_WAIT: %s of them now", grouped(r.Ports))
	case aggregate.WidenRange:
		return fmt.Sprintf("widen the range to %s: %s more", strings.ReplaceAll(r.Settings[0].Value, " ", "-"), grouped(r.Ports))
	case aggregate.MoreSourceAddresses:
		return fmt.Sprintf("connect from one more local address: %s more, once the program uses it", grouped(r.Ports))
	case aggregate.MoreDestinations:
		return fmt.Sprintf("connect to one more address or port of the far end: %s more", grouped(r.Ports))
	case aggregate.BindAddressNoPort:
		return fmt.Sprintf("set IP_BIND_ADDRESS_NO_PORT before bind(): %s bound before connect()", areOf(r.Ports))
	case aggregate.ReservePort:
		return fmt.Sprintf("reserve %s: nobody is given it by chance then, and who asks for it by number gets it", ofThings(r.Ports, "port"))
	case aggregate.CloseLeak:
		return fmt.Sprintf("close what is kept open: %s", ofThings(r.Ports, "port"))
	case aggregate.StopProcess:
		return fmt.Sprintf("stop %s", who(r.culprit.Owner))
	}
	return r.waiting()
}

func areOf(n int) string { return grouped(n) + " " + areIs(n) }

// waiting says what comes back if nobody asks for more.
func (r *remedyRow) waiting() string {
	p := r.culprit.Pool
	if p == nil {
		return fmt.Sprintf("wait %.0f s: the port comes back then", math.Ceil(r.In.Seconds()))
	}
	back := p.Forecast.Returning
	if p.Request != aggregate.RequestConnect {
		return fmt.Sprintf("wait: %s come back within 60 s", ofThings(r.Ports, "port"))
	}
	return fmt.Sprintf("wait: in 10, 30 and 60 s %s, %s and %s come back", grouped(back[0]), grouped(back[1]), grouped(back[2]))
}

func (r *remedyRow) farEnd() string {
	if r.culprit.Pool == nil || !r.culprit.Pool.Remote.IsValid() {
		return ""
	}
	return " to " + r.culprit.Pool.Remote.String()
}

// where is the place at which it is done.
func (r *remedyRow) where() string {
	switch {
	case len(r.Settings) > 0 || r.ID == aggregate.MoreSourceAddresses:
		return "namespace " + string(netnsWord(namespaceOf(r.culprit)).AppendText(nil, nil))
	case r.ID == aggregate.MoreDestinations:
		return "far end"
	case r.ID == aggregate.Wait:
		return "nowhere"
	}
	return string(Process(r.culprit.Owner).AppendText(nil, nil))
}

// namespaceOf is where the ports are.
func namespaceOf(c *culpritRow) (name string, inode uint32) {
	switch {
	case c.Pool != nil:
		return c.Pool.NetNSName, c.Pool.NetNS
	case c.Lease != nil:
		return c.NetNSName, c.Lease.NetNS
	}
	return "", 0
}

// prefix is what goes before a command to run it in the namespace of the ports;
// false if nothing is known that leads there.
func (r *remedyRow) prefix() (string, bool) {
	name, _ := namespaceOf(r.culprit)
	pid, isPID := strings.CutPrefix(name, "pid:")
	switch {
	case name == "host":
		return "", true
	case isPID:
		return "nsenter -t " + pid + " -n ", true
	case name != "":
		return "ip netns exec " + shellWord(name) + " ", true
	}
	if o := living(r.culprit); o != nil {
		return fmt.Sprintf("nsenter -t %d -n ", o.ID.PID), true
	}
	return "", false
}

// living is a process that has ports there and runs still.
func living(c *culpritRow) *ownerInfo {
	if o := c.Owner; o.ID.Kind == event.OwnerProcess && !o.Exited {
		return o
	}
	if c.Pool == nil {
		return nil
	}
	for i := range c.Pool.Owners {
		if o := c.Pool.Owners[i].Owner; o.ID.Kind == event.OwnerProcess && !o.Exited {
			return o
		}
	}
	return nil
}

func (r *remedyRow) commands() []string {
	return r.run(func(s *aggregate.Setting) string { return s.Value }, "ip address add ADDRESS dev DEVICE", true)
}

func (r *remedyRow) undo() []string {
	return r.run(func(s *aggregate.Setting) string { return s.Before }, "ip address del ADDRESS dev DEVICE", false)
}

// run is the commands that set all settings to a value.
func (r *remedyRow) run(value func(*aggregate.Setting) string, address string, kill bool) []string {
	if r.ID == aggregate.StopProcess && kill {
		return []string{"kill " + strconv.FormatUint(uint64(r.culprit.Owner.ID.PID), 10)}
	}
	if len(r.Settings) == 0 && r.ID != aggregate.MoreSourceAddresses {
		return []string{}
	}
	prefix, known := r.prefix()
	if !known {
		return nil
	}
	if r.ID == aggregate.MoreSourceAddresses {
		return []string{prefix + address}
	}
	lines := make([]string, len(r.Settings))
	for i := range r.Settings {
		lines[i] = fmt.Sprintf("%ssysctl -w %s=%q", prefix, r.Settings[i].Key, value(&r.Settings[i]))
	}
	return lines
}

// persistent is where the settings belong: a boot file speaks of the host's own
// namespace only, each new one begins with the kernel's defaults.
func (r *remedyRow) persistent() []string {
	lines := []string{}
	name, _ := namespaceOf(r.culprit)
	in := r.culprit.Owner
	for _, s := range r.Settings {
		switch {
		case name == "host":
			lines = append(lines, fmt.Sprintf("echo '%s = %s' > %s", s.Key, s.Value, dropIn(s.Key)))
		case in.Pod != "" || in.PodUID != "":
			lines = append(lines, fmt.Sprintf("pod: securityContext.sysctls: name %s, value %q", s.Key, s.Value))
		case in.Container != "" || in.ContainerID != "":
			lines = append(lines, fmt.Sprintf("docker, podman: --sysctl %s=%q", s.Key, s.Value))
		}
	}
	return lines
}

// shellWord is a word as a shell takes it: namespaces have the names that people
// give them.
func shellWord(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._:/", r)
	}
	if strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// RemedySentence is what to do, its price and what it needs.
func RemedySentence(r *RemedyRow) string {
	text := r.text()
	words := []string{strings.ToUpper(text[:1]) + text[1:] + ".", "Price: " + r.price() + "."}
	for _, n := range r.Needs {
		switch n.Met {
		case aggregate.NotKnown:
			words = append(words, "Needs: "+conditions[n.Condition]+".")
		case aggregate.No:
			words = append(words, "Needs, and is not so: "+conditions[n.Condition]+".")
		}
	}
	return strings.Join(words, " ")
}

// RemedyCommands are the commands that do it, and what makes it last.
func RemedyCommands(r *RemedyRow) []string { return append(r.commands(), r.persistent()...) }
