package fields

// VersionReport says which build this is.
type VersionReport struct {
	Version  string
	Revision string // of the repository; "" if not known
	Modified bool   // the work tree differed from Revision
	Go       string
	Platform string
}

// Version is the document portwatch.version/1.
var Version = newDocument("portwatch.version/1", "Which build this is.", Object[VersionReport]{
	one("version", "", "The release, or devel.", String,
		func(_ *Context, v *VersionReport) Value { return Text(v.Version) }),
	one("revision", "", "The commit that was built.", String,
		func(_ *Context, v *VersionReport) Value { return Text(v.Revision) }),
	one("modified", "", "Whether the work tree differed from the commit; null if the commit is not known.", Boolean,
		func(_ *Context, v *VersionReport) Value {
			if v.Revision == "" {
				return Value{}
			}
			return Bool(v.Modified)
		}),
	one("go", "", "The Go release that built it.", String,
		func(_ *Context, v *VersionReport) Value { return Text(v.Go) }),
	one("platform", "", "Operating system and architecture.", String,
		func(_ *Context, v *VersionReport) Value { return Text(v.Platform) }),
})

// ErrorReport says why a command ended.
type ErrorReport struct {
	Error    string
	Hint     string // the next command to try
	ExitCode int
}

// Error is the document portwatch.error/1, printed to stderr.
var Error = newDocument("portwatch.error/1", "Why the command ended.", Object[ErrorReport]{
	one("error", "", "What went wrong: verb object: cause.", String,
		func(_ *Context, e *ErrorReport) Value { return Text(e.Error) }),
	one("hint", "", "The next command to try.", String,
		func(_ *Context, e *ErrorReport) Value { return Text(e.Hint) }),
	one("exit_code", "", "The command's exit code.", Integer,
		func(_ *Context, e *ErrorReport) Value { return Plain(uint64(e.ExitCode)) }),
})
