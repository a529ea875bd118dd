package grubcfg

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/cmdline"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

var update = flag.Bool("update", false, "write the golden files")

// golden edits every testdata/DIR/*.in and compares with its .golden.
func golden(t *testing.T, dir string, edit func(t *testing.T, in []byte) []byte) {
	files, _ := filepath.Glob(filepath.Join("testdata", dir, "*.in"))
	if len(files) == 0 {
		t.Fatal("no golden files")
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			in, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := edit(t, in)
			out := strings.TrimSuffix(file, ".in") + ".golden"
			if *update {
				if err := os.WriteFile(out, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func parse(t testing.TB, src []byte) *Config {
	t.Helper()
	c, err := Parse(src, ondisk.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// toKVM is the kind of edit that a conversion makes.
func toKVM(_ *Entry, l *cmdline.Line) {
	if _, ok := l.Last("root"); ok {
		l.Set("root", "UUID=1-2")
	}
	l.Remove("xencons")
	l.Edit(func(w cmdline.Word) []string {
		if w.Raw == "console=hvc0" {
			return []string{"console=tty0", "console=ttyS0,115200"}
		}
		return []string{w.Raw}
	})
}

// check has GRUB's own parser look at a script.
func check(t testing.TB, script []byte) {
	t.Helper()
	testtool.Need(t, "grub-script-check")
	file := filepath.Join(t.TempDir(), "grub.cfg")
	if err := os.WriteFile(file, script, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("grub-script-check", file).CombinedOutput(); err != nil {
		t.Errorf("grub-script-check: %v %s\n%s", err, out, script)
	}
}

func TestScripts(t *testing.T) {
	golden(t, "script", func(t *testing.T, in []byte) []byte {
		c := parse(t, in)
		same := c.RewriteKernel(func(_ *Entry, l *cmdline.Line) {})
		if !bytes.Equal(same, in) {
			t.Errorf("an edit that does nothing changed\n%s", same)
		}
		out := c.RewriteKernel(toKVM)
		check(t, out)
		if again := parse(t, out).RewriteKernel(toKVM); !bytes.Equal(again, out) {
			t.Errorf("done twice it differs:\n%s", again)
		}
		return out
	})
}

func TestDefaultsFiles(t *testing.T) {
	golden(t, "defaults", func(t *testing.T, in []byte) []byte {
		d := defaults(t, in)
		if !bytes.Equal(d.Bytes(), in) {
			t.Error("changed by reading")
		}
		line := func(v Value) Value {
			l := cmdline.Parse(v.Text)
			toKVM(nil, l)
			v.Text = l.String()
			return v
		}
		must := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		must(d.Rewrite("GRUB_CMDLINE_LINUX", line))
		must(d.Rewrite("GRUB_CMDLINE_LINUX_DEFAULT", line))
		must(d.Set("GRUB_DEFAULT", Value{Text: "1>2"}))
		must(d.Set("GRUB_LAST", Value{Text: "word"}))
		must(d.Set("GRUB_NEW", Value{Text: "a $b `c` \"d\" \\e"}))
		_, err := d.CommentOut("GRUB_DISABLE_LINUX_UUID")
		must(err)
		_, err = d.CommentOut("GRUB_CMDLINE_LINUX_DEFAULT")
		must(err)
		return d.Bytes()
	})
}
