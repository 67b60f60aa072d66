package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/output/text"
)

const doctorLong = `Tries each hook, leaves nothing attached, and says which mode this kernel
permits, what was refused and why, and the one line that would unlock more.

A hook may attach and stay silent. So, once per boot, kernel and version, the
self-test makes each hook fire in a private network namespace, with loopback
addresses only, and the result is remembered in /run/portwatch.`

const doctorExample = `  portwatch doctor                      what works here, in short
  portwatch doctor -o wide              each hook by itself
  portwatch doctor --self-test          make each hook fire again`

func newDoctorCommand(a *app) *cobra.Command {
	flags, output := newWatchFlags(), newChoice("table", "wide", "json")
	repeat := false
	cmd := &cobra.Command{
		Use: "doctor", Short: "what this kernel lets portwatch see, and why not more", Long: doctorLong,
		Example: doctorExample, GroupID: groupCheck, Args: noArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return runDoctor(cmd, a, flags, doctorView{output: output.word, repeat: repeat})
	}
	cmd.Flags().VarP(&output, "output", "o", "how to print")
	cmd.Flags().BoolVar(&repeat, "self-test", false, "run the self-test although its result is remembered")
	flags.register(cmd.Flags())
	return cmd
}

// doctorView says how a report is made and printed.
type doctorView struct {
	output string
	repeat bool
}

// runDoctor prints what is known even where nothing works: the exit code and
// stderr say that.
func runDoctor(cmd *cobra.Command, a *app, flags *watchFlags, v doctorView) error {
	o, err := flags.options(cmd, a)
	if err != nil {
		return err
	}
	report, probeErr := a.kernel.probe(cmd.Context(), probeOptions{watchOptions: o, Repeat: v.repeat})
	if report.Kernel == "" && probeErr != nil {
		return probeErr
	}
	var buf []byte
	if v.output == "json" {
		buf = append(fields.Doctor.AppendJSON(nil, nil, &report), '\n')
	} else {
		buf = text.AppendDoctor(nil, &report, text.DoctorOptions{
			Width: a.width(), Wide: v.output == "wide", Location: time.Local,
		})
	}
	if _, err := a.stdout.Write(buf); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return probeErr
}
