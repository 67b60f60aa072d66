package aggregate

import "github.com/portwatch/portwatch/internal/event"

// account counts what one owner has in one namespace of one protocol and
// family.
type account struct {
	owner     uint32
	namespace uint32
	protocol  event.Protocol
	family    event.Family
	anonymous bool // the owner is the unknown one
	live      bool // the slot is in use

	states      StateCounts
	leases      uint32 // sum of states
	remembered  uint32 // failures in the log that point here
	stakes      uint32 // parts of pools that point here
	allocations uint64
	refusals    ReasonCounts
	rate        ring
	used        event.Time // last allocation, failure or end of a lease
}

// accountKey packs what tells accounts apart: 32 bits of owner, 20 of
// namespace, 8 of protocol, 4 of family.
type accountKey uint64

func keyOf(a *account) accountKey {
	return accountKey(uint64(a.owner)<<32 | uint64(a.namespace)<<12 | uint64(a.protocol)<<4 | uint64(a.family&0xf))
}

type accountTable struct {
	slab[account]
	byKey map[accountKey]uint32
}

func (t *accountTable) init() { t.byKey = make(map[accountKey]uint32) }

// party is what an account is looked up by.
type party struct {
	owner    *event.Owner
	netns    uint32
	protocol event.Protocol
	family   event.Family
}

// accountFor finds or opens the account, and reports false if its namespace
// cannot be kept.
func (l *Ledger) accountFor(p party) (uint32, bool) {
	ns, ok := l.namespaceFor(p.netns)
	if !ok {
		return 0, false
	}
	owner := l.ownerFor(p.owner)
	want := account{owner: owner, namespace: ns, protocol: p.protocol, family: p.family}
	key := keyOf(&want)
	if i, ok := l.accounts.byKey[key]; ok {
		return i, true
	}
	return l.openAccount(key, &want), true
}

// accountOfFamily is the account beside one that differs in the family only; 0
// is any family.
func (l *Ledger) accountOfFamily(acc uint32, f event.Family) uint32 {
	a := l.accounts.at(acc)
	if f == 0 || f == a.family {
		return acc
	}
	want := account{owner: a.owner, namespace: a.namespace, protocol: a.protocol, family: f}
	if i, ok := l.accounts.byKey[keyOf(&want)]; ok {
		return i
	}
	return l.openAccount(keyOf(&want), &want)
}

func (l *Ledger) openAccount(key accountKey, want *account) uint32 {
	i := l.accounts.put()
	owner := l.owners.at(want.owner)
	want.anonymous = owner.info.ID.Kind == event.OwnerUnknown
	want.used, want.live = l.now, true
	*l.accounts.at(i) = *want
	l.accounts.byKey[key] = i
	owner.accounts++
	l.namespaces.at(want.namespace).accounts++
	return i
}

// closeAccount forgets an account that nothing points at.
func (l *Ledger) closeAccount(i uint32) {
	a := l.accounts.at(i)
	l.owners.at(a.owner).accounts--
	l.namespaces.at(a.namespace).accounts--
	delete(l.accounts.byKey, keyOf(a))
	l.accounts.drop(i)
}
