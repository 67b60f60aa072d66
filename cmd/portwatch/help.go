package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// The help opens with what people come with, at three in the morning.
const questions = `portwatch: who takes, keeps and is refused local ports

  "Address already in use": by whom?    portwatch why 8080
  How many more ports can I get?        portwatch status
  Who took them, and what helps?        portwatch blame
  Who keeps them from process 977?      portwatch blame -p 977
  Who holds the ports right now?        portwatch top --batch -n 1
  Who is refused a port, and why?       portwatch events -x
  What does process 977 do with them?   portwatch events -p 977
  Can I still connect to that server?   portwatch why --connect db.example:5432
  What was it like at 14:03?            portwatch blame -r FILE --at 14:03
  Is it safe to change the range?       portwatch range check 16000-65001
  Which limit does 977 meet first?      portwatch limits -p 977
  What does this error mean?            portwatch explain EADDRNOTAVAIL
  Why does portwatch see so little?     portwatch doctor
  Is what it says what the kernel has?  portwatch verify
  What does portwatch itself cost?      portwatch self
`

const helpEnd = `
"portwatch VERB --help" tells the flags of a verb. Most verbs need root.
Exit codes: 0 fine, 1 failure, 2 usage, 3 kernel lacks something, 4 permission, 5 unreadable recording.
`

// setHelp replaces cobra's help: the root's by the questions and the verbs by
// group, a verb's by its text, examples and flags.
func setHelp(root *cobra.Command) {
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		if cmd == root {
			fmt.Fprint(cmd.OutOrStdout(), rootHelp(root))
			return
		}
		fmt.Fprint(cmd.OutOrStdout(), verbHelp(cmd))
	})
	root.SetUsageFunc(func(*cobra.Command) error { return nil })
}

func rootHelp(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString(questions)
	for _, g := range root.Groups() {
		fmt.Fprintf(&b, "\n%s\n", g.Title)
		for _, c := range root.Commands() {
			if c.GroupID == g.ID {
				fmt.Fprintf(&b, "  %-12s %s\n", c.Name(), c.Short)
			}
		}
	}
	b.WriteString(helpEnd)
	return b.String()
}

func verbHelp(cmd *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", cmd.CommandPath(), cmd.Short)
	if cmd.Long != "" {
		fmt.Fprintf(&b, "\n%s\n", strings.TrimSpace(cmd.Long))
	}
	if cmd.Example != "" {
		fmt.Fprintf(&b, "\nExamples\n%s\n", strings.TrimRight(cmd.Example, "\n"))
	}
	if flags := cmd.LocalFlags(); flags.HasAvailableFlags() {
		fmt.Fprintf(&b, "\nFlags\n%s", flags.FlagUsagesWrapped(80))
	}
	return b.String()
}
