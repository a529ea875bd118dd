package grubcfg

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/cmdline"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

const uuid = "6e1ad2f3-9f43-4b2a-8a94-0f3a2b7f6e55"

// probe answers for grub-probe, so that GRUB's generator describes a disk that
// is not here.
const probe = `#!/bin/sh
for a; do case $a in
fs|--target=fs) echo ext2; exit;;
fs_uuid|--target=fs_uuid) echo ` + uuid + `; exit;;
partmap|--target=partmap) echo msdos; exit;;
compatibility_hint|--target=compatibility_hint) echo hd0,msdos1; exit;;
hints_string|--target=hints_string) echo --hint-bios=hd0,msdos1; exit;;
device|--target=device) echo /dev/xvda1; exit;;
esac; done
`

// generated is the menu that Debian's grub-mkconfig makes for this machine's
// kernels on a Xen disk.
func generated(t testing.TB) []byte {
	t.Helper()
	testtool.Need(t, "grub-mkconfig")
	if images, _ := filepath.Glob("/boot/vmlinuz-*"); len(images) == 0 {
		t.Fatal("this test needs the Debian package linux-image-amd64")
	}
	file := filepath.Join(t.TempDir(), "probe")
	if err := os.WriteFile(file, []byte(probe), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "/etc/grub.d/10_linux")
	cmd.Env = append(os.Environ(), "grub_probe="+file, "pkgdatadir=/usr/share/grub", "GRUB_DEVICE=/dev/xvda1",
		"GRUB_DEVICE_UUID="+uuid, "GRUB_FS=ext2", "GRUB_DISTRIBUTOR=Debian", "GRUB_DISABLE_LINUX_UUID=true",
		"GRUB_CMDLINE_LINUX=console=hvc0", "GRUB_CMDLINE_LINUX_DEFAULT=quiet")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestGeneratedMenu(t *testing.T) {
	src := generated(t)
	c := parse(t, src)
	menu := c.Menu()
	if len(menu) < 2 || menu[0].Title != "Debian GNU/Linux" || menu[0].ID != "gnulinux-simple-"+uuid || !menu[1].Submenu || len(menu[1].Entries) < 2 {
		t.Fatalf("%+v", menu)
	}
	for e := range c.Entries() {
		if e.Submenu {
			continue
		}
		linux := e.Linux()
		path := linux.Args()[0].Text
		if !strings.HasPrefix(path, "/boot/vmlinuz-") || len(e.Initrds()) != 1 || !strings.HasPrefix(e.Initrds()[0], "/boot/initrd.img-") {
			t.Errorf("%s: %s %s", e.Title, path, e.Initrds())
		}
		if text := string(src[e.Start:e.End]); !strings.HasPrefix(text, "menuentry ") || !strings.HasSuffix(text, "}") {
			t.Errorf("%s lies at %q", e.Title, text)
		}
	}
	searches := 0
	for range c.Commands("search") {
		searches++
	}
	if want := bytes.Count(src, []byte("search --no-floppy")); searches != want || want == 0 {
		t.Errorf("%d search lines, want %d", searches, want)
	}
	if roots := c.Assignments("root"); len(roots) == 0 || roots[0].Value != "hd0,msdos1" || roots[0].Command.Entry != menu[0] {
		t.Errorf("%+v", roots)
	}
	out := c.RewriteKernel(toKVM)
	check(t, out)
	want := strings.NewReplacer("root=/dev/xvda1", "root=UUID=1-2", "console=hvc0", "console=tty0 console=ttyS0,115200").Replace(string(src))
	if string(out) != want {
		t.Errorf("more than the arguments changed:\n%s", out)
	}
}

func TestMenuOfGolden(t *testing.T) {
	src, err := os.ReadFile("testdata/script/quotes.in")
	if err != nil {
		t.Fatal(err)
	}
	check(t, src)
	c := parse(t, src)
	var got []string
	for e := range c.Entries() {
		line := strings.Join(e.Path(), " / ") + " [" + e.ID + "]"
		if l := e.Linux(); l != nil {
			line += " " + l.Args()[0].Text + ": " + KernelLine(l.Args()[1:])
		}
		got = append(got, line+" "+strings.Join(e.Initrds(), ","))
	}
	want := []string{
		`It's "quoted" [first] /vmlinuz-1: root=/dev/xvda1 ro console=hvc0 /ucode.img,/initrd-1`,
		`With "escapes" and $vars [second] /a: root=/dev/xvda1 /i`,
		`More > less [] `,
		`More > less / nested [] /x: root=/dev/xvda1 xencons=tty `,
		`More > less / third [] /none:  `,
		`3 [] `,
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
	env := NewEnv()
	for _, step := range []struct{ saved, next, want string }{
		{"", "", `It's "quoted"`}, {"second", "", `With "escapes" and $vars`}, {"1", "3", "3"}, {"gone", "", `It's "quoted"`},
		{"2>1", "", "third"}, {"More >> less>nested", "", "nested"}, {"More >> less", "", "nested"}, {"99", "", `It's "quoted"`},
	} {
		env.Set("saved_entry", step.saved)
		env.Set("next_entry", step.next)
		if e := c.Default(env); e == nil || e.Title != step.want {
			t.Errorf("%+v: %+v", step, e)
		}
	}
	if e := c.Default(nil); e != c.Menu()[0] {
		t.Error("without an environment:", e.Title)
	}
}

func TestRewriteArgs(t *testing.T) {
	c := parse(t, []byte("linux /v a  b\tc\nlinux /w\n"))
	for want, f := range map[string]func([]Word) []Word{
		"linux /v a  B\tc\nlinux /w\n":             func(w []Word) []Word { return swap(w, "b", "B") },
		"linux /v a\tc\nlinux /w\n":                func(w []Word) []Word { return swap(w, "b") },
		"linux /v a  'b $c'\tc\nlinux /w\n":        func(w []Word) []Word { return swap(w, "b", "b $c") },
		"linux /v a  b\tc end\nlinux /w end\n":     func(w []Word) []Word { return append(w, NewWord("end")) },
		"linux /v first a  b\tc\nlinux /w first\n": func(w []Word) []Word { return append([]Word{NewWord("first")}, w...) },
		"linux /v\nlinux /w\n":                     func([]Word) []Word { return nil },
	} {
		got := string(c.RewriteArgs(func(_ *Entry, w []Word) []Word { return f(w) }))
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		check(t, []byte(got))
	}
}

// swap replaces one word by others.
func swap(words []Word, old string, with ...string) (out []Word) {
	for _, w := range words {
		if w.Text != old {
			out = append(out, w)
			continue
		}
		for _, text := range with {
			out = append(out, NewWord(text))
		}
	}
	return out
}

func TestDamagedScript(t *testing.T) {
	for _, src := range []string{"echo 'open", "x\necho \"open"} {
		if _, err := Parse([]byte(src), ondisk.Limits{}); !errors.Is(err, ondisk.ErrCorrupt) {
			t.Errorf("%q: %v", src, err)
		}
	}
	if _, err := Parse(bytes.Repeat([]byte("a {\n"), 1000), ondisk.Limits{}); !errors.Is(err, ondisk.ErrTooBig) {
		t.Error(err)
	}
	if _, err := Parse([]byte("} } { menuentry {"), ondisk.Limits{}); err != nil {
		t.Error(err)
	}
}

func TestEnvAgainstGRUB(t *testing.T) {
	testtool.Need(t, "grub-editenv")
	file := filepath.Join(t.TempDir(), "grubenv")
	list := func() string { return testtool.Run(t, "grub-editenv", file, "list") }
	testtool.Run(t, "grub-editenv", file, "create")
	testtool.Run(t, "grub-editenv", file, "set", "saved_entry=a>b", "kernelopts=root=UUID=1 ro", `odd=back\slash`)
	data, _ := os.ReadFile(file)
	e, err := ParseEnv(data)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(e.Bytes(), data) || len(data) != EnvSize {
		t.Error("changed by reading")
	}
	if v, _ := e.Get("odd"); v != `back\slash` || !slices.Equal(e.Names(), []string{"saved_entry", "kernelopts", "odd"}) {
		t.Errorf("%q %q", v, e.Names())
	}
	for name, value := range map[string]string{"saved_entry": "0", "kernelopts": "root=UUID=2 ro quiet console=ttyS0", "odd": `\`} {
		if err := e.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	e.Unset("nothing")
	if err := os.WriteFile(file, e.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, want := list(), "saved_entry=0\nkernelopts=root=UUID=2 ro quiet console=ttyS0\nodd=\\\n"; got != want {
		t.Errorf("GRUB reads %q", got)
	}
	e.Unset("kernelopts")
	e.Set("new", "x")
	testtool.Run(t, "grub-editenv", file, "unset", "kernelopts")
	testtool.Run(t, "grub-editenv", file, "set", "new=x")
	if want, _ := os.ReadFile(file); !bytes.Equal(e.Bytes(), want) {
		t.Errorf("%q\n%q", e.Bytes(), want)
	}
	before := e.Bytes()
	if err := e.Set("big", strings.Repeat("x", 1000)); !errors.Is(err, ondisk.ErrNoSpace) || !bytes.Equal(e.Bytes(), before) {
		t.Error(err)
	}
	if _, err := ParseEnv([]byte("x")); !errors.Is(err, ondisk.ErrFormat) {
		t.Error(err)
	}
}

func defaults(t testing.TB, src []byte) *Defaults {
	t.Helper()
	d, err := ParseDefaults(src, ondisk.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// shell asks a shell what a variable holds after it has read the file.
func shell(t testing.TB, src []byte, key string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "grub")
	if err := os.WriteFile(file, src, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("sh", "-ec", `. "$0" >/dev/null; eval "printf %s \"\$$1\""`, file, key).CombinedOutput()
	if err != nil {
		t.Fatalf("%v %s\n%s", err, out, src)
	}
	return string(out)
}

func TestDefaultsAgainstShell(t *testing.T) {
	src, err := os.ReadFile("testdata/defaults/debian.in")
	if err != nil {
		t.Fatal(err)
	}
	d := defaults(t, src)
	for _, key := range d.Keys() {
		if v, _ := d.Get(key); !v.Expands && v.Text != shell(t, src, key) && key != "GRUB_GFXMODE" {
			t.Errorf("%s: %q, the shell has %q", key, v.Text, shell(t, src, key))
		}
	}
	if v, _ := d.Get("GRUB_CMDLINE_LINUX"); !v.Expands || !strings.HasPrefix(v.Text, "$GRUB_CMDLINE_LINUX  ") {
		t.Errorf("%+v", v)
	}
	if slices.Contains(d.Keys(), "GRUB_NOT") {
		t.Error("an argument of echo is no assignment")
	}
	for _, text := range []string{"", "plain", "two words", `it's "q" $x \y ` + "`z`", "tab\tnl\nend", "#no comment", "a;b"} {
		for _, key := range []string{"GRUB_DEFAULT", "GRUB_CMDLINE_LINUX_DEFAULT", "GRUB_HIDDEN", "GRUB_CMDLINE_LINUX", "NEW"} {
			d := defaults(t, src)
			if err := d.Set(key, Value{Text: text}); err != nil {
				t.Fatal(err)
			}
			if got := shell(t, d.Bytes(), key); got != text && !strings.HasSuffix(text, "\n") {
				t.Errorf("%s: set %q, the shell has %q\n%s", key, text, got, d.Bytes())
			}
			if v, _ := d.Get(key); v.Text != text || v.Expands {
				t.Errorf("%s: set %q, read %+v", key, text, v)
			}
		}
	}
	if _, err := d.CommentOut("GRUB_BADRAM"); !errors.Is(err, ondisk.ErrUnsupported) {
		t.Error(err)
	}
	if n, err := d.CommentOut("GRUB_CMDLINE_LINUX"); n != 2 || err != nil {
		t.Error(n, err)
	}
	if got := shell(t, d.Bytes(), "GRUB_CMDLINE_LINUX"); got != "" {
		t.Errorf("still %q", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"quotes", "crlf"} {
		seed, err := os.ReadFile("testdata/script/" + name + ".in")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data, ondisk.Limits{})
		if err != nil {
			return
		}
		c.Default(nil)
		if got := c.RewriteKernel(func(*Entry, *cmdline.Line) {}); !bytes.Equal(got, data) {
			t.Fatalf("%q became %q", data, got)
		}
		if _, err := Parse(c.RewriteKernel(toKVM), ondisk.Limits{}); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzDefaults(f *testing.F) {
	seed, err := os.ReadFile("testdata/defaults/debian.in")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed, "GRUB_DEFAULT", "x y")
	f.Fuzz(func(t *testing.T, data []byte, key, text string) {
		d, err := ParseDefaults(data, ondisk.Limits{})
		if err != nil {
			return
		}
		if !bytes.Equal(d.Bytes(), data) {
			t.Fatal("changed by reading")
		}
		if d.Set(key, Value{Text: text}) != nil {
			return
		}
		if v, ok := d.Get(key); ok && !v.Expands && v.Text != text {
			t.Fatalf("set %q, read %q in %q", text, v.Text, d.Bytes())
		}
	})
}

func FuzzEnv(f *testing.F) {
	f.Add(NewEnv().Bytes(), "saved_entry", "a\\b\nc")
	f.Fuzz(func(t *testing.T, data []byte, name, value string) {
		e, err := ParseEnv(data)
		if err != nil {
			return
		}
		if !bytes.Equal(e.Bytes(), data) {
			t.Fatal("changed by reading")
		}
		if e.Set(name, value) != nil {
			return
		}
		if again, err := ParseEnv(e.Bytes()); err != nil || len(e.Bytes()) != len(data) {
			t.Fatal(err)
		} else if got, _ := again.Get(name); got != value {
			t.Fatalf("set %q, read %q", value, got)
		}
	})
}
