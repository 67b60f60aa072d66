// Command bench measures what portwatch costs, side by side with other tools
// on the same load, and writes the figures as Markdown. scripts/bench/run
// prepares what it needs and starts it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"time"
)

func main() {
	// Children are told to die with the thread that started them
	// (PR_SET_PDEATHSIG): the main one lives as long as the process.
	runtime.LockOSThread()
	args, run := os.Args[1:], runBench
	if len(args) > 0 && args[0] == "load" {
		args, run = args[1:], runLoad
	}
	err := run(args)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// settings are what the person who measures may choose.
type settings struct {
	rounds  int
	length  time.Duration // of one load
	soak    time.Duration // of one load of the loss phase
	only    *regexp.Regexp
	binary  string
	out     string
	command string // how the figures came about
}

// costRounds is how often the cost phase repeats: counted nanoseconds spread
// less than rates, and each churn there waits a minute for its TIME_WAITs.
func (s *settings) costRounds() int { return max(1, s.rounds/5) }

func (s *settings) wants(phase, load, tool string) bool {
	return s.only.MatchString(phase + "/" + load + "/" + tool)
}

func runBench(args []string) error {
	s := &settings{command: strings.Join(append([]string{"scripts/bench/run"}, args...), " ")}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.IntVar(&s.rounds, "rounds", 15, "interleaved `rounds` of throughput and rate; a fifth of them of cost")
	seconds := fs.Int("seconds", 3, "`seconds` of one load")
	soak := fs.Int("soak", 60, "`seconds` of one load of the loss phase")
	only := fs.String("only", "", "measure only what matches `regexp` in phase/load/tool, as cost/churn/portwatch")
	fs.StringVar(&s.binary, "portwatch", "bin/portwatch", "the `binary` under test")
	fs.StringVar(&s.out, "o", "docs/performance.md", "`file` for the figures")
	if err := fs.Parse(args); err != nil {
		return err
	}
	switch {
	case s.rounds < 1 || s.rounds > 100:
		return fmt.Errorf("-rounds %d: must be 1 to 100", s.rounds)
	case *seconds < 1 || *seconds > 120 || *soak < 1 || *soak > 600:
		return errors.New("-seconds must be 1 to 120 and -soak 1 to 600")
	}
	s.length, s.soak = time.Duration(*seconds)*time.Second, time.Duration(*soak)*time.Second
	var err error
	if s.only, err = regexp.Compile(*only); err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	return measure(s)
}

func measure(s *settings) error {
	if err := mountTracefs(); err != nil {
		return err
	}
	r := &results{}
	for _, run := range []func(*settings, *results) error{throughput, fixedRate, cost, loss} {
		if err := run(s, r); err != nil {
			return err
		}
	}
	page, err := render(s, r)
	if err != nil {
		return err
	}
	return os.WriteFile(s.out, page, 0o644)
}
