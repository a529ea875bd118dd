//go:build linux

package ext

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
	"golang.org/x/sys/unix"
)

func edit(t testing.TB, v *volume) editWorld {
	t.Helper()
	e, err := v.Edit(filesys.EditOptions{Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return editWorld{e}
}

// change runs one transaction on an image, saves it and has e2fsck judge it.
func change(t testing.TB, image string, f func(w editWorld) error) {
	t.Helper()
	overlay := fsedittest.OpenWritable(t, image)
	w := edit(t, open(t, overlay))
	if err := f(w); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	fsedittest.Save(t, overlay, image)
	fsedittest.CheckExt(t, image)
}

func whole(p []byte) *sparse { return &sparse{int64(len(p)), map[int64][]byte{0: p}} }

// noise is the same bytes for the same seed.
func noise(seed uint64, n int) []byte {
	p := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := 0; i < n; i += 8 {
		var word [8]byte
		le.PutUint64(word[:], r.Uint64())
		copy(p[i:], word[:])
	}
	return p
}

func (w editWorld) put(name string, content []byte) error {
	if err := w.create(name, 0o644); err != nil {
		return err
	}
	return w.write(name, whole(content))
}

// TestFull fills a filesystem. The operation that does not fit leaves nothing
// behind, what came before can be committed, and Abort leaves no trace.
func TestFull(t *testing.T) {
	for _, args := range []string{"-t ext4 -b 1024 -N 64", "-t ext4 -b 1024 -m 0", "-t ext2 -b 4096", "-t ext4 -O ^extent,^64bit -b 1024"} {
		t.Run(args, func(t *testing.T) {
			image := mkfsRow{args: args, size: 8}.mkfs(t)
			overlay := fsedittest.OpenWritable(t, image)
			v := open(t, overlay)
			w := edit(t, v)
			fill(t, w)
			w.Abort()
			if overlay.Dirty() {
				t.Fatal("Abort left changes")
			}
			w = edit(t, v)
			fill(t, w)
			if err := w.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			fsedittest.Save(t, overlay, image)
			fsedittest.CheckExt(t, image)
			free, err := v.FreeExtents(t.Context())
			t.Logf("%v left of %d blocks, %d ranges, %v", v.Space().FreeBlocks, v.Space().Blocks, len(free), err)
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// fill makes files until no more fits.
func fill(t testing.TB, w editWorld) {
	t.Helper()
	for i := range 100000 {
		name := fmt.Sprintf("file%d", i)
		if err := w.create(name, 0o600); err != nil {
			if !errors.Is(err, ondisk.ErrNoSpace) {
				t.Fatal(err)
			}
			if _, err := w.node(name); !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("%s is there after it failed: %v", name, err)
			}
			return
		}
		if err := w.write(name, whole(noise(uint64(i), 20000+i%7*9000))); err != nil {
			if !errors.Is(err, ondisk.ErrNoSpace) {
				t.Fatal(err)
			}
			if n, err := w.node(name); err != nil {
				t.Fatal(err)
			} else if a, err := w.Attr(n); err != nil || a.Size != 0 {
				t.Fatalf("%d bytes after a write that failed: %v", a.Size, err)
			}
			return
		}
	}
	t.Fatal("it never fills")
}

// collisions are names with the same legacy hash, too long to fit one leaf of 1 KiB.
var collisions = []string{"abZ60", "ff4U1", "Su4T2", "XKHH2"}

// TestLargeDirectory has the kernel look up each name of thousands that we made,
// and us each of those that it made, with every hash.
func TestLargeDirectory(t *testing.T) {
	for _, row := range []struct {
		name, args, tune, super string
	}{
		{"half_md4", "-t ext4", "", ""},
		{"1k", "-t ext4 -b 1024", "", ""},
		{"legacy", "-t ext4 -b 1024", "legacy", ""},
		{"tea", "-t ext4 -b 1024", "tea", ""},
		{"unsigned", "-t ext4 -b 1024", "", "flags 2"},
		{"unsigned-tea", "-t ext4 -O ^metadata_csum", "tea", "flags 2"},
		{"unsigned-legacy", "-t ext3 -b 1024", "legacy", "flags 2"},
		{"large_dir", "-t ext4 -b 1024 -O large_dir", "", ""},
		{"ext2", "-t ext2 -b 1024 -O ^dir_index", "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			image := mkfsRow{args: row.args + " -N 20000", size: 64}.mkfs(t)
			if row.tune != "" {
				testtool.Run(t, "tune2fs", "-E", "hash_alg="+row.tune, image)
			}
			if row.super != "" {
				testtool.Run(t, "debugfs", "-w", "-R", "set_super_value "+row.super, image)
			}
			n := 600
			if row.tune == "" && row.super == "" && strings.HasPrefix(row.args, "-t ext4") {
				n = 2500
			}
			largeDirectory(t, image, n)
		})
	}
}

func largeDirectory(t *testing.T, image string, n int) {
	names := func(who string) (out []string) {
		for i := range n {
			out = append(out, fmt.Sprintf("%s-%d-%s", who, i, strings.Repeat("\xfc", i%50)))
		}
		return out
	}
	dir, unmount := fsedittest.Mount(t, image, "")
	for _, n := range names("kernel") {
		if err := os.WriteFile(filepath.Join(dir, n), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	unmount()
	change(t, image, func(w editWorld) error {
		for i, n := range names("kernel") {
			if _, err := w.node(n); err != nil {
				return err
			}
			if i%3 == 0 {
				if err := w.remove(n); err != nil {
					return err
				}
			}
		}
		if err := w.mkdir("new", 0o755); err != nil {
			return err
		}
		for _, n := range append(names("ours"), names("more")...) {
			if err := errors.Join(w.create(n, 0o600), w.create("new/"+n, 0o600)); err != nil {
				return err
			}
		}
		for _, c := range collisions {
			if err := w.create("new/"+strings.Repeat("x", 250)+c, 0o600); err != nil {
				return err
			}
		}
		return nil
	})
	if out := testtool.Run(t, "debugfs", "-R", "htree_dump /new", image); strings.Contains(out, "corrupt") {
		t.Error(out)
	}
	dir, unmount = fsedittest.Mount(t, image, "")
	for i, n := range names("kernel") {
		if _, err := os.Lstat(filepath.Join(dir, n)); (err == nil) == (i%3 == 0) {
			t.Fatalf("%q: %v", n, err)
		}
	}
	for _, n := range append(names("ours"), names("more")...) {
		for _, p := range []string{n, "new/" + n} {
			if _, err := os.Lstat(filepath.Join(dir, p)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range collisions {
		if err := os.Remove(filepath.Join(dir, "new", strings.Repeat("x", 250)+c)); err != nil {
			t.Error(err)
		}
	}
	for i := range n {
		if err := os.WriteFile(filepath.Join(dir, "new", fmt.Sprintf("later%d", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	device := loopOf(t, dir)
	unmount()
	noKernelErrors(t, device)
	fsedittest.CheckExt(t, image)
}

// TestWriteFragmented writes large files where no two free blocks are neighbours,
// which takes maps of several levels, and 100 MiB where there is room.
func TestWriteFragmented(t *testing.T) {
	for _, args := range testtool.Some(2, []string{"-t ext4 -b 1024", "-t ext4 -b 4096", "-t ext3 -b 1024", "-t ext4 -b 2048 -O ^metadata_csum"}) {
		t.Run(args, func(t *testing.T) {
			image := mkfsRow{args: args + " -N 20000", size: 160}.mkfs(t)
			dir, unmount := fsedittest.Mount(t, image, "")
			for i := range 8000 {
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), []byte("x"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			syncFS(t, dir)
			for i := 0; i < 8000; i += 2 {
				if err := os.Remove(filepath.Join(dir, fmt.Sprint(i))); err != nil {
					t.Fatal(err)
				}
			}
			unmount()
			big, split := noise(1, 100<<20), noise(2, 20<<20)
			change(t, image, func(w editWorld) error { return w.put("big", big) })
			dir, unmount = fsedittest.Mount(t, image, "")
			for i := 0; ; i++ { // what is left between the small files
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("rest%d", i)), split[:8<<20], 0o600); err != nil {
					break
				}
			}
			if err := os.Remove(filepath.Join(dir, "rest0")); err != nil {
				t.Fatal(err)
			}
			for i := 1; i < 8000; i += 4 {
				os.Remove(filepath.Join(dir, fmt.Sprint(i)))
			}
			unmount()
			change(t, image, func(w editWorld) error { return w.put("split", split[:9<<20]) })
			dir, unmount = fsedittest.Mount(t, image, "ro")
			for name, want := range map[string][]byte{"big": big, "split": split[:9<<20]} {
				if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: %d bytes, %v", name, len(got), err)
				}
			}
			unmount()
			kernelEdits(t, image, "")
		})
	}
}

// TestGrub has GRUB's own driver read a file of /boot that we replaced.
func TestGrub(t *testing.T) {
	for _, args := range []string{"-t ext4", "-t ext4 -b 1024", "-t ext2", "-t ext3 -b 1024"} {
		image := mkfsRow{args: args, size: 64}.mkfs(t)
		want := noise(3, 3<<20+123)
		change(t, image, func(w editWorld) error {
			return errors.Join(w.mkdir("boot", 0o755), w.put("boot/initrd", []byte("old")), w.put("boot/grub.cfg", []byte("set")))
		})
		change(t, image, func(w editWorld) error {
			c := whole(want)
			c.size += 1 << 20 // a hole at the end
			return errors.Join(w.write("boot/initrd", c), w.symlink("boot/link", "initrd"))
		})
		want = append(want, make([]byte, 1<<20)...)
		for _, name := range []string{"initrd", "link"} {
			testtool.Need(t, "grub-fstest")
			got, err := exec.Command("grub-fstest", image, "cat", "(loop0)/boot/"+name).Output()
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %s: %d bytes, %v", args, name, len(got), err)
			}
		}
	}
}

// TestGarbage edits filesystems that were made on a disk full of other data
// with nothing zeroed: bitmaps and inode tables of unused groups are garbage.
func TestGarbage(t *testing.T) {
	for _, args := range []string{
		"-t ext4 -b 1024 -g 2048 -N 4096", "-t ext4 -b 1024 -g 2048 -O ^metadata_csum,uninit_bg",
		"-t ext4 -b 1024 -g 1024 -O ^flex_bg", "-t ext4 -b 4096", "-t ext4 -O meta_bg,^resize_inode -b 1024 -g 1024",
		"-t ext4 -O sparse_super2 -b 1024 -g 2048", "-t ext4 -b 1024 -g 2048 -O ^has_journal,^resize_inode,^64bit",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			image := fsedittest.NewImage(t, 40<<20)
			if err := os.WriteFile(image, noise(4, 40<<20), 0o600); err != nil {
				t.Fatal(err)
			}
			extra := []string{"-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard,assume_storage_prezeroed=0"}
			if out, err := testtool.Try(t, "mke2fs", append(append(extra, strings.Fields(args)...), image)...); err != nil {
				t.Fatal(out)
			}
			fsedittest.CheckExt(t, image)
			change(t, image, func(w editWorld) error {
				for i := range 2000 {
					if err := w.put(fmt.Sprintf("f%d", i), noise(uint64(i), i%4*3000)); err != nil {
						return err
					}
				}
				return nil
			})
			dir, unmount := fsedittest.Mount(t, image, "ro")
			for i := range 2000 {
				got, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("f%d", i)))
				if err != nil || !bytes.Equal(got, noise(uint64(i), i%4*3000)) {
					t.Fatalf("%d: %v", i, err)
				}
			}
			unmount()
			kernelEdits(t, image, "")
		})
	}
}

// TestOrphans edits filesystems that crashed while deleted files were open.
func TestOrphans(t *testing.T) {
	for _, args := range []string{"-t ext4", "-t ext4 -O orphan_file -b 1024", "-t ext3 -b 1024", "-t ext4 -O ^extent,^64bit"} {
		t.Run(args, func(t *testing.T) {
			image := mkfsRow{args: args}.mkfs(t)
			dir, unmount := fsedittest.Mount(t, image, "")
			var files []*os.File
			for i := range 20 {
				f, err := os.Create(filepath.Join(dir, fmt.Sprintf("f%d", i)))
				if err != nil {
					t.Fatal(err)
				}
				f.Write(noise(uint64(i), 5000+i*3000))
				unix.Fsetxattr(int(f.Fd()), "user.big", bytes.Repeat([]byte("v"), 300), 0)
				files = append(files, f)
			}
			if err := os.WriteFile(filepath.Join(dir, "stays"), []byte("stays"), 0o600); err != nil {
				t.Fatal(err)
			}
			syncFS(t, dir)
			for _, f := range files {
				os.Remove(f.Name())
			}
			syncFS(t, dir)
			crashed := fsedittest.CopyImage(t, image)
			for _, f := range files {
				f.Close()
			}
			unmount()
			if s := open(t, fsedittest.OpenWritable(t, crashed)).super(); s.LastOrphan == 0 && s.FeatureROCompat&frOrphanPresent == 0 {
				t.Fatal("the crashed image has no orphans")
			}
			change(t, crashed, func(w editWorld) error { return w.put("new", noise(9, 10000)) })
			dir, unmount = fsedittest.Mount(t, crashed, "ro")
			if p, err := os.ReadFile(filepath.Join(dir, "stays")); err != nil || string(p) != "stays" {
				t.Error(err)
			}
			unmount()
			kernelEdits(t, crashed, "")
		})
	}
}

// TestRefused lists what must not be edited, by the name of what is in the way.
func TestRefused(t *testing.T) {
	for _, x := range []struct{ args, super, why string }{
		{"-t ext4 -O bigalloc", "", "bigalloc"},
		{"-t ext4 -O quota", "", "quota"},
		{"-t ext4", "state 2", "errors"},
		{"-t ext4 -O mmp", "", "protection"},
	} {
		image := mkfsRow{args: x.args, size: 64}.mkfs(t)
		if x.super != "" {
			testtool.Run(t, "debugfs", "-w", "-R", "set_super_value "+x.super, image)
		}
		dev := fsedittest.OpenWritable(t, image)
		v := open(t, dev)
		if v.hasIncompat(fiMMP) { // a host has it mounted: any sequence but "clean"
			if _, err := dev.WriteAt([]byte{5, 0, 0, 0}, v.byteOff(v.super().MMPBlock)+4); err != nil {
				t.Fatal(err)
			}
		}
		_, err := v.Edit(filesys.EditOptions{Now: time.Now()})
		if !errors.Is(err, ondisk.ErrUnsupported) || !strings.Contains(err.Error(), x.why) {
			t.Errorf("%s %s: %v", x.args, x.super, err)
		}
	}
	refuseObjects(t)
	image := mkfsRow{args: "-t ext4"}.mkfs(t)
	v := open(t, fsedittest.OpenImage(t, image))
	if _, err := v.Edit(filesys.EditOptions{Now: time.Now()}); !errors.Is(err, ondisk.ErrReadOnly) {
		t.Errorf("a device that cannot be written: %v", err)
	}
	v = open(t, fsedittest.OpenWritable(t, image))
	edit(t, v)
	if _, err := v.Edit(filesys.EditOptions{Now: time.Now()}); !errors.Is(err, ondisk.ErrInUse) {
		t.Errorf("a second transaction: %v", err)
	}
}

// TestUnmountable judges by e2fsck and debugfs what this kernel does not mount.
func TestUnmountable(t *testing.T) {
	for _, args := range testtool.Some(2, []string{"-t ext4 -b 65536", "-t ext4 -b 65536 -O ^metadata_csum,^extent,^64bit", "-t ext4 -O casefold", "-t ext4 -O verity,project -I 256"}) {
		t.Run(args, func(t *testing.T) {
			image := mkfsRow{args: args, size: 256}.mkfs(t)
			want := noise(5, 200000)
			change(t, image, func(w editWorld) error {
				if err := w.mkdir("dir", 0o755); err != nil {
					return err
				}
				for i := range 1200 {
					if err := w.create(fmt.Sprintf("dir/%d-%s", i, strings.Repeat("n", i%200)), 0o644); err != nil {
						return err
					}
				}
				return errors.Join(w.put("file", want), w.setXattr("file", "user.big", noise(6, 900)), w.symlink("link", strings.Repeat("l", 300)))
			})
			out := filepath.Join(t.TempDir(), "out")
			testtool.Run(t, "debugfs", "-R", "dump /file "+out, image)
			if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			change(t, image, func(w editWorld) error {
				for i := range 1190 {
					if err := w.remove(fmt.Sprintf("dir/%d-%s", i, strings.Repeat("n", i%200))); err != nil {
						return err
					}
				}
				return errors.Join(w.remove("file"), w.remove("link"))
			})
		})
	}
}

// TestErrors holds operations that must fail and change nothing.
func TestErrors(t *testing.T) {
	image := mkfsRow{args: "-t ext4"}.mkfs(t)
	overlay := fsedittest.OpenWritable(t, image)
	v := open(t, overlay)
	w := edit(t, v)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(errors.Join(w.mkdir("a", 0o755), w.mkdir("a/b", 0o755), w.put("f", []byte("x")), w.symlink("l", "f")))
	f, _ := w.node("f")
	dir, _ := w.node("a")
	for _, x := range []struct {
		what string
		err  error
		want error
	}{
		{"own subtree", w.rename("a", "a/b/c"), filesys.ErrInvalid},
		{"itself", w.rename("a", "a/a"), filesys.ErrInvalid},
		{"not empty", w.remove("a"), filesys.ErrNotEmpty},
		{"taken", w.create("f", 0), fs.ErrExist},
		{"missing", w.remove("none"), fs.ErrNotExist},
		{"dot", w.mkdir("a/..x/", 0), fs.ErrNotExist},
		{"dots", w.in("a/x", func(d filesys.Node, _ string) error { return w.Remove(d, "..") }), filesys.ErrName},
		{"slash", w.in("x", func(d filesys.Node, _ string) error { _, err := w.Create(d, "a/b", filesys.NewAttr{}); return err }), filesys.ErrName},
		{"256 bytes", w.create(strings.Repeat("n", 256), 0), filesys.ErrName},
		{"link of a directory", w.link("a", "a2"), filesys.ErrIsDir},
		{"content of a directory", w.write("a", whole(nil)), filesys.ErrIsDir},
		{"content of a link", w.write("l", whole(nil)), filesys.ErrNotFile},
		{"in a file", w.in("x", func(filesys.Node, string) error { _, err := w.Create(f, "x", filesys.NewAttr{}); return err }), filesys.ErrNotDir},
		{"an unknown xattr", w.setXattr("f", "weird.x", nil), ondisk.ErrUnsupported},
		{"a large xattr", w.setXattr("f", "user.x", make([]byte, 5000)), ondisk.ErrNoSpace},
		{"a missing xattr", w.removeXattr("f", "user.none"), fs.ErrNotExist},
		{"a broken ACL", w.setXattr("f", "system.posix_acl_access", append(le.AppendUint32(nil, 2), 2, 0, 7, 0, 255, 255, 255, 255)), filesys.ErrInvalid},
		{"an empty link", w.symlink("e", ""), filesys.ErrInvalid},
		{"a huge file", w.WriteFile(f, &sparse{size: 1 << 50}), ondisk.ErrUnsupported},
	} {
		if !errors.Is(x.err, x.want) {
			t.Errorf("%s: %v, want %v", x.what, x.err, x.want)
		}
	}
	if list, err := w.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	must(w.Commit(t.Context()))
	if err := w.create("late", 0); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("after Commit: %v", err)
	}
	fsedittest.Save(t, overlay, image)
	fsedittest.CheckExt(t, image)
}

// TestFlags replaces a file that chattr(1) made immutable, and keeps that.
func TestFlags(t *testing.T) {
	image := mkfsRow{args: "-t ext4"}.mkfs(t)
	change(t, image, func(w editWorld) error { return w.put("resolv.conf", []byte("old")) })
	dir, unmount := fsedittest.Mount(t, image, "")
	testtool.Run(t, "chattr", "+i", filepath.Join(dir, "resolv.conf"))
	unmount()
	change(t, image, func(w editWorld) error { return w.write("resolv.conf", whole([]byte("new"))) })
	dir, unmount = fsedittest.Mount(t, image, "")
	defer unmount()
	name := filepath.Join(dir, "resolv.conf")
	if p, err := os.ReadFile(name); err != nil || string(p) != "new" {
		t.Errorf("%q, %v", p, err)
	}
	if os.WriteFile(name, []byte("x"), 0) == nil {
		t.Error("it is not immutable any more")
	}
	testtool.Run(t, "chattr", "-i", name)
}

// recorder notes where a commit writes.
type recorder struct {
	blockdev.Writable
	writes []int64
}

func (r *recorder) WriteAt(p []byte, off int64) (int, error) {
	r.writes = append(r.writes, off)
	return r.Writable.WriteAt(p, off)
}

// TestOrder demands that the superblock comes last, and nothing before Commit.
func TestOrder(t *testing.T) {
	image := mkfsRow{args: "-t ext4 -b 1024"}.mkfs(t)
	r := &recorder{Writable: fsedittest.OpenWritable(t, image)}
	w := edit(t, open(t, r))
	if err := w.put("f", noise(1, 50000)); err != nil {
		t.Fatal(err)
	}
	if len(r.writes) != 0 {
		t.Errorf("%d writes before Commit", len(r.writes))
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(r.writes); n == 0 || r.writes[n-1] != 1024 {
		t.Errorf("the last of %d writes is not the superblock", n)
	}
}

// syncFS writes what the kernel holds of one mount to its image.
func syncFS(t testing.TB, dir string) {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		t.Fatal(err)
	}
}

// TestHoles keeps holes, and writes no extent that says "unwritten": GRUB reads
// through those.
func TestHoles(t *testing.T) {
	for _, args := range []string{"-t ext4", "-t ext3 -b 1024"} {
		image := mkfsRow{args: args}.mkfs(t)
		content := &sparse{size: 1<<30 + 5, parts: map[int64][]byte{
			0: noise(1, 10), 40000: noise(2, 9000), 1 << 29: noise(3, 70000), 1 << 30: []byte("tail"),
		}}
		change(t, image, func(w editWorld) error {
			return errors.Join(w.create("sparse", 0o600), w.write("sparse", content))
		})
		if out := testtool.Run(t, "debugfs", "-R", "stat /sparse", image); strings.Contains(out, "[u]") {
			t.Error(out)
		}
		dir, unmount := fsedittest.Mount(t, image, "ro")
		name := filepath.Join(dir, "sparse")
		var st unix.Stat_t
		if err := unix.Stat(name, &st); err != nil || st.Blocks > 300 || st.Size != content.size {
			t.Errorf("%s: %d sectors, %d bytes, %v", args, st.Blocks, st.Size, err)
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		for at := range content.parts {
			got, want := make([]byte, 100000), make([]byte, 100000)
			n, _ := f.ReadAt(got, at)
			m, _ := content.ReadAt(want, at)
			if n != m || !bytes.Equal(got, want) {
				t.Errorf("%s: differs from %d on", args, at)
			}
		}
		f.Close()
		unmount()
	}
}

// refuseObjects: a directory that ignores case, and a value in an inode of its own.
func refuseObjects(t *testing.T) {
	image := mkfsRow{args: "-t ext4 -O casefold"}.mkfs(t)
	change(t, image, func(w editWorld) error { return w.mkdir("fold", 0o755) })
	testtool.Run(t, "debugfs", "-w", "-R", fmt.Sprintf("set_inode_field /fold flags %#x", flCasefold|flExtents), image)
	change(t, image, func(w editWorld) error {
		if err := w.create("fold/x", 0o600); !errors.Is(err, ondisk.ErrUnsupported) {
			t.Errorf("in a casefold directory: %v", err)
		}
		return nil
	})
	image = mkfsRow{args: "-t ext4 -O ea_inode"}.mkfs(t)
	dir, unmount := fsedittest.Mount(t, image, "")
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("f"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setxattr(filepath.Join(dir, "f"), "user.big", noise(1, 40000), 0); err != nil {
		t.Fatal(err)
	}
	unmount()
	change(t, image, func(w editWorld) error {
		for what, err := range map[string]error{
			"removing it": w.removeXattr("f", "user.big"), "replacing it": w.setXattr("f", "user.big", nil), "removing the file": w.remove("f"),
		} {
			if !errors.Is(err, ondisk.ErrUnsupported) {
				t.Errorf("a value in an inode of its own, %s: %v", what, err)
			}
		}
		return errors.Join(w.write("f", whole(noise(2, 9000))), w.setXattr("f", "user.small", []byte("s")), w.chmod("f", 0o644))
	})
	kernelEdits(t, image, "")
}
