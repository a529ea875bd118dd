package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/wrapper"
)

// classicLogs are the files that together hold every message once: Debian's and
// Red Hat's way to divide them.
var classicLogs = [][]string{
	{"/var/log/syslog", "/var/log/auth.log"},
	{"/var/log/messages", "/var/log/secure", "/var/log/auth.log", "/var/log/maillog", "/var/log/cron"},
}

// maxLogLine is the length at which a line is broken.
const maxLogLine = 64 << 10

// printClassic prints the logs of syslog daemons.
func (a *app) printClassic(ctx context.Context, f *logFlags, tree *guest.Tree, q logQuery, out io.Writer) error {
	var families []*classicLog
	for _, set := range classicLogs {
		if !guest.IsFile(tree, set[0]) {
			continue
		}
		for _, base := range set {
			files, err := rotated(tree, base)
			if err != nil {
				return err
			}
			families = append(families, &classicLog{tree: tree, files: files})
		}
		break
	}
	switch {
	case len(families) == 0:
		return ondisk.Because(fs.ErrNotExist, "the guest keeps no log on its disks: no %s, no /var/log/syslog, no /var/log/messages", journalFolder)
	case f.listBoots || f.boot != "" || f.priority != "":
		return ondisk.Because(ondisk.ErrUnsupported, "the guest has no journal, and its classic logs know no boots and no priorities")
	}
	return mergeClassic(ctx, families, func(l classicLine) bool {
		return q.inTime(l.time) && (len(q.units) == 0 || q.isUnit(l.program+".service"))
	}, f, out)
}

// mergeClassic prints the lines of all logs that are wanted in the order of time.
func mergeClassic(ctx context.Context, logs []*classicLog, wanted func(classicLine) bool, f *logFlags, out io.Writer) error {
	defer func() {
		for _, l := range logs {
			l.close()
		}
	}()
	for _, l := range logs {
		if err := l.next(); err != nil {
			return err
		}
	}
	var last []classicLine // with -n
	for {
		var first *classicLog
		for _, l := range logs {
			if l.valid && (first == nil || l.line.time.Before(first.line.time)) {
				first = l
			}
		}
		if err := ctx.Err(); err != nil || first == nil {
			return cmp.Or(err, printLines(last, f.output, out))
		}
		switch {
		case !wanted(first.line):
		case f.lines < 0:
			if err := printLines([]classicLine{first.line}, f.output, out); err != nil {
				return err
			}
		case f.lines > 0:
			if len(last) == f.lines {
				last = append(last[:0], last[1:]...)
			}
			last = append(last, first.line)
		}
		if err := first.next(); err != nil {
			return err
		}
	}
}

// rotated lists the files of a log, the oldest first: syslog.2.gz, syslog.1,
// syslog, or messages-20261101, messages.
func rotated(tree *guest.Tree, base string) ([]string, error) {
	dir, name := path.Split(base)
	list, err := listFolder(tree, dir)
	if err != nil {
		return nil, err
	}
	type file struct {
		path string
		age  int
	}
	var files []file
	for _, d := range list {
		rest, ok := strings.CutPrefix(d.Name, name)
		if !ok || !guest.IsFile(tree, path.Join(dir, d.Name)) {
			continue
		}
		digits := wrapper.Trim(rest)
		age := 0
		if digits != "" {
			if age, err = strconv.Atoi(digits[1:]); err != nil || age < 0 || digits[0] != '.' && digits[0] != '-' {
				continue
			}
			if digits[0] == '-' {
				age = -age // a date: the larger, the younger
			}
		}
		files = append(files, file{path.Join(dir, d.Name), age})
	}
	slices.SortStableFunc(files, func(a, b file) int {
		if (a.age == 0) != (b.age == 0) { // what is written now is the youngest
			return cmp.Compare(b.age*b.age, a.age*a.age)
		}
		return cmp.Compare(b.age, a.age)
	})
	out := make([]string, len(files))
	for i, f := range files {
		out[i] = f.path
	}
	return out, nil
}

// classicLog reads the files of one log, one after the other.
type classicLog struct {
	tree   *guest.Tree
	files  []string // that are still to come
	closer io.Closer
	lines  *bufio.Reader
	mtime  time.Time // of the open file
	line   classicLine
	valid  bool
}

// next goes to the next line.
func (l *classicLog) next() error {
	l.valid = false
	for {
		if l.lines == nil {
			if len(l.files) == 0 {
				return nil
			}
			if err := l.open(l.files[0]); err != nil {
				return fmt.Errorf("%s: %w", l.files[0], err)
			}
			l.files = l.files[1:]
		}
		raw, err := l.lines.ReadSlice('\n')
		if len(raw) > 0 && (err == nil || err == io.EOF || errors.Is(err, bufio.ErrBufferFull)) {
			l.line = parseClassic(strings.TrimSuffix(string(raw), "\n"), l.mtime, l.line.time)
			l.valid = true
			return nil
		}
		if err != io.EOF {
			return err
		}
		l.close()
	}
}

func (l *classicLog) close() {
	if l.closer != nil {
		l.closer.Close()
	}
	l.lines, l.closer = nil, nil
}

func (l *classicLog) open(name string) error {
	attr, err := l.tree.Stat(name)
	if err != nil {
		return err
	}
	dev, err := l.tree.Open(name)
	if err != nil {
		return err
	}
	l.mtime = attr.Mtime.UTC()
	head := make([]byte, min(wrapper.HeadSize, dev.Size()))
	if err := ondisk.Full(dev, head, 0); err != nil {
		return err
	}
	plain := io.Reader(blockdev.NewReader(dev))
	if w := wrapper.Detect(head); w != nil {
		unpacked, err := w.Reader(bufio.NewReader(plain))
		if err != nil {
			return err
		}
		plain, l.closer = unpacked, unpacked
	}
	l.lines = bufio.NewReaderSize(plain, maxLogLine)
	return nil
}

// classicLine is a line of a log file, as RFC 3164 has it, or with a time as RFC
// 5424 has it.
type classicLine struct {
	text    string
	time    time.Time // that of the line before when it says none
	host    string
	program string
	pid     string
	message string
}

func parseClassic(text string, mtime, before time.Time) classicLine {
	l := classicLine{text: text, time: before, message: text}
	t, rest, ok := classicTime(text, mtime)
	if !ok {
		return l
	}
	l.time = t
	l.host, rest, _ = strings.Cut(rest, " ")
	tag, message, ok := strings.Cut(rest, ": ")
	if !ok {
		tag, message = strings.TrimSuffix(rest, ":"), ""
	}
	if strings.Contains(tag, " ") {
		tag, message = "", rest
	}
	l.program, l.message = tag, message
	if name, pid, ok := strings.Cut(strings.TrimSuffix(tag, "]"), "["); ok {
		l.program, l.pid = name, pid
	}
	return l
}

// classicTime reads the time that a line begins with.
func classicTime(text string, mtime time.Time) (t time.Time, rest string, ok bool) {
	if first, after, ok := strings.Cut(text, " "); ok {
		if t, err := time.Parse(time.RFC3339, first); err == nil {
			return t.UTC(), after, true
		}
	}
	const form = "Jan _2 15:04:05"
	if len(text) <= len(form) || text[len(form)] != ' ' {
		return t, "", false
	}
	t, err := time.Parse("2006 "+form, fmt.Sprintf("%04d %s", mtime.Year(), text[:len(form)]))
	if err == nil && t.After(mtime.AddDate(0, 0, 1)) { // the year has changed since
		t = t.AddDate(-1, 0, 0)
	}
	return t, text[len(form)+1:], err == nil
}

func printLines(lines []classicLine, format string, out io.Writer) error {
	for _, l := range lines {
		text := l.text
		switch format {
		case "cat":
			text = l.message
		case "short-iso":
			if _, rest, ok := classicTime(l.text, l.time); ok {
				text = l.time.Format(isoTime) + " " + rest
			}
		case "json":
			text = l.json()
		}
		if _, err := io.WriteString(out, text+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// json has the names that the journal has for the same.
func (l classicLine) json() string {
	out, _ := json.Marshal(struct {
		Time    string `json:"__REALTIME_TIMESTAMP,omitempty"`
		Host    string `json:"_HOSTNAME,omitempty"`
		Program string `json:"SYSLOG_IDENTIFIER,omitempty"`
		PID     string `json:"SYSLOG_PID,omitempty"`
		Message any    `json:"MESSAGE"`
	}{l.microseconds(), l.host, l.program, l.pid, jsonValue([]byte(l.message))})
	return string(out)
}

func (l classicLine) microseconds() string {
	if l.time.IsZero() {
		return ""
	}
	return strconv.FormatInt(l.time.UnixMicro(), 10)
}
