//go:build linux

package xfs

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// editImage runs one transaction on an image.
func editImage(t testing.TB, image string, f func(w editWorld)) *volume {
	t.Helper()
	o := fsedittest.OpenWritable(t, image)
	v := open(t, o)
	e, err := v.Edit(filesys.EditOptions{Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	f(editWorld{e})
	if err := e.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	fsedittest.Save(t, o, image)
	return v
}

// colliding makes n names of eight bytes with one hash.
func colliding(n int) []string {
	r := rand.New(rand.NewPCG(3, 4))
	var out []string
	want := nameHash([]byte("collides"))
	for len(out) < n {
		var p [8]byte
		for i := range p {
			p[i] = byte(1 + r.IntN(255))
		}
		need := want ^ nameHash(append(p[:4:4], 1, 1, 1, 1)) ^ nameHash([]byte{0, 0, 0, 0, 1, 1, 1, 1}) // what the second half adds
		if need >= 1<<29 {
			continue
		}
		p[4], p[5], p[6], p[7] = byte(need>>21), byte(need>>14&127), byte(need>>7&127), byte(need&127)
		if name := string(p[:]); !strings.ContainsAny(name, "/\x00") && nameHash(p[:]) == want {
			out = append(out, name)
		}
	}
	return out
}

// extentsOf is content in n pieces.
func extentsOf(n int, block int64) *sparse {
	c := &sparse{size: int64(2*n) * block, parts: map[int64][]byte{}}
	for i := range int64(n) {
		c.parts[2*i*block] = []byte(fmt.Sprint("piece ", i))
	}
	return c
}

// shapes makes directories, files, links and attributes of every form.
func shapes(t *testing.T, w world, block int64, round int) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	name := func(dir, i int) string { return fmt.Sprintf("d%d/%d-%s", dir, i, strings.Repeat("n", i*7%60)) }
	sizes := []int{0, 1, 2, 9, 20, 40, 150, 400, 1500, 4000}
	if round > 0 {
		for _, n := range sizes {
			for i := 0; i < n-n/10; i += 1 + i%3 {
				must(w.remove(name(n, i)))
			}
		}
		must(w.rename("d400", "long/moved"))
		must(w.rename("d9", "d1"+strings.TrimPrefix(name(1, 0), "d1")+"x"))
		must(w.write("extents/3000", extentsOf(7, block)))
		must(w.removeXattr("extents/21", "user.a"))
		for i := range 40 {
			must(w.removeXattr("many", fmt.Sprintf("user.attr-%d", i)))
		}
		return
	}
	for _, n := range sizes {
		must(w.mkdir(fmt.Sprintf("d%d", n), 0o755))
		for i := range n {
			if i%5 == 0 {
				must(w.symlink(name(n, i), "target"))
			} else {
				must(w.create(name(n, i), 0o644))
			}
		}
	}
	must(w.mkdir("long", 0o755))
	for i := range 60 {
		must(w.create(fmt.Sprintf("long/%s%03d", strings.Repeat("l", 252), i), 0o600))
	}
	must(w.mkdir("collide", 0o755))
	for _, name := range colliding(100) {
		must(w.create("collide/"+name, 0o600))
	}
	must(w.mkdir("extents", 0o755))
	for _, n := range []int{0, 1, 18, 19, 20, 21, 22, 60, 300, 3000} {
		file := fmt.Sprintf("extents/%d", n)
		must(w.create(file, 0o644))
		must(w.write(file, extentsOf(n, block)))
		must(w.setXattr(file, "user.a", bytes.Repeat([]byte("a"), n%200)))
	}
	must(w.create("many", 0o644))
	for i := range 120 {
		must(w.setXattr("many", fmt.Sprintf("user.attr-%d", i), bytes.Repeat([]byte{'m'}, i*3)))
	}
	for i, n := range []int{1, 100, 255, 256, 700, 3000, 5000, 65536} {
		file := fmt.Sprintf("value%d", n)
		must(w.create(file, 0o644))
		must(w.setXattr(file, "user.v", bytes.Repeat([]byte{byte(i + 1)}, n)))
		must(w.setXattr(file, "security.selinux", []byte("system_u:object_r:etc_t:s0\x00")))
		link := fmt.Sprintf("link%d", n)
		must(w.symlink(link, strings.Repeat("t", min(1000, 40*(i+1)))))
		must(w.setXattr(link, "security.selinux", []byte("system_u:object_r:etc_t:s0\x00")))
		must(w.setXattr(link, "trusted.more", bytes.Repeat([]byte("v"), 60*i)))
		must(w.mknod(fmt.Sprintf("node%d", i), filesys.CharDev|0o600, uint32(i), 70000))
		must(w.setXattr(fmt.Sprintf("node%d", i), "security.selinux", bytes.Repeat([]byte("v"), 60*i+1)))
		for k := range 12 {
			must(w.create(fmt.Sprintf("d2/%d-%d", i, k), 0o600))
		}
		must(w.setXattr("d2", fmt.Sprintf("trusted.d%d", i), bytes.Repeat([]byte("d"), 20)))
	}
}

// TestShapes compares every form of directory, map and attributes with what the
// kernel makes of the same operations.
func TestShapes(t *testing.T) {
	rows := []mkfsRow{
		{name: "default"},
		{name: "1k-rmapbt", args: "-b size=1024 -m rmapbt=1 -i nrext64=1"},
		{name: "v4-ftype0", args: "-m crc=0 -n ftype=0"},
		{name: "dir64k", args: "-n size=65536"},
		{name: "v4-1k", args: "-m crc=0 -b size=1024"},
		{name: "v4-i512-dir16k", args: "-m crc=0 -i size=512 -n size=16384"},
		{name: "i2048-nofinobt", args: "-i size=2048 -m finobt=0"},
	}
	for _, row := range testtool.Some(4, rows) {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			v4 := strings.Contains(row.args, "crc=0")
			ours, other := row.mkfs(t), row
			if v4 { // which this kernel may not mount
				other.args = ""
			}
			twin := other.mkfs(t)
			dir, unmount := fsedittest.Mount(t, twin, "")
			start := time.Now()
			var v *volume
			for round := range 2 {
				block := int64(4096)
				v = editImage(t, ours, func(w editWorld) { shapes(t, w, block, round) })
				shapes(t, hostWorld{dir}, block, round)
				checkRepair(t, ours)
				checkFree(t, ours)
			}
			files := sums(t, dir)
			unmount()
			root, _ := v.Root("")
			want, got := readMounted(t, twin), recent(fsedittest.ReadFS(t, root), start)
			ign := fsedittest.Ignore{Blocks: true, Xattr: kernelOnly.Xattr}
			fsedittest.Compare(t, recent(want, start), got, ign)
			grubReads(t, ours, got)
			if !v4 {
				fsedittest.Compare(t, want, recent(readMounted(t, ours), start), ign)
				useOn(t, ours, "", files)
			}
		})
	}
}

// grubReads lists directories of every form with GRUB's own driver.
func grubReads(t *testing.T, image string, want fsedittest.Tree) {
	t.Helper()
	testtool.Need(t, "grub-fstest")
	for _, dir := range []string{"d0", "d1", "d20", "d40", "d150", "d1500", "d4000", "long/moved"} {
		out := testtool.Run(t, "grub-fstest", image, "ls", "(loop0)/"+dir)
		n := 0
		for p := range want {
			if base, ok := strings.CutPrefix(p, dir+"/"); ok && !strings.Contains(base, "/") {
				n++
				if !strings.Contains(out, base) {
					t.Errorf("GRUB does not list %s", p)
				}
			}
		}
		if len(strings.Fields(out)) != n {
			t.Errorf("GRUB lists %d names in %s, want %d", len(strings.Fields(out)), dir, n)
		}
	}
	for _, n := range []int{1, 22, 300} {
		got := testtool.Run(t, "grub-fstest", image, "cat", fmt.Sprintf("(loop0)/extents/%d", n))
		p := make([]byte, 2*n*4096)
		extentsOf(n, 4096).ReadAt(p, 0)
		if got != string(p) {
			t.Errorf("GRUB reads something else in the file of %d extents", n)
		}
	}
}

// TestOrphans: files that were deleted while open are freed before anything else.
func TestOrphans(t *testing.T) {
	for _, args := range []string{"", "-b size=1024 -m rmapbt=1 -i nrext64=1"} {
		image := mkfsRow{args: args}.mkfs(t)
		dir, unmount := fsedittest.Mount(t, image, "")
		for i := range 30 {
			f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
			if err != nil {
				t.Fatal(err)
			}
			f.Write(bytes.Repeat([]byte("x"), i*5000))
			testtool.Run(t, "setfattr", "-n", "user.a", "-v", strings.Repeat("v", i*100), f.Name())
			if i%2 == 0 {
				os.Remove(f.Name())
			}
			defer f.Close()
		}
		testtool.Run(t, "xfs_io", "-x", "-c", "shutdown -f", dir)
		dirty := fsedittest.CopyImage(t, image)
		_ = unmount
		v := editImage(t, dirty, func(w editWorld) {
			if err := w.create("new", 0o644); err != nil {
				t.Error(err)
			}
		})
		if left, err := v.orphans(); left || err != nil {
			t.Error("orphans are left", err)
		}
		checkRepair(t, dirty)
		kernelEdits(t, dirty, "nouuid")
	}
}

// TestEditFull fills a filesystem: what fails leaves nothing behind, and the rest is good.
func TestEditFull(t *testing.T) {
	for _, args := range []string{"-d agcount=2", "-b size=1024 -m rmapbt=1 -d agcount=2"} {
		image := mkfsRow{args: args, size: 40}.mkfs(t)
		want := fsedittest.Tree{}
		v := editImage(t, image, func(w editWorld) {
			r := rand.New(rand.NewPCG(9, 9))
			failed := 0
			for i := 0; failed < 60; i++ {
				name := fmt.Sprintf("%d-%s", i, strings.Repeat("x", i%150))
				err := w.create(name, 0o644)
				switch n := r.IntN(3); {
				case err != nil:
				case n == 0:
					err = w.setXattr(name, "user.v", make([]byte, r.IntN(30000)))
				case n == 1 && i%7 == 0:
					err = w.write(name, extentsOf(r.IntN(600), 4096))
				}
				if err == nil {
					continue
				}
				if !errors.Is(err, ondisk.ErrNoSpace) {
					t.Fatal(err)
				}
				if failed++; failed%20 == 0 {
					for range 5 {
						w.remove(fmt.Sprintf("%d-%s", failed, strings.Repeat("x", failed%150)))
					}
				}
			}
			want = fsedittest.ReadFS(t, w)
		})
		root, _ := v.Root("")
		fsedittest.Compare(t, want, fsedittest.ReadFS(t, root), fsedittest.Ignore{Blocks: true})
		checkRepair(t, image)
		checkFree(t, image)
		dir, unmount := fsedittest.Mount(t, image, "")
		fsedittest.Compare(t, want, fsedittest.ReadHost(t, dir), fsedittest.Ignore{Blocks: true})
		noKernelErrors(t, loopOf(t, dir))
		if !t.Failed() { // where the kernel lacks its reserves, a removal can stop it for good
			os.Remove(filepath.Join(dir, "100-"+strings.Repeat("x", 100)))
		}
		unmount()
		checkRepair(t, image)
	}
}

// TestManyNames makes many files in one directory: each costs the same.
func TestManyNames(t *testing.T) {
	n := 20000
	if testtool.All() {
		n = 100000
	}
	image := mkfsRow{args: "-m rmapbt=1", size: 300}.mkfs(t)
	start := time.Now()
	editImage(t, image, func(w editWorld) {
		for i := range n {
			if err := w.create(fmt.Sprintf("name-%d", i), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Logf("%d names in %v", n, time.Since(start))
	checkRepair(t, image)
	dir, unmount := fsedittest.Mount(t, image, "")
	if list, err := os.ReadDir(dir); err != nil || len(list) != n {
		t.Errorf("%d names, %v", len(list), err)
	}
	unmount()
}

// TestEditRefused: what the editor could not do right is refused, and named.
func TestEditRefused(t *testing.T) {
	seed := blockdev.FromBytes(loadSeed(t, "v5.img.gz").raw)
	for _, x := range []struct {
		off  int
		bit  uint32
		name string
	}{
		{sbIncompat, fiNeedsRepair, "xfs_repair"},
		{sbIncompat, fiParent, "parent"},
		{sbIncompat, fiMetadir, "metadir"},
		{212, 1 << 20, "ro_compat bit 0x100000"},
		{220, 1 << 7, "log_incompat bit 0x80"},
	} {
		dev := patched(t, seed, func(raw []byte) { be.PutUint32(raw[x.off:], be.Uint32(raw[x.off:])|x.bit) })
		v := open(t, dev)
		_, err := v.Edit(filesys.EditOptions{Now: time.Now()})
		if !errors.Is(err, ondisk.ErrUnsupported) || !strings.Contains(err.Error(), x.name) || v.Info().ReadOnly == "" {
			t.Errorf("%s: %v", x.name, err)
		}
	}
	v := open(t, blockdev.NewOverlay(seed, blockdev.OverlayOptions{}))
	if v.Info().ReadOnly != "" {
		t.Error(v.Info().ReadOnly)
	}
	e, err := v.Edit(filesys.EditOptions{Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Edit(filesys.EditOptions{Now: time.Now()}); !errors.Is(err, ondisk.ErrInUse) {
		t.Error(err)
	}
	e.Abort()
}
