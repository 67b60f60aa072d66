package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/portwatch/portwatch/docs"
	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/output/text"
)

const explainLong = `Explains an error, a setting, a word or a key of a JSON document, with the values
of this host. The whole line of a log will do for a topic.`

const explainExample = `  portwatch explain EADDRNOTAVAIL
  portwatch explain "bind: Address already in use"
  portwatch explain tcp_fin_timeout
  portwatch explain used_ratio`

func newExplainCommand(a *app) *cobra.Command {
	output, root := newChoice("table", "json"), ""
	cmd := &cobra.Command{
		Use: "explain TOPIC", Short: "what an error, a setting or a word means, on this host", Long: explainLong + "\n\n" + topicList(),
		Example: explainExample, GroupID: groupCheck,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		e, err := explain(cmd, strings.Join(args, " "))
		if err != nil {
			return err
		}
		p, err := newPlace(root)
		if err != nil {
			return usagef(cmd, "--root %s: %s", root, err)
		}
		if len(e.facts) > 0 {
			e.Host, e.Unread = p.facts(cmd.Context(), e.facts)
		}
		c := &fields.Context{Meta: p.meta()}
		buf := append(fields.Explain.AppendJSON(nil, c, &e.Explanation), '\n')
		if output.word == "table" {
			buf = text.AppendExplanation(nil, &e.Explanation, a.width())
		}
		if _, err := a.stdout.Write(buf); err != nil {
			return fmt.Errorf("write explanation: %w", err)
		}
		return nil
	}
	cmd.Flags().VarP(&output, "output", "o", "how to print")
	cmd.Flags().StringVar(&root, "root", "", "with the values of another host's collected tree")
	return cmd
}

// topicList is the names of all pages, for the help.
func topicList() string {
	var b strings.Builder
	b.WriteString("Topics, beside errors, settings and keys:\n")
	for _, p := range docs.Pages() {
		fmt.Fprintf(&b, "  %s\n", p.Name)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// explanation is what is known without the host, and which facts of it belong
// there.
type explanation struct {
	fields.Explanation
	facts []string
}

// explain finds a page, or a key of a document.
func explain(cmd *cobra.Command, topic string) (explanation, error) {
	if strings.TrimSpace(topic) == "" {
		return explanation{}, usagef(cmd, "no topic: want an error, a setting, a word or a key, such as EADDRNOTAVAIL")
	}
	page, near, found := docs.Find(topic)
	if found {
		return explanation{fields.Explanation{Topic: topic, Title: page.Title, Text: page.Text}, page.Host}, nil
	}
	meanings, err := fields.MeaningsOf(topic)
	if err != nil {
		return explanation{}, err
	}
	if len(meanings) == 0 {
		return explanation{}, usagef(cmd, "unknown topic %q: the nearest are %s", topic, strings.Join(near, ", "))
	}
	var b strings.Builder
	for _, m := range meanings {
		unit := ""
		if m.Unit != "" {
			unit = ", in " + m.Unit
		}
		fmt.Fprintf(&b, "%s: %s\n    (%s%s)\n", m.Path, m.Meaning, m.Document, unit)
	}
	return explanation{fields.Explanation{Topic: topic, Title: "The key " + topic, Text: b.String()}, nil}, nil
}

// facts are sentences about the namespace that the command runs in, or about a
// tree.
func (p *place) facts(ctx context.Context, names []string) (sentences []string, unread string) {
	spaces, _, err := p.spaces(ctx, spaceFilter{})
	if err != nil {
		return nil, err.Error()
	}
	s := &spaces[0]
	for _, name := range names {
		for _, sentence := range factsTable[name](p, s) {
			if sentence != "" {
				sentences = append(sentences, sentence)
			}
		}
	}
	for _, u := range s.unread {
		unread = u.What + ": " + u.Why
	}
	return sentences, unread
}
