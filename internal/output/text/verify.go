package text

import (
	"fmt"

	"github.com/portwatch/portwatch/internal/output/fields"
)

// AppendVerify appends what came of comparing the ledger with the kernel.
func AppendVerify(dst []byte, c *fields.Context, r *fields.VerifyReport, width int) []byte {
	dst = fmt.Appendf(dst, "%s sockets and leases compared twice: %s missing, %s extra, %s in another state\n",
		amount(r.Checked), amount(r.Missing), amount(r.Extra), amount(r.StateDiffers))
	dst = fmt.Appendf(dst, "%s in flight, %s leases without a known owner; the kernel lists %s sockets\n",
		amount(r.InFlight), amount(r.Unattributed), amount(r.Listed))
	if !r.BoundCompared {
		dst = append(dst, "sockets that are bound and nothing else were not compared: this kernel does not list them\n"...)
	}
	if len(r.Differences) > 0 {
		dst = append(dst, '\n')
		dst = Table[fields.VerifyDifference]{Columns: fields.VerifyColumns(), Width: width}.Append(dst, c, r.Differences)
	}
	return dst
}

func amount(n int) string { return thousands(uint64(n)) }
