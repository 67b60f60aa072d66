package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/portwatch/portwatch/internal/output/fields"
)

// version is set by the Makefile's linker flags; "" for a plain go build.
var version string

func newVersionCommand(a *app) *cobra.Command {
	output := newChoice("table", "json")
	cmd := &cobra.Command{
		Use: "version", Short: "which build this is", GroupID: groupCheck, Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			info, _ := debug.ReadBuildInfo()
			return printVersion(a, buildVersion(info), output.word)
		},
	}
	cmd.Flags().VarP(&output, "output", "o", "how to print")
	return cmd
}

// buildVersion is what the Go toolchain wrote into the binary; info is nil if
// it wrote nothing.
func buildVersion(info *debug.BuildInfo) fields.VersionReport {
	v := fields.VersionReport{Version: "devel", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info == nil {
		return v
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		v.Version = info.Main.Version
	}
	if version != "" {
		v.Version = version
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			v.Revision = setting.Value
		case "vcs.modified":
			v.Modified = setting.Value == "true"
		}
	}
	return v
}

func printVersion(a *app, v fields.VersionReport, output string) error {
	line := fmt.Appendf(nil, "portwatch %s %s %s\n", v.Version, v.Go, v.Platform)
	if v.Revision != "" {
		modified := ""
		if v.Modified {
			modified = ", modified"
		}
		line = fmt.Appendf(nil, "portwatch %s (%s%s) %s %s\n", v.Version, v.Revision, modified, v.Go, v.Platform)
	}
	if output == "json" {
		line = append(fields.Version.AppendJSON(nil, nil, &v), '\n')
	}
	if _, err := a.stdout.Write(line); err != nil {
		return fmt.Errorf("write version: %w", err)
	}
	return nil
}
