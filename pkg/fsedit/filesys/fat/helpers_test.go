//go:build linux

package fat

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// mkfsRow is one filesystem of the matrix.
type mkfsRow struct {
	name string
	args string
	size int64
	bits uint
	// few: FAT32 of fewer clusters than it should have, which mtools takes for
	// something else. 7-Zip stands in for it.
	few bool
}

var mkfsRows = []mkfsRow{
	{"fat12", "-F 12", 2 << 20, 12, false},
	{"fat12-floppy", "-F 12 -s 1 -r 112", 720 << 10, 12, false},
	{"fat12-one", "-F 12 -f 1 -a -s 2", 3<<20 + 512, 12, false},
	{"fat16", "-F 16", 16 << 20, 16, false},
	{"fat16-s1", "-F 16 -s 1 -a", 8 << 20, 16, false},
	{"fat16-4k", "-F 16 -S 4096 -s 1", 24 << 20, 16, false},
	{"fat16-s64", "-F 16 -s 64 -f 1", 160 << 20, 16, false},
	{"fat32", "-F 32", 40 << 20, 32, false},
	{"fat32-s1", "-F 32 -s 1 -a", 36 << 20, 32, false},
	{"fat32-4k", "-F 32 -S 4096 -s 1 -R 8", 280 << 20, 32, false},
	{"fat32-few", "-F 32 -s 8 -f 1", 33 << 20, 32, true},
	{"fat32-s128", "-F 32 -s 128 -f 2", 64 << 20, 32, true},
}

func (r mkfsRow) mkfs(t testing.TB) string {
	t.Helper()
	image := fsedittest.NewImage(t, r.size)
	testtool.Run(t, "mkfs.vfat", append(strings.Fields(r.args+" -i 1234ABCD -n ESP-label"), image)...)
	return image
}

// mtools runs one of them on an image. Names are UTF-8, times UTC.
func mtools(t testing.TB, tool, image string, args ...string) string {
	t.Helper()
	out, err := tryMtools(t, tool, image, args...)
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", tool, args, err, out)
	}
	return out
}

func tryMtools(t testing.TB, tool, image string, args ...string) (string, error) {
	t.Helper()
	testtool.Need(t, tool)
	env := []string{"LC_ALL=C.UTF-8", "TZ=UTC", "MTOOLS_SKIP_CHECK=1", "MTOOLS_NO_VFAT=0", tool, "-i", image}
	return testtool.Try(t, "env", append(env, args...)...)
}

// checkFAT fails the test unless fsck.fat(8) finds nothing at all.
func checkFAT(t testing.TB, image string) {
	t.Helper()
	out, err := testtool.Try(t, "fsck.fat", "-n", image)
	if _, rest, ok := strings.Cut(out, "problems on some systems.\n"); ok {
		out = rest // FAT32 of few clusters
	}
	// The first line is the version, the last counts files.
	if err != nil || strings.Count(strings.TrimSpace(out), "\n") != 1 {
		t.Errorf("fsck.fat -n: %v\n%s", err, out)
	}
}

func open(t testing.TB, dev blockdev.Device) *volume {
	t.Helper()
	v, err := Driver{}.Open(t.Context(), []blockdev.Device{dev}, filesys.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return v.(*volume)
}

func walk(f filesys.FS, p string) (filesys.Node, error) {
	n := f.Root()
	for _, name := range strings.Split(p, "/") {
		if name == "" || name == "." {
			continue
		}
		var err error
		if n, err = f.Lookup(n, name); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// world makes changes by path.
type world struct{ filesys.Editor }

func (w world) in(name string, f func(dir filesys.Node, base string) error) error {
	dir, err := walk(w, path.Dir(name))
	if err != nil {
		return err
	}
	return f(dir, path.Base(name))
}

func (w world) write(name string, content []byte) error {
	return w.in(name, func(dir filesys.Node, base string) error {
		n, err := w.Lookup(dir, base)
		if err != nil {
			if n, err = w.Create(dir, base, filesys.NewAttr{Mode: 0o644}); err != nil {
				return err
			}
		}
		return w.WriteFile(n, blockdev.FromBytes(content))
	})
}

func (w world) mkdir(name string) error {
	return w.in(name, func(dir filesys.Node, base string) error {
		_, err := w.Mkdir(dir, base, filesys.NewAttr{Mode: 0o755})
		return err
	})
}

func (w world) remove(name string) error {
	return w.in(name, func(dir filesys.Node, base string) error { return w.Remove(dir, base) })
}

func (w world) rename(old, name string) error {
	return w.in(old, func(od filesys.Node, ob string) error {
		return w.in(name, func(nd filesys.Node, nb string) error { return w.Rename(od, ob, nd, nb) })
	})
}

var testNow = time.Date(2026, 5, 4, 3, 2, 6, 0, time.UTC)

func edit(t testing.TB, v filesys.Volume) world {
	t.Helper()
	e, err := v.Edit(filesys.EditOptions{Now: testNow})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Abort)
	return world{e}
}

func (w world) commit(t testing.TB) {
	t.Helper()
	if err := w.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// extract is the tree that mcopy or 7-Zip finds in an image.
func (r mkfsRow) extract(t testing.TB, image string) string {
	t.Helper()
	dir := t.TempDir()
	if r.few {
		testtool.Run(t, "env", "TZ=UTC", "7zz", "x", "-y", "-o"+dir, image)
	} else if mtools(t, "mdir", image, "-a", "-b", "::") != "" {
		mtools(t, "mcopy", image, "-s", "-m", "-n", "::", dir+"/")
	}
	return dir
}

// onlyContent leaves what both the host and FAT can tell: names, content, and
// times of files. The root is not compared.
func onlyContent(t testing.TB, tree fsedittest.Tree) fsedittest.Tree {
	t.Helper()
	out := fsedittest.Tree{}
	for p, e := range tree {
		if p == "." {
			continue
		}
		k := fsedittest.Entry{Mode: e.Mode.Type(), Size: e.Size, Hash: e.Hash}
		if e.Mode.IsRegular() {
			k.MtimeSec = e.MtimeSec
		}
		out[p] = k
	}
	return out
}

func noise(seed, n int) []byte {
	p := make([]byte, n)
	x := uint32(seed)*2654435761 + 1
	for i := range p {
		x = x*1664525 + 1013904223
		p[i] = byte(x >> 24)
	}
	return p
}

// files are what fill makes.
var files = []string{
	"EFI/BOOT/BOOTX64.EFI", "EFI/debian/grub.cfg", "EFI/debian/shimx64.efi", "README", "readme.txt", "MixedCase.Conf",
	"a long name with spaces and more.text", "ünï cödé/ﬁle €.txt", "emoji 😀.bin", "dots.in.the.name.gz", ".hidden", strings.Repeat("n", 255), "empty",
}

// fill puts a small tree into an image, by mtools where they can.
func (r mkfsRow) fill(t testing.TB, image string) {
	t.Helper()
	dir := t.TempDir()
	var made []string // paths, each after what it lies in
	add := func(name string, content []byte) {
		p := filepath.Join(dir, name)
		for up := path.Dir(name); up != "."; up = path.Dir(up) {
			if !slices.Contains(made, up) {
				made = append(made, up)
			}
		}
		made = append(made, name)
		must(t, os.MkdirAll(filepath.Dir(p), 0o755))
		must(t, os.WriteFile(p, content, 0o644))
		must(t, os.Chtimes(p, testNow, testNow.Add(time.Duration(-len(made))*1000*time.Hour)))
	}
	for i, name := range files {
		size := i * i * 977
		if name == "empty" {
			size = 0
		}
		add(name, noise(i, size))
	}
	for i := range 60 {
		add(fmt.Sprintf("many/some long name %d", i), []byte{byte(i)})
	}
	if r.few {
		r.fillOurselves(t, image, dir, made)
		return
	}
	list, err := os.ReadDir(dir)
	must(t, err)
	args := []string{"-s", "-m"}
	for _, d := range list {
		args = append(args, filepath.Join(dir, d.Name()))
	}
	mtools(t, "mcopy", image, append(args, "::")...)
}

func (r mkfsRow) fillOurselves(t testing.TB, image, dir string, made []string) {
	t.Helper()
	slices.Sort(made)
	o := fsedittest.OpenWritable(t, image)
	w := edit(t, open(t, o))
	for _, name := range made {
		st, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		if st.IsDir() {
			must(t, w.mkdir(name))
			continue
		}
		p, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		must(t, w.write(name, p))
		n, err := walk(w, name)
		must(t, err)
		mtime := st.ModTime()
		must(t, w.SetAttr(n, filesys.SetAttr{Mtime: &mtime}))
	}
	w.commit(t)
	fsedittest.Save(t, o, image)
}

// memory is a small image that can be written.
type memory struct{ raw []byte }

func (m memory) Size() int64 { return int64(len(m.raw)) }
func (m memory) Sync() error { return nil }
func (m memory) ReadAt(p []byte, off int64) (int, error) {
	return blockdev.FromBytes(m.raw).ReadAt(p, off)
}
func (m memory) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off > m.Size() || int64(len(p)) > m.Size()-off {
		return 0, io.ErrShortWrite
	}
	return copy(m.raw[off:], p), nil
}
