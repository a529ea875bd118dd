package selinux

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

func TestConfig(t *testing.T) {
	for text, want := range map[string]Config{
		"":                                     {Policy: "targeted"},
		"SELINUX=enforcing\nSELINUXTYPE=mls\n": {Mode: Enforcing, Policy: "mls"},
		"# SELINUX=disabled\n  SELINUX=Permissive # why\nSELINUXTYPE=default \n": {Mode: Permissive, Policy: "default"},
		"SELINUX=disabled\r\nSELINUX=enforcing":                                  {Mode: Disabled, Policy: "targeted"},
		"SELINUX=on\n":                                                           {Policy: "targeted"},
	} {
		if got := ParseConfig([]byte(text)); got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
	for policy, want := range map[string]bool{"targeted": true, "": false, "..": false, "../x": false, "a\x00": false} {
		if got := (Config{Policy: policy}).Labels(); got != want {
			t.Errorf("policy %q: %t", policy, got)
		}
	}
}

// files is a guest of some files.
type files map[string]string

func (f files) read(path string) ([]byte, error) {
	if text, ok := f[path]; ok {
		if text == "broken" {
			return nil, errBroken
		}
		return []byte(text), nil
	}
	return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
}

var errBroken = errors.New("broken")

// guest has the contexts as its only policy.
func guest(contexts string) files {
	return files{ConfigPath: "SELINUX=enforcing\n", "/etc/selinux/targeted/contexts/files/file_contexts": contexts}
}

func TestNothingToLabel(t *testing.T) {
	for name, f := range map[string]files{
		"no configuration": {},
		"disabled":         {ConfigPath: "SELINUX=disabled\n", "/etc/selinux/targeted/contexts/files/file_contexts": "/.* x\n"},
		"no policy":        {ConfigPath: "SELINUX=enforcing\n"},
		"other policy":     {ConfigPath: "SELINUXTYPE=mls\n", "/etc/selinux/targeted/contexts/files/file_contexts": "/.* x\n"},
	} {
		if c, err := Load(f.read, Options{}); c != nil || err != nil {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
}

func TestUnreadable(t *testing.T) {
	const dir = "/etc/selinux/targeted/contexts/files/"
	for _, test := range []struct {
		files   files
		entries int
		want    error
	}{
		{files{ConfigPath: "broken"}, 0, errBroken},
		{guest("broken"), 0, errBroken},
		{files{ConfigPath: "", dir + "file_contexts.bin": "x"}, 0, ondisk.ErrUnsupported},
		{files{ConfigPath: "", dir + "file_contexts": "", dir + "file_contexts.local": "broken"}, 0, errBroken},
		{files{ConfigPath: "", dir + "file_contexts": "", dir + "file_contexts.subs": "broken"}, 0, errBroken},
		{guest("/a x\n/b x\n#\n/c x\n"), 2, ondisk.ErrTooBig},
		{files{ConfigPath: "", dir + "file_contexts": "/a x\n", dir + "file_contexts.subs_dist": "/a /b\n/c /d\n"}, 2, ondisk.ErrTooBig},
	} {
		c, err := Load(test.files.read, Options{Limits: ondisk.Limits{Entries: test.entries}})
		if c != nil || !errors.Is(err, test.want) {
			t.Errorf("%v: %v, want %v", test.files, err, test.want)
		}
	}
}

// What Go's expressions cannot say is passed over, and said.
func TestSkipped(t *testing.T) {
	c := load(t, guest(`
/etc/.*	etc_t
/etc/(?!x).*\.key	--	key_t
/etc/x{999}{999}	-l	big_t
`).read)
	m := c.Lookup("/etc/a.key", filesys.Regular)
	if m.Label != "etc_t" || len(m.Skipped) != 1 || m.Skipped[0].Line != 3 || m.Skipped[0].File != "file_contexts" {
		t.Errorf("%+v", m)
	}
	if m := c.Lookup("/etc/a.key", filesys.Dir); m.Label != "etc_t" || len(m.Skipped) != 0 {
		t.Errorf("a folder: %+v", m)
	}
	if m := c.Lookup("/etc/xx", filesys.Symlink); m.Label != "etc_t" || len(m.Skipped) != 1 {
		t.Errorf("a link: %+v", m)
	}
}

func TestProblems(t *testing.T) {
	c := load(t, guest("/a\n/b -x l\n/\xff l\n/"+strings.Repeat("x", maxSpec)+" l\n/ok -- l more\n").read)
	if len(c.Problems()) != 4 || len(c.specs) != 1 {
		t.Errorf("%d problems, %d specifications", len(c.Problems()), len(c.specs))
	}
}

// Expressions share a bounded memory.
func TestBudget(t *testing.T) {
	var text strings.Builder
	for range 2000 {
		text.WriteString("/a.{900} l\n")
	}
	c, err := Load(guest(text.String()).read, Options{Limits: ondisk.Limits{Cache: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	m := c.Lookup("/a", filesys.Regular)
	if n := len(c.specs) - len(m.Skipped); n > 1<<20/nodeCost/900 || n == 0 {
		t.Errorf("%d of %d expressions were compiled", n, len(c.specs))
	}
}

func BenchmarkLookup(b *testing.B) {
	c := load(b, from(policy(b)))
	for b.Loop() {
		c.Lookup("/usr/lib/modules/6.1.0/modules.dep", filesys.Regular)
	}
}

func FuzzContexts(f *testing.F) {
	for _, s := range []string{
		"/.* l", "/etc(/.*)? -d x\n/etc/a\\.b -- <<none>>", "/[]a]|(b|c){2,} l", "/a(?=b) l", "/a{1000}{1000} l", "/\\Qa.b\\E l", "//x/ l", "/(((((((( l",
	} {
		f.Add([]byte(s), "/etc/a.b", []byte("/etc /usr\n/usr /"))
	}
	f.Fuzz(func(t *testing.T, text []byte, path string, subs []byte) {
		const dir = "/etc/selinux/targeted/contexts/files/"
		g := files{ConfigPath: "", dir + "file_contexts": string(text), dir + "file_contexts.local": string(text), dir + "file_contexts.subs": string(subs)}
		c, err := Load(g.read, Options{Limits: ondisk.Limits{Cache: 4 << 20}})
		if err != nil {
			return
		}
		start := time.Now()
		for _, mode := range words {
			m := c.Lookup(path, mode)
			if m.Label != c.Lookup(path, mode).Label {
				t.Errorf("%q: two answers", path)
			}
			for _, s := range c.specs {
				checkPrefix(t, c, s, path)
			}
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("%v", d)
		}
	})
}

// checkPrefix fails when the prefix keeps out what the expression would match.
func checkPrefix(t *testing.T, c *Contexts, s *spec, path string) {
	t.Helper()
	re, err := c.expression(s)
	if err != nil || !strings.HasPrefix(path, s.stem) {
		return
	}
	matches := re.MatchString(latin1(path)[len(s.stem):])
	if matches && !strings.HasPrefix(path, s.prefix) {
		t.Errorf("%q matches %q, not its prefix %q", s.text, path, s.prefix)
	}
	if trimmed := strings.TrimSuffix(path, "\n"); s.plain && matches != (path == s.prefix || trimmed == s.prefix) {
		t.Errorf("%q is not the name %q", s.text, s.prefix)
	}
}
