package sockdiag

import "fmt"

// ListsBound reports whether sock_diag of a kernel release, as uname -r prints
// it, lists TCP sockets that are bound and nothing else: inet_diag_dump_icsk
// does from 6.12 on.
func ListsBound(release string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major > 6 || major == 6 && minor >= 12
}
