package host

import (
	"cmp"
	"io/fs"
	"net/netip"
	"slices"
	"time"

	"github.com/portwatch/portwatch/internal/event"
)

// Kind says how ports come to be spoken for.
type Kind string

// The kinds of claims. The first three are held now, the others will be
// wanted.
const (
	KindListening  Kind = "listening"
	KindBound      Kind = "bound"
	KindPublished  Kind = "published" // of a container
	KindKubernetes Kind = "kubernetes"
	KindMesos      Kind = "mesos"
	KindSystemd    Kind = "systemd"
	KindAsked      Kind = "asked"    // named on the command line
	KindRecorded   Kind = "recorded" // bound in a recording, and not now by the same process
)

// Claim is ports that somebody holds, or will want.
type Claim struct {
	Ports    event.PortRange
	Protocol event.Protocol // 0 for every protocol
	Kind     Kind
	Name     string     // the unit, container or program; "" for a socket without a known owner
	Source   string     // where that was read
	Addr     netip.Addr // the local address; invalid if it is not known
	// Owner holds the socket; nil for what is no socket, and for a socket
	// whose owner is not known.
	Owner *event.Process
	// Namespace is the name of the network namespace; "" for what was only
	// named on the command line.
	Namespace string
	// Seen is when a recording first shows that Owner holds the port, Bound when
	// it was last bound there: zero if that was before the recording. Both are
	// zero for what no recording shows.
	Seen, Bound time.Time
	// Reserved reports whether all of Ports are in ip_local_reserved_ports.
	Reserved bool
}

// FindClaims reads who on this host will want which ports: Kubernetes, Mesos,
// socket units of systemd, and containers that publish ports. The claims are
// sorted by port.
func FindClaims(fsys fs.FS) (claims []Claim, unread []Unread) {
	running, unread := processes(fsys)
	for _, find := range []func() ([]Claim, []Unread){
		func() ([]Claim, []Unread) { return kubernetes(fsys, running) },
		func() ([]Claim, []Unread) { return mesos(fsys, running) },
		func() ([]Claim, []Unread) { return socketUnits(fsys) },
		func() ([]Claim, []Unread) { return dockerPorts(fsys) },
		func() ([]Claim, []Unread) { return cniPorts(fsys) },
	} {
		found, refused := find()
		claims, unread = append(claims, found...), append(unread, refused...)
	}
	sortClaims(claims)
	// A container's port is in the files once for each family.
	return slices.CompactFunc(claims, func(a, b Claim) bool {
		return a.Ports == b.Ports && a.Protocol == b.Protocol && a.Kind == b.Kind && a.Name == b.Name && a.Source == b.Source
	}), unread
}

func sortClaims(claims []Claim) {
	slices.SortStableFunc(claims, func(a, b Claim) int {
		return cmp.Or(cmp.Compare(a.Ports.Low, b.Ports.Low), cmp.Compare(a.Ports.High, b.Ports.High),
			cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
}
