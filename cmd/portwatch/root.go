package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// The groups of verbs in the help.
const (
	groupLook   = "look"
	groupCheck  = "check"
	groupRecord = "record"
)

func newRootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "portwatch",
		Short:         "who takes, keeps and is refused local ports",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
	}
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		return usagef(cmd, "unknown verb %q: known are %s", args[0], strings.Join(verbs(cmd), ", "))
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usagef(cmd, "%s", err.Error()) })
	root.AddGroup(&cobra.Group{ID: groupLook, Title: "Look"}, &cobra.Group{ID: groupRecord, Title: "Record"}, &cobra.Group{ID: groupCheck, Title: "Check"})
	root.AddCommand(
		newWhyCommand(a), newTopCommand(a), newStatusCommand(a), newBlameCommand(a), newRunCommand(a), newEventsCommand(a),
		newRangeCommand(a), newLimitsCommand(a), newExplainCommand(a),
		newRecordCommand(a), newInfoCommand(a), newCheckCommand(a),
		newVerifyCommand(a), newDoctorCommand(a), newSelfCommand(a), newVersionCommand(a),
	)
	root.SetCompletionCommandGroupID(groupCheck)
	root.SetHelpCommand(&cobra.Command{Use: "no-help", Hidden: true})
	root.InitDefaultCompletionCmd()
	if c, _, err := root.Find([]string{"completion"}); err == nil {
		c.Short = "completion for a shell: bash, zsh, fish or powershell"
	}
	setHelp(root)
	return root
}

// verbs are the names of the commands below cmd.
func verbs(cmd *cobra.Command) []string {
	var names []string
	for _, c := range cmd.Commands() {
		if !c.Hidden {
			names = append(names, c.Name())
		}
	}
	return names
}

// noArgs refuses arguments: a filter without its flag is a common slip.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef(cmd, "unexpected argument %q: %s takes flags only", args[0], cmd.Name())
	}
	return nil
}
