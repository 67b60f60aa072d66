package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/output/text"
)

const doctorLong = `Tries each hook, leaves nothing attached, and says which mode this kernel
permits, what was refused and why, and the one line that would unlock more.`

func newDoctorCommand(a *app) *cobra.Command {
	flags, output := newWatchFlags(), newChoice("table", "json")
	cmd := &cobra.Command{
		Use: "doctor", Short: "what this kernel lets portwatch see, and why not more", Long: doctorLong,
		GroupID: groupCheck, Args: noArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return runDoctor(cmd, a, flags, output.word) }
	cmd.Flags().VarP(&output, "output", "o", "how to print")
	flags.register(cmd.Flags())
	return cmd
}

// runDoctor prints what is known even where nothing works: the exit code and
// stderr say that.
func runDoctor(cmd *cobra.Command, a *app, flags *watchFlags, output string) error {
	o, err := flags.options(cmd, a)
	if err != nil {
		return err
	}
	report, probeErr := a.kernel.probe(cmd.Context(), o)
	if report.Kernel == "" && probeErr != nil {
		return probeErr
	}
	var buf []byte
	if output == "json" {
		buf = append(fields.Doctor.AppendJSON(nil, nil, &report), '\n')
	} else {
		buf = text.AppendDoctor(nil, &report, a.width())
	}
	if _, err := a.stdout.Write(buf); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return probeErr
}
