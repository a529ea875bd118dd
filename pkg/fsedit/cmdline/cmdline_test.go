package cmdline

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestSplitAgreesWithKernel compares with splits that follow next_arg by hand.
func TestSplitAgreesWithKernel(t *testing.T) {
	for line, want := range map[string][]Word{
		"":                         nil,
		" \t ":                     nil,
		"ro":                       {{"ro", "ro", "", false}},
		`a="b c" d`:                {{`a="b c"`, "a", "b c", true}, {"d", "d", "", false}},
		`"a=b c" d`:                {{`"a=b c"`, "a", "b c", true}, {"d", "d", "", false}},
		`a=b="c d"`:                {{`a=b="c d"`, "a", `b="c d"`, true}},
		`x="unclosed y`:            {{`x="unclosed y`, "x", "unclosed y", true}},
		`a= b`:                     {{"a=", "a", "", true}, {"b", "b", "", false}},
		"root=UUID=1 -- root=init": {{"root=UUID=1", "root", "UUID=1", true}},
	} {
		if got := Parse(line).Words(); !slices.Equal(got, want) {
			t.Errorf("%q: %+v", line, got)
		}
	}
	own, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	if got := Parse(string(own)).String(); got != string(own) {
		t.Errorf("%q", got)
	}
}

func TestEdits(t *testing.T) {
	const line = "  root=/dev/xvda1  ro console=tty0 console=hvc0\tquiet -- console=x "
	for name, tc := range map[string]struct {
		edit func(*Line)
		want string
	}{
		"set":           {func(l *Line) { l.Set("root", "UUID=1") }, "  root=UUID=1  ro console=tty0 console=hvc0\tquiet -- console=x "},
		"set the last":  {func(l *Line) { l.Set("console", "ttyS0") }, "  root=/dev/xvda1  ro console=tty0 console=ttyS0\tquiet -- console=x "},
		"set the same":  {func(l *Line) { l.Set("root", "/dev/xvda1") }, line},
		"set a new one": {func(l *Line) { l.Set("a", "b c") }, "  root=/dev/xvda1  ro console=tty0 console=hvc0\tquiet a=\"b c\" -- console=x "},
		"remove":        {func(l *Line) { l.Remove("console") }, "  root=/dev/xvda1  ro\tquiet -- console=x "},
		"remove first":  {func(l *Line) { l.Remove("root") }, "  ro console=tty0 console=hvc0\tquiet -- console=x "},
		"remove none":   {func(l *Line) { l.Remove("nothing") }, line},
		"split": {func(l *Line) {
			l.Edit(func(w Word) []string {
				if w.Raw == "ro" {
					return []string{"rw", "rootwait"}
				}
				return []string{w.Raw}
			})
		}, "  root=/dev/xvda1  rw rootwait console=tty0 console=hvc0\tquiet -- console=x "},
	} {
		l := Parse(line)
		tc.edit(l)
		if got := l.String(); got != tc.want {
			t.Errorf("%s:\n%q\n%q", name, got, tc.want)
		}
	}
	l := Parse("")
	l.Append("ro")
	l.Append("quiet")
	l.Set("rd-x", "1")
	if got := l.String(); got != "ro quiet rd-x=1" {
		t.Errorf("%q", got)
	}
	if v, ok := l.Last("rd_x"); !ok || v != "1" {
		t.Error(v, ok)
	}
	if v := Parse(line).Values("console"); !slices.Equal(v, []string{"tty0", "hvc0"}) {
		t.Error(v)
	}
	only := Parse("-- init")
	only.Append("ro")
	if got := only.String(); got != "ro -- init" {
		t.Errorf("%q", got)
	}
}

func FuzzLine(f *testing.F) {
	f.Add(`root=/dev/sda1 ro a="b c" -- x`, "root", "UUID=1")
	f.Fuzz(func(t *testing.T, line, key, value string) {
		if got := Parse(line).String(); got != line {
			t.Fatalf("%q became %q", line, got)
		}
		if key == "" || strings.ContainsAny(key+value, "\"= \t\n\v\f\r") || key == "--" {
			return
		}
		l := Parse(line)
		l.Set(key, value)
		if strings.Count(line, `"`)%2 == 1 {
			return // an open quote swallows what is appended
		}
		if got, ok := Parse(l.String()).Last(key); !ok || got != value {
			t.Fatalf("%q: set %s to %q, found %q in %q", line, key, value, got, l)
		}
	})
}
