package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/portwatch/portwatch/internal/host"
)

const needLong = `Counts the local ports that a load takes, against what the range gives: so many
connections at once, or so many a second, closed by this side, each of which
keeps its port for 60 s and up to 5 more in TIME_WAIT.`

const needExample = `  portwatch range need --connections 100000
  portwatch range need --rate 2000 --life 1.2s --to 4`

// most bounds what is asked about: more than a host can hold or do.
const most = 1_000_000_000

func newRangeNeedCommand(a *app) *cobra.Command {
	f := &rangeFlags{output: newChoice("table", "json")}
	d, life := host.Demand{}, time.Duration(0)
	cmd := &cobra.Command{
		Use: "need", Short: "how many ports a load takes, and is the range enough", Long: needLong, Example: needExample, Args: noArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		d.Life = life.Seconds()
		if err := checkDemand(cmd, d); err != nil {
			return err
		}
		p, filter, err := f.place(cmd, false)
		if err != nil {
			return err
		}
		spaces, unread, err := p.spaces(cmd.Context(), filter)
		if err != nil {
			return err
		}
		report := newRangeReport(spaces, unread)
		report.Need = host.NeedOf(d, &report.Namespaces[0])
		return printRange(a, p, f, report)
	}
	f.register(cmd.Flags())
	cmd.Flags().IntVar(&d.Connections, "connections", 0, "connections open at once")
	cmd.Flags().Float64Var(&d.Rate, "rate", 0, "new connections a second")
	cmd.Flags().DurationVar(&life, "life", 0, "how long each of them is open, with --rate")
	cmd.Flags().IntVar(&d.Destinations, "to", 1, "destinations that the load spreads over, each an address and a port")
	return cmd
}

func checkDemand(cmd *cobra.Command, d host.Demand) error {
	connections, rate := cmd.Flags().Changed("connections"), cmd.Flags().Changed("rate")
	switch {
	case connections == rate:
		return usagef(cmd, "want --connections N, or --rate N with --life TIME")
	case connections && !within(float64(d.Connections)):
		return usagef(cmd, "--connections %d: not within 1 to %d", d.Connections, most)
	case rate && !within(d.Rate):
		return usagef(cmd, "--rate %g: want more than 0, and %d at most", d.Rate, most)
	case d.Life < 0 || d.Life > 0 && connections:
		return usagef(cmd, "--life goes with --rate, and is not negative")
	case !within(float64(d.Destinations)):
		return usagef(cmd, "--to %d: not within 1 to %d", d.Destinations, most)
	}
	return nil
}

// within reports whether a demand is one, and no NaN.
func within(x float64) bool { return x > 0 && x <= most }
