package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// ui is the talk: stdout is the result and belongs to the commands; everything
// here goes to stderr, as "vmconv: web01: warning: … [id]".
type ui struct {
	env      environment
	log      *logrus.Logger
	quiet    bool
	verbose  bool
	json     bool // set by commands that have --json: failures are objects then
	logFile  string
	mode     string // of the progress display
	progress *progress
}

func newUI(env environment) *ui {
	u := &ui{env: env, log: logrus.New(), mode: "auto"}
	u.log.SetOutput(env.stderr)
	u.log.SetFormatter(talk{})
	u.log.SetLevel(logrus.InfoLevel)
	return u
}

func (u *ui) flags(f *pflag.FlagSet) {
	f.BoolVarP(&u.quiet, "quiet", "q", false, "only errors on stderr")
	f.BoolVarP(&u.verbose, "verbose", "v", false, "say what is done and why")
	f.StringVar(&u.logFile, "log-file", "", "append the talk to `FILE` too, with times")
	f.StringVar(&u.mode, "progress", "auto", "progress on stderr: auto, plain, json or never")
}

// setup runs when the flags are known.
func (u *ui) setup() error {
	switch {
	case u.quiet && u.verbose:
		return usagef("--quiet and --verbose do not go together")
	case u.quiet:
		u.log.SetLevel(logrus.ErrorLevel)
	case u.verbose:
		u.log.SetLevel(logrus.DebugLevel)
	}
	switch u.mode {
	case "auto", "plain", "json", "never":
	default:
		return usagef("--progress takes auto, plain, json or never, not %q", u.mode)
	}
	u.progress = newProgress(u)
	if u.logFile == "" {
		return nil
	}
	f, err := os.OpenFile(u.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("--log-file: %w", err)
	}
	u.log.AddHook(&fileHook{out: f, format: &logrus.TextFormatter{DisableColors: true, FullTimestamp: true}})
	return nil
}

// talk prints a log entry the way the virt-tools do.
type talk struct{}

func (talk) Format(e *logrus.Entry) ([]byte, error) {
	var b strings.Builder
	b.WriteString("vmconv: ")
	if about, ok := e.Data["about"]; ok && about != "" {
		fmt.Fprintf(&b, "%v: ", about)
	}
	if e.Level <= logrus.WarnLevel {
		fmt.Fprintf(&b, "%s: ", e.Level)
	}
	b.WriteString(printable(e.Message))
	if id, ok := e.Data["id"]; ok {
		fmt.Fprintf(&b, " [%v]", id)
	}
	b.WriteByte('\n')
	return []byte(b.String()), nil
}

// fileHook copies the talk to a file.
type fileHook struct {
	out    io.Writer
	format logrus.Formatter
}

func (*fileHook) Levels() []logrus.Level { return logrus.AllLevels }

func (h *fileHook) Fire(e *logrus.Entry) error {
	line, err := h.format.Format(e)
	if err == nil {
		_, err = h.out.Write(line)
	}
	return err
}

// warn says something about a machine or an image, with an id that scripts may
// look for.
func (u *ui) warn(about, id, text string) {
	u.progress.clear()
	u.log.WithFields(logrus.Fields{"about": about, "id": id}).Warn(text)
}

func (u *ui) info(about, format string, args ...any) {
	u.progress.clear()
	u.log.WithField("about", about).Infof(format, args...)
}

// debug is what --verbose adds.
func (u *ui) debug(about, format string, args ...any) {
	u.progress.clear()
	u.log.WithField("about", about).Debugf(format, args...)
}

// failureObject is what --json prints on stderr instead of a line.
type failureObject struct {
	Schema  string `json:"schema"`
	Command string `json:"command"`
	Error   string `json:"error"`
	Exit    int    `json:"exit"`
	Hint    string `json:"hint,omitempty"`
}

// failure prints the one last word about an error.
func (u *ui) failure(command string, err error) {
	if errors.Is(err, errNo) {
		return
	}
	if u.json {
		out, _ := json.Marshal(failureObject{"vmconv.error/1", command, err.Error(), exitCode(err), hint(err)})
		fmt.Fprintln(u.env.stderr, string(out))
		return
	}
	text := err.Error()
	if h := hint(err); h != "" {
		text += "\n" + "vmconv: hint: " + h
	}
	u.log.Log(logrus.ErrorLevel, text)
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// printable replaces what could move a terminal's cursor; guests choose names.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r >= ' ' && r != 0x7f && !(r >= 0x80 && r < 0xa0) {
			return r
		}
		return '?'
	}, s)
}

// printJSON writes a result as one indented object.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
