//go:build linux

package xfs

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// v4Rows are filesystems of version 4, which this kernel may not mount: mkfs.xfs
// fills them from a prototype, and xfs_db adds attributes.
var v4Rows = []mkfsRow{
	{name: "ftype0", args: "-m crc=0 -n ftype=0"},
	{name: "ftype1-1k", args: "-m crc=0 -n ftype=1 -b size=1024"},
	{name: "i512-dir16k", args: "-m crc=0 -i size=512 -n size=16384"},
	{name: "projid16-logv1", args: "-m crc=0 -i projid32bit=0,attr=1 -l version=1"},
	{name: "ci", args: "-m crc=0 -n version=ci"},
}

// protoTree writes a prototype (mkfs.xfs(8)), and says what it gives.
func protoTree(t *testing.T, folder string) (proto string, want map[string]string) {
	t.Helper()
	var b strings.Builder
	want = map[string]string{}
	b.WriteString("/\n0 0\nd--755 0 0\n")
	for _, n := range []int{0, 1, 4095, 4097, 300000} {
		src := filepath.Join(folder, fmt.Sprint(n))
		content := bytes.Repeat([]byte{byte(n), 7, 1}, n/3+1)[:n]
		if err := os.WriteFile(src, content, 0o600); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "f%d ---640 %d 5 %s\n", n, n, src)
		want[fmt.Sprintf("f%d", n)] = fmt.Sprintf("100640 %d:5 %x", n, md5.Sum(content))
	}
	for _, n := range []int{1, 90, 156, 400, 900, 1000} {
		target := strings.Repeat("t", n)
		fmt.Fprintf(&b, "link%d l--777 0 0 %s\n", n, target)
		want[fmt.Sprintf("link%d", n)] = "120777 0:0 " + target
	}
	for name, dev := range map[string][2]int{"null": {1, 3}, "high": {259, 70000}} {
		fmt.Fprintf(&b, "%s c--666 0 0 %d %d\n", name, dev[0], dev[1])
		want[name] = fmt.Sprintf("20666 0:0 %d,%d", dev[0], dev[1])
	}
	b.WriteString("fifo p--600 0 0\n")
	want["fifo"] = "10600 0:0 "
	for _, n := range []int{0, 3, 40, 250, 2500} {
		fmt.Fprintf(&b, "dir%d d--755 0 0\n", n)
		want[fmt.Sprintf("dir%d", n)] = fmt.Sprintf("40755 0:0 %d names", n)
		for i := range n {
			name := fmt.Sprintf("e%d%s", i, strings.Repeat("x", i%50))
			fmt.Fprintf(&b, " %s p--600 %d 0\n", name, i)
			want[fmt.Sprintf("dir%d/%s", n, name)] = fmt.Sprintf("10600 %d:0 ", i)
		}
		b.WriteString(" $\n")
	}
	b.WriteString("$\n")
	proto = filepath.Join(folder, "proto")
	if err := os.WriteFile(proto, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return proto, want
}

// TestVersion4 compares what we read with what a filesystem was made of.
func TestVersion4(t *testing.T) {
	proto, want := protoTree(t, t.TempDir())
	for _, row := range v4Rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			row.args += " -p " + proto
			image := row.mkfs(t)
			f := &tree{open(t, fsedittest.OpenImage(t, image))}
			got := map[string]string{}
			describe(t, f, f.Root(), "", got)
			for name, w := range want {
				if got[name] != w {
					t.Errorf("%s: %q, want %q", name, got[name], w)
				}
			}
			if len(got) != len(want) {
				t.Errorf("%d names, want %d", len(got), len(want))
			}
			if !strings.Contains(row.args, "attr=1") { // xfs_db crashes on it
				attributes(t, image)
			}
			checkFree(t, image)
			checkRepair(t, image)
		})
	}
}

// describe lists a tree in the words of protoTree, and looks up each name.
func describe(t *testing.T, f *tree, dir filesys.Node, prefix string, out map[string]string) {
	t.Helper()
	list, err := f.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		n, err := f.Lookup(dir, d.Name)
		if err != nil || n != d.Node {
			t.Fatalf("%s%s: %d, %v", prefix, d.Name, n, err)
		}
		a, err := f.Attr(n)
		if err != nil {
			t.Fatal(err)
		}
		what := ""
		switch {
		case a.Mode.IsDir():
			sub, err := f.ReadDir(n)
			if err != nil {
				t.Fatal(err)
			}
			what = fmt.Sprintf("%d names", len(sub))
			describe(t, f, n, prefix+d.Name+"/", out)
		case a.Mode.IsRegular():
			p, err := filesys.ReadFile(f, n, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			what = fmt.Sprintf("%x", md5.Sum(p))
		case a.Mode.IsSymlink():
			if what, err = f.Readlink(n); err != nil {
				t.Fatal(err)
			}
		case a.Mode.IsDevice():
			what = fmt.Sprintf("%d,%d", a.Major, a.Minor)
		}
		out[prefix+d.Name] = fmt.Sprintf("%o %d:%d %s", a.Mode, a.UID, a.GID, what)
	}
	if _, err := f.Lookup(dir, "no such name"); err == nil {
		t.Error("a name that is not there was found")
	}
}

// attributes adds some to files, of every form, and reads them.
func attributes(t *testing.T, image string) {
	t.Helper()
	f := &tree{open(t, fsedittest.OpenImage(t, image))}
	set := func(name string, lengths ...int) filesys.Node {
		n, err := f.Lookup(f.Root(), name)
		if err != nil {
			t.Fatal(err)
		}
		args := []string{"-x", "-c", fmt.Sprintf("inode %d", n)}
		for i, v := range lengths {
			args = append(args, "-c", fmt.Sprintf("attr_set -%c -v %d a%d", "urs"[i%3], v, i))
		}
		testtool.Run(t, "xfs_db", append(args, image)...)
		return n
	}
	many := make([]int, 300)
	for i := range many {
		many[i] = i*5 + 1
	}
	want := map[filesys.Node][]int{
		set("f1", 3): {3}, set("f0", 3, 900, 60000, 2000): {3, 900, 60000, 2000}, set("f4095", many...): many,
	}
	f = &tree{open(t, fsedittest.OpenImage(t, image))}
	for n, lengths := range want {
		got, err := f.Xattrs(n)
		if err != nil || len(got) != len(lengths) {
			t.Fatalf("%d attributes, want %d: %v", len(got), len(lengths), err)
		}
		for i, length := range lengths {
			name := []string{"user.", "trusted.", "security."}[i%3] + fmt.Sprintf("a%d", i)
			if p, ok := got[name]; !ok || string(p) != strings.Repeat("v", length) {
				t.Errorf("%s: %d bytes, want %d", name, len(p), length)
			}
		}
	}
}

// TestFoldedCase: such a directory finds names whatever their case.
func TestFoldedCase(t *testing.T) {
	proto, _ := protoTree(t, t.TempDir())
	row := mkfsRow{args: "-m crc=0 -n version=ci -p " + proto}
	f := &tree{open(t, fsedittest.OpenImage(t, row.mkfs(t)))}
	for _, dir := range []string{"DIR3", "dir40", "Dir2500"} {
		d, err := f.Lookup(f.Root(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Lookup(d, "E2XX"); err != nil {
			t.Error(err)
		}
	}
}

// TestNameHash compares with xfs_db(8).
func TestNameHash(t *testing.T) {
	image := mkfsRows[0].mkfs(t)
	for _, name := range []string{"a", "ab", "abc", "abcd", "lost+found", strings.Repeat("long", 60) + "xyz"} {
		out := testtool.Run(t, "xfs_db", "-r", "-c", "hash "+name, image)
		if got := fmt.Sprintf("%#x", nameHash([]byte(name))); got != strings.TrimSpace(out) {
			t.Errorf("%s: %s, xfs_db says %s", name, got, out)
		}
	}
}

// large is a directory with 100 000 names.
func large(t testing.TB, entries int) *blockdev.Overlay {
	t.Helper()
	image := mkfsRow{args: "", size: 400}.mkfs(t)
	dir, unmount := fsedittest.Mount(t, image, "")
	for i := range entries {
		if err := os.Symlink("x", filepath.Join(dir, fmt.Sprintf("entry-%d-with-a-name", i))); err != nil {
			t.Fatal(err)
		}
	}
	unmount()
	return fsedittest.OpenWritable(t, image)
}

func BenchmarkLargeDirectory(b *testing.B) {
	dev := large(b, 100000)
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			f := &tree{open(b, dev)}
			if list, err := f.ReadDir(f.Root()); err != nil || len(list) != 100000 {
				b.Fatal(len(list), err)
			}
		}
	})
	b.Run("stat", func(b *testing.B) {
		for b.Loop() {
			f := &tree{open(b, dev)}
			list, err := f.ReadDir(f.Root())
			if err != nil {
				b.Fatal(err)
			}
			for _, d := range list {
				if _, err := f.Attr(d.Node); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("lookup", func(b *testing.B) {
		for b.Loop() {
			f := &tree{open(b, dev)}
			if _, err := f.Lookup(f.Root(), "entry-77777-with-a-name"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
