package selinux

import (
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"regexp/syntax"
	"slices"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// words of matchpathcon(8) for the types of files.
var words = map[string]filesys.Mode{
	"file": filesys.Regular, "dir": filesys.Dir, "pipe": filesys.Fifo, "chr_file": filesys.CharDev,
	"blk_file": filesys.BlockDev, "lnk_file": filesys.Symlink, "sock_file": filesys.Socket,
}

// Each path that a specification of Debian's policy describes, its neighbours and
// the paths of this machine have the label that libselinux finds for each type.
func TestAgainstLibselinux(t *testing.T) {
	testtool.Need(t, "matchpathcon")
	dir := policy(t)
	c := load(t, from(dir))
	if p := c.Problems(); len(p) > 0 {
		t.Errorf("problems with a sound policy: %v", p)
	}
	paths := testtool.Some(3000, append(examples(c), hostPaths(t)...))
	paths = append(paths,
		"/", "/srv/www/secret", "/srv/www/plain", "/srv/a-b/c", "/a-b/c", "/a.b/c", "/one", "/two", "/one/x", "/st/one", "/st/two", "/st/x/two",
		"/st/onex", "/twice", "/class/]x1", "/class/x", "/class/a(", "/class/a|c", "/class/b", "/bytes/ab", "/bytes/\xc3\xbc", "/bytes/\xff\xfe",
		"/lazy/cc", "/lazy/aabbcc", "/lazy/aaacc", "/opt/www/secret", "/opt/bin/x", "/opt/www/x/fstab", "/optional", "/chain/sh", "/all/etc/shadow",
		"/all", "/opt/local/lib/x", "/lib64/security/pam.so", "/tmp/a b", "/etc/sh\xc3\xa4dow", "/var/run/x.pid",
	)
	slices.Sort(paths)
	paths = slices.Compact(paths)
	t.Logf("%d paths, %d specifications", len(paths), len(c.specs))
	for word, mode := range words {
		compare(t, c, filepath.Join(dir, "file_contexts"), word, mode, paths)
	}
}

func compare(t *testing.T, c *Contexts, file, word string, mode filesys.Mode, paths []string) {
	t.Helper()
	for part := range slices.Chunk(paths, 4000) {
		out := testtool.Run(t, "matchpathcon", append([]string{"-n", "-f", file, "-m", word}, part...)...)
		want := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
		if len(want) != len(part) {
			t.Fatalf("%d answers for %d paths", len(want), len(part))
		}
		for i, p := range part {
			m := c.Lookup(p, mode|0o644)
			if got := m.Label; got != strings.TrimSuffix(want[i], none) || len(m.Skipped) > 0 {
				t.Errorf("%s %q: %q, want %q; skipped %v", word, p, got, want[i], m.Skipped)
			}
		}
	}
}

// hostPaths are some thousand paths of this machine.
func hostPaths(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, top := range []string{"/etc", "/usr/lib", "/usr/sbin", "/var", "/boot", "/usr/share"} {
		n := 0
		err := filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
			if n++; n > 1500 {
				return fs.SkipAll
			}
			if err == nil && !strings.ContainsAny(p, "\n") {
				out = append(out, p)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// examples are paths that the specifications match, and paths beside them.
func examples(c *Contexts) []string {
	r := rand.New(rand.NewPCG(1, 2))
	var out []string
	for _, s := range c.specs {
		tree, err := syntax.Parse(s.text, syntax.Perl|syntax.DotNL)
		if err != nil {
			continue
		}
		for range 2 {
			p := sample(r, tree)
			for strings.Contains(p, "//") {
				p = strings.ReplaceAll(p, "//", "/")
			}
			if p = strings.TrimSuffix(p, "/"); strings.HasPrefix(p, "/") {
				out = append(out, p, p+"x", p+"/inside")
			}
		}
	}
	return out
}

// sample is a text that an expression matches.
func sample(r *rand.Rand, e *syntax.Regexp) string {
	const any = "abz019_-.:%/"
	var out strings.Builder
	switch e.Op {
	case syntax.OpLiteral:
		return string(e.Rune)
	case syntax.OpCharClass:
		i := r.IntN(len(e.Rune)/2) * 2
		lo, hi := max(e.Rune[i], '!'), min(e.Rune[i+1], '~')
		return string(rune(lo + r.Int32N(max(hi-lo, 0)+1)))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return string(any[r.IntN(len(any))])
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		lo, hi := map[syntax.Op]int{syntax.OpPlus: 1, syntax.OpRepeat: e.Min}[e.Op], 3
		if e.Op == syntax.OpQuest {
			hi = 1
		}
		for range lo + r.IntN(max(hi-lo, 0)+1) {
			out.WriteString(sample(r, e.Sub[0]))
		}
	case syntax.OpAlternate:
		return sample(r, e.Sub[r.IntN(len(e.Sub))])
	default: // concatenation, capture, and what is empty
		for _, sub := range e.Sub {
			out.WriteString(sample(r, sub))
		}
	}
	return out.String()
}
