package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/vmconv/vmconv/"

// arrows say which packages of ours a folder below pkg may import. The first
// prefix that matches a package decides; docs/ARCHITECTURE.md draws them.
var arrows = []struct {
	from string
	to   []string
}{
	{"imagefmt/ondisk", nil},
	{"imagefmt/blockdev", []string{"imagefmt/ondisk"}},
	{"imagefmt/testtool", nil},
	{"imagefmt/imagefmttest", []string{"imagefmt", "imagefmt/blockdev", "imagefmt/ondisk"}},
	{"imagefmt/osfile", []string{"imagefmt", "imagefmt/blockdev", "imagefmt/ondisk"}},
	{"imagefmt/formats", []string{"imagefmt/*"}},
	{"imagefmt/xva", []string{"imagefmt", "imagefmt/tarfile", "imagefmt/blockdev", "imagefmt/ondisk"}},
	{"imagefmt/inflate", []string{"imagefmt/ondisk"}},
	{"imagefmt/", []string{"imagefmt", "imagefmt/blockdev", "imagefmt/ondisk", "imagefmt/inflate"}}, // the formats: not each other
	{"imagefmt", []string{"imagefmt/blockdev", "imagefmt/ondisk"}},
	{"fsedit/volume", []string{"fsedit/volume", "fsedit/volume/assembly", "imagefmt/blockdev", "imagefmt/ondisk"}},
	{"fsedit/filesys/drivers", []string{"fsedit/filesys/*", "imagefmt/blockdev", "imagefmt/ondisk"}},
	{"fsedit/filesys", []string{"fsedit/filesys", "fsedit/filesys/stage", "fsedit/filesys/content", "imagefmt/blockdev", "imagefmt/ondisk"}},
	{"fsedit/cpio", leafMay}, {"fsedit/initramfs", leafMay}, {"fsedit/kmod", leafMay},
	{"fsedit/grubcfg", leafMay}, {"fsedit/cmdline", leafMay}, {"fsedit/journal", leafMay}, {"fsedit/efi", leafMay},
	{"fsedit/selinux", []string{"fsedit/filesys", "imagefmt/ondisk"}},
	{"fsedit/pax", []string{"fsedit/filesys", "fsedit/filesys/content", "imagefmt/blockdev", "imagefmt/ondisk"}},
	{"fsedit/", []string{"fsedit/*", "imagefmt/blockdev", "imagefmt/ondisk"}}, // guest, edit: no formats
	{"fsedit", []string{"fsedit/*", "imagefmt/blockdev", "imagefmt/ondisk"}},
	{"convert/vmdef", []string{"imagefmt/ondisk"}},
	{"convert/ova", []string{"convert/vmdef", "imagefmt", "imagefmt/tarfile"}},
	{"convert/machine", []string{"convert/vmdef", "imagefmt", "imagefmt/tarfile", "imagefmt/xva", "imagefmt/blockdev", "imagefmt/ondisk"}},
	{"convert/target", []string{"imagefmt/ondisk"}},
	{"convert", []string{"convert/*", "fsedit", "fsedit/*", "imagefmt", "imagefmt/blockdev", "imagefmt/ondisk", "imagefmt/xva"}},
}

// leafMay is what the parsers of guest files may import.
var leafMay = []string{"fsedit/cpio", "fsedit/cmdline", "imagefmt/blockdev", "imagefmt/ondisk"}

// cmdOnly are packages that only the command may use; os has one more user.
var cmdOnly = []string{
	"github.com/sirupsen/logrus", "github.com/spf13/cobra", "log", "log/slog", "os/exec", "net", "net/http", "os/signal",
}

// TestArchitecture reads the imports of every package and fails on an arrow that
// the architecture does not have.
func TestArchitecture(t *testing.T) {
	root := filepath.Join("..", "..", "pkg")
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return err
		}
		pkg, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		checkFile(t, filepath.ToSlash(pkg), file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkFile(t *testing.T, pkg, file string) {
	tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	forTests := strings.HasSuffix(pkg, "test") || strings.HasSuffix(pkg, "testtool")
	for _, spec := range tree.Imports {
		name, _ := strconv.Unquote(spec.Path.Value)
		switch own, isOwn := strings.CutPrefix(name, module+"pkg/"); {
		case isOwn:
			if !allowed(pkg, own) && !forTests {
				t.Errorf("%s imports pkg/%s: no such arrow in docs/ARCHITECTURE.md", file, own)
			}
		case name == "unsafe":
			t.Errorf("%s imports unsafe", file)
		case forTests:
		case slices.Contains(cmdOnly, name):
			t.Errorf("%s imports %s, which only cmd may", file, name)
		case name == "os" && pkg != "imagefmt/osfile":
			t.Errorf("%s imports os: only osfile and cmd open host files", file)
		case strings.HasPrefix(name, "math/rand") || name == "crypto/rand":
			if pkg != "imagefmt/osfile" {
				t.Errorf("%s imports %s: libraries do not draw randomness", file, name)
			}
		}
	}
	if !forTests {
		ast.Inspect(tree, func(n ast.Node) bool { return noClock(t, file, n) })
	}
}

// noClock reports calls of time.Now: libraries are told the time.
func noClock(t *testing.T, file string, n ast.Node) bool {
	if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Now" {
		if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" {
			t.Errorf("%s reads the clock", file)
		}
	}
	return true
}

func allowed(from, to string) bool {
	for _, a := range arrows {
		if from != strings.TrimSuffix(a.from, "/") && !strings.HasPrefix(from, strings.TrimSuffix(a.from, "/")+"/") {
			continue
		}
		if strings.HasSuffix(a.from, "/") && from == strings.TrimSuffix(a.from, "/") {
			continue
		}
		return slices.ContainsFunc(a.to, func(pattern string) bool {
			if dir, ok := strings.CutSuffix(pattern, "/*"); ok {
				return to == dir || strings.HasPrefix(to, dir+"/")
			}
			return to == pattern
		})
	}
	return path.Dir(from) == "" // a folder that nobody drew
}
