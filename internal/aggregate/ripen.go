package aggregate

import (
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

// A TIME_WAIT is ripe when connect() may take it over: its connection had
// timestamps, it is in sub-state TIME_WAIT, tcp_tw_reuse covers it, and the
// delay has passed (tcp_twsk_unique of the kernel). What is not known is not
// ripe.

// wholeSecond is the longest that kernels without tcp_tw_reuse_delay wait: for
// the next whole second of a clock of theirs.
const wholeSecond = event.Time(time.Second)

// loopback is the device that tcp_tw_reuse=2 speaks of.
const loopback = 1

// ripensAt is when the lease will be ripe; 0 for never.
func (l *Ledger) ripensAt(ls *lease) event.Time {
	if ls.state != event.StateTimeWait || ls.substate != event.SubstateTimeWait || ls.entered == 0 || !ls.remote.valid {
		return 0
	}
	a := l.accounts.at(ls.account)
	loops := ls.device == loopback || ls.local.addrPort(a.family).Addr().IsLoopback() ||
		ls.remote.addrPort(a.family).Addr().IsLoopback()
	return reusableFrom(&l.namespaces.at(a.namespace).limits, ls.entered, loops)
}

// reusableFrom is when connect() may take over a TIME_WAIT that had timestamps and
// entered its sub-state then; 0 for never. loops says that it never left the host.
func reusableFrom(limits *event.Limits, entered event.Time, loops bool) event.Time {
	switch {
	case limits.TWReuse == 1 || limits.TWReuse == 2 && loops:
	default:
		return 0
	}
	if limits.TWReuseDelayMillis == nil {
		return entered + wholeSecond
	}
	return entered + event.Time(*limits.TWReuseDelayMillis)*event.Time(time.Millisecond)
}

// ripen sets whether the lease is ripe now, and remembers when it will be.
func (l *Ledger) ripen(slot uint32, ls *lease) {
	at := l.ripensAt(ls)
	ls.ripe = at != 0 && at <= l.now
	if at != 0 && !ls.ripe && !ls.ripens {
		ls.ripens = true
		l.pools.ripens.push(ripe{at, slot, ls.id})
	}
}

// ripenDue looks at the leases whose time has come. One that was renewed since
// is put back.
func (l *Ledger) ripenDue() {
	for len(l.pools.ripens) > 0 && l.pools.ripens[0].at <= l.now {
		r := l.pools.ripens.pop()
		ls := l.leases.at(r.slot)
		if !ls.live || ls.id != r.id {
			continue
		}
		ls.ripens = false
		shade := shadeOf(ls)
		l.ripen(r.slot, ls)
		if now := shadeOf(ls); now != shade && ls.flow != 0 && !l.bucketOf(ls).poisoned {
			l.weigh(ls, shade, -1)
			l.weigh(ls, now, 1)
			l.version++ // a cached snapshot has it otherwise
		}
	}
}

// ripe is a lease and the moment at which it will be.
type ripe struct {
	at   event.Time
	slot uint32
	id   event.LeaseID
}

// ripening is a binary heap, the first moment in front.
type ripening []ripe

func (h *ripening) push(r ripe) {
	*h = append(*h, r)
	a := *h
	for i := len(a) - 1; i > 0; {
		up := (i - 1) / 2
		if a[up].at <= a[i].at {
			return
		}
		a[up], a[i] = a[i], a[up]
		i = up
	}
}

func (h *ripening) pop() ripe {
	a := *h
	first, last := a[0], len(a)-1
	a[0] = a[last]
	a = a[:last]
	*h = a
	for i := 0; ; {
		least := i
		for _, child := range [...]int{2*i + 1, 2*i + 2} {
			if child < len(a) && a[child].at < a[least].at {
				least = child
			}
		}
		if least == i {
			return first
		}
		a[i], a[least] = a[least], a[i]
		i = least
	}
}
