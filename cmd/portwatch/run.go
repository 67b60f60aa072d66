package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/portwatch/portwatch/internal/aggregate"
	"github.com/portwatch/portwatch/internal/launch"
	"github.com/portwatch/portwatch/internal/output/fields"
	"github.com/portwatch/portwatch/internal/output/text"
)

const runLong = `Runs CMD, and says when it has ended who took, kept and was refused local ports
meanwhile: CMD with everything that it started, and whoever else held them.

CMD and what it starts, daemons too, are told from others by a control group
(cgroup2) of their own. Where there can be none they are told by their forks, at
the cost of a record for each new process of the host. If such records are lost,
the answer says that a part of CMD's own may be counted as others.

CMD runs as the user who called sudo, on this terminal, as if portwatch were not
there. Signals to portwatch are passed on; in the foreground of a terminal SIGINT
and SIGQUIT are taken to be typed, which has told CMD already.

portwatch ends with the exit code of CMD, or with 128 and the number of the signal
that ended it; with 125 if portwatch itself failed, 126 if CMD cannot be executed,
127 if it is not found.

With -w what was watched is in a file afterwards: portwatch blame -r FILE.

The answer goes to stderr, or to the file of --report. Without the rights to watch
CMD runs all the same, and the answer says what could not be known.`

const runExample = `  sudo portwatch run -- go test ./...
  sudo portwatch run --fail-if 'failures>0' -- ./integration-tests
  sudo portwatch run --report ports.md -o md -- make check`

// exitWrapper is portwatch's own failure, where other codes may be CMD's.
const exitWrapper = 125

// errWrapper marks what ended portwatch before CMD could decide the exit code.
var errWrapper = errors.New("the command was not watched")

// runFlags are the flags of run.
type runFlags struct {
	watch   *watchFlags
	output  choice
	report  string
	failIf  []string
	require bool
	asRoot  bool
	file    string
}

func newRunCommand(a *app) *cobra.Command {
	flags := &runFlags{watch: newWatchFlags(), output: newChoice("table", "wide", "json", "md")}
	cmd := &cobra.Command{
		Use: "run [flags] -- CMD [ARG...]", Short: "run a command, and say what it did with local ports",
		Long: runLong, Example: runExample, GroupID: groupLook, Args: cobra.ArbitraryArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, argv []string) error {
		if err := runRun(cmd, a, flags, argv); err != nil {
			return wrapperError(err)
		}
		return nil
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return wrapperError(usagef(cmd, "%s", err.Error())) })
	fs := cmd.Flags()
	fs.SetInterspersed(false) // what follows CMD is CMD's
	fs.VarP(&flags.output, "output", "o", "how to print the answer")
	fs.StringVar(&flags.report, "report", "", "write the answer to this new file")
	fs.StringVarP(&flags.file, "write", "w", "", "record what was watched to this new file")
	fs.StringArrayVar(&flags.failIf, "fail-if", nil, "exit with 1 if CMD succeeds and this holds, such as 'failures>0'")
	fs.BoolVar(&flags.require, "require", false, "do not run CMD unless it can be watched")
	fs.BoolVar(&flags.asRoot, "as-root", false, "run CMD as root, although sudo was called by somebody else")
	flags.watch.register(fs)
	return cmd
}

// wrapperError gives an error of portwatch's own the exit code 125. CMD's end
// and a CMD that does not start have codes of their own.
func wrapperError(err error) error {
	if _, ok := errors.AsType[exitStatus](err); ok {
		return err
	}
	if _, ok := errors.AsType[*launch.StartError](err); ok {
		return err
	}
	return classifiedError{err, errWrapper}
}

func runRun(cmd *cobra.Command, a *app, flags *runFlags, argv []string) error {
	if len(argv) == 0 {
		return usagef(cmd, "no command to run: portwatch run -- CMD")
	}
	conditions, err := parseConditions(cmd, flags.failIf)
	if err != nil {
		return err
	}
	o, err := flags.watch.options(cmd, a)
	if err != nil {
		return err
	}
	o.FallBack = !flags.require && len(conditions) == 0
	v := &runView{app: a, argv: argv, ended: make(chan struct{})}
	if !flags.asRoot {
		if v.as, err = launch.Invoker(a.env); err != nil {
			return err
		}
	}
	if err := launch.Find(argv[0]); err != nil {
		return err
	}
	report, err := openReport(a, flags.report, v.as)
	if err != nil {
		return usagef(cmd, "--report %s: %s", flags.report, err)
	}
	if err := v.record(flags.file); err != nil {
		return errors.Join(err, report.Close())
	}
	err = v.watch(cmd.Context(), o)
	if v.process == nil {
		return errors.Join(err, report.Close())
	}
	if err := errors.Join(v.print(report, flags.output.word, err), report.Close()); err != nil {
		return err
	}
	return v.verdict(conditions)
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// openReport makes the file of the answer, which belongs to who runs CMD, and is
// stderr without a name. A file that is there is left alone.
func openReport(a *app, name string, as *launch.User) (io.WriteCloser, error) {
	if name == "" {
		return nopCloser{a.stderr}, nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create report: %w", err)
	}
	if as != nil {
		if err := f.Chown(int(as.UID), int(as.GID)); err != nil {
			return nil, errors.Join(fmt.Errorf("create report: %w", err), f.Close())
		}
	}
	return f, nil
}

// print writes the answer. unwatched is why the kernel was not watched, or not to
// the end.
func (v *runView) print(to io.Writer, output string, unwatched error) error {
	r := v.report(unwatched)
	c := &fields.Context{Location: time.Local, Meta: &aggregate.Meta{}}
	if r.Blame != nil {
		c.Meta = &r.Blame.Meta
	}
	if r.Untold == "" {
		c.Own = v.apart.own
	}
	var buf []byte
	switch output {
	case "json":
		buf = append(fields.Run.AppendJSON(nil, c, &r), '\n')
	case "md":
		buf = text.AppendRunMarkdown(nil, c, &r)
	default:
		buf = text.AppendRun([]byte{'\n'}, c, &r, text.BlameOptions{Width: v.app.width(), Wide: output == "wide"})
	}
	if _, err := to.Write(buf); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// verdict is the exit code: CMD's, or 1 if CMD succeeded and a condition holds.
func (v *runView) verdict(conditions []condition) error {
	if v.code != 0 {
		return exitStatus(v.code)
	}
	holds, err := v.outcome.judge(conditions)
	if err != nil {
		return err
	}
	if holds != "" {
		fmt.Fprintf(v.app.stderr, "portwatch run: --fail-if %s: it holds\n", holds)
		return exitStatus(exitFailure)
	}
	return nil
}
