//go:build linux

package xfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// sparseImage has chunks of which the kernel made a part only, since no free run
// holds 32 blocks where a whole one may start.
func sparseImage(t testing.TB, args string) string {
	t.Helper()
	image := mkfsRow{args: "-b size=1024 " + args, size: 40}.mkfs(t)
	dir, unmount := fsedittest.Mount(t, image, "")
	fillUp(t, dir)
	unmount()
	punch := map[string][]string{}
	f := &tree{open(t, fsedittest.OpenImage(t, image))}
	list, err := f.ReadDir(f.Root())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		in := lookup(t, f, d.Name)
		m, err := f.v.mapOf(f.v.dataFork(in))
		if err != nil {
			t.Fatal(err)
		}
		for r, err := m.find(0); err == nil && r.kind == runData; r, err = m.find(r.end()) {
			_, agbno := f.v.split(r.phys)
			for at := uint64(32-agbno%32) + 1; at+50 <= r.count; at += 96 {
				punch[d.Name] = append(punch[d.Name], "-c", fmt.Sprintf("fpunch %dk 50k", r.logical+at))
			}
		}
	}
	dir, unmount = fsedittest.Mount(t, image, "")
	for name, cmd := range punch {
		testtool.Run(t, "xfs_io", append(cmd, filepath.Join(dir, name))...)
	}
	testtool.Run(t, "xfs_io", "-f", "-c", "falloc 0 5m", filepath.Join(dir, "long runs"))
	for i := range 4500 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("e%d", i)), nil, 0o644); err != nil {
			break
		}
	}
	unmount()
	return image
}

// TestSparseInodes takes all free inodes of sparse chunks, and gives them back.
func TestSparseInodes(t *testing.T) {
	t.Parallel()
	for _, args := range testtool.Some(1, []string{"-m rmapbt=1", "-m finobt=0"}) {
		image := sparseImage(t, args)
		m := newMover(t, image)
		holes := 0
		for ag := range m.v.agCount {
			g, err := m.space.group(ag)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range g.chunks {
				if c.hole != 0 {
					holes++
				}
			}
		}
		if holes < 3 {
			t.Errorf("%d sparse chunks", holes)
		}
		n := 0
		for range 3000 {
			err := m.stage.Do(func() error { return m.burst(m.v.super.RootIno, 1) })
			if err == nil {
				_, err = m.space.newInode(m.v.super.RootIno)
			}
			if errors.Is(err, ondisk.ErrNoSpace) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			n++
		}
		m.finish()
		for ag := range m.v.agCount { // what was written can be read
			fresh := moverOf(t, m.dev, m.v).space
			fresh.v = m.v
			if _, err := fresh.group(ag); err != nil {
				t.Error(err)
			}
		}
		m = newMover(t, image)
		if err := m.stage.Do(func() error { return m.burst(m.v.super.RootIno, n) }); err != nil {
			t.Fatal(n, err)
		}
		m.finish()
		m.write(image)
		checkRepair(t, image)
		checkFree(t, image)
	}
}

// TestInodesEverywhere makes chunks in AGs that have none.
func TestInodesEverywhere(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"-m rmapbt=1 -d agcount=5", "-b size=65536 -d agcount=3 -m rmapbt=1", "-d agcount=2,sunit=256,swidth=512", "-d agcount=4 -i size=2048,sparse=0"} {
		image := mkfsRow{args: args, size: 500}.mkfs(t)
		m := newMover(t, image)
		for ag := range m.v.agCount {
			for range 70 {
				num, err := m.space.newInode(m.v.inodeNumber(ag, 128))
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := m.space.freeInode(num); err != nil {
						t.Error(err)
					}
				}()
			}
		}
	}
	image := mkfsRow{args: "-m rmapbt=1 -d agcount=5", size: 500}.mkfs(t)
	for range 2 {
		m := newMover(t, image)
		if err := m.space.survey(); err != nil {
			t.Fatal(err)
		}
		for ag := range m.v.agCount {
			g, err := m.space.group(ag)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.stage.Do(func() error { _, err := m.space.inodeOfNewChunk(ag); return err }); err != nil {
				t.Fatal(err)
			}
			last := g.chunks[len(g.chunks)-1]
			for i := range chunkInodes {
				if last.free>>i&1 == 0 {
					m.space.freeInode(m.v.inodeNumber(ag, last.start+uint32(i)))
				}
			}
		}
		m.finish()
		m.write(image)
		checkRepair(t, image)
		useOn(t, image, "", nil)
		dir, unmount := fsedittest.Mount(t, image, "")
		if err := os.RemoveAll(filepath.Join(dir, "more")); err != nil {
			t.Error(err)
		}
		unmount()
	}
}

// TestInodeLimit: no more inodes are made than the superblock allows.
func TestInodeLimit(t *testing.T) {
	t.Parallel()
	m := newMover(t, mkfsRow{args: "-i maxpct=1", size: 96}.mkfs(t))
	n := uint64(0)
	for {
		if _, err := m.space.newInode(0); errors.Is(err, ondisk.ErrNoSpace) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if all := m.v.blockCount / 100 << m.v.inopBits; n > all || n < all-200 {
		t.Errorf("%d inodes, 1%% of the blocks hold %d", n, all)
	}
}

// TestQuotaFlags: counters of quotas are to be counted anew.
func TestQuotaFlags(t *testing.T) {
	t.Parallel()
	dev := patched(t, fsedittest.OpenImage(t, mkfsRow{args: ""}.mkfs(t)), func(raw []byte) {
		be.PutUint16(raw[100:], be.Uint16(raw[100:])|fvQuota)
		be.PutUint16(raw[sbQFlags:], 0x7|0x240)
		be.PutUint16(raw[sbQFlags:], 0x7|0xC0|0x600|0x8)
	})
	m := moverOn(t, dev.(*blockdev.Overlay))
	if _, err := m.space.newInode(0); err != nil {
		t.Fatal(err)
	}
	m.finish()
	raw, err := ondisk.Bytes(m.stage, 0, m.v.sectorSize)
	if err != nil {
		t.Fatal(err)
	}
	if got := be.Uint16(raw[sbQFlags:]); got != 0x3|0x40|0x200|0x8 {
		t.Errorf("flags %#x", got)
	}
}

// TestRecordLimit: an AG with more records than memory is for is refused.
func TestRecordLimit(t *testing.T) {
	t.Parallel()
	dev := fsedittest.OpenWritable(t, usedImage(t, "-m rmapbt=1"))
	vol, err := Driver{}.Open(t.Context(), []blockdev.Device{dev}, filesys.Options{Limits: ondisk.Limits{Table: 4000}})
	if err != nil {
		t.Fatal(err)
	}
	m := moverOf(t, dev, vol.(*volume))
	if _, err := m.space.newInode(0); !errors.Is(err, ondisk.ErrTooBig) {
		t.Error(err)
	}
}

// copying is a filesystem that stopped amid a copy on write, and its files.
func copying(t testing.TB) (image string, want map[string]string) {
	t.Helper()
	image = mkfsRow{args: "-m rmapbt=1"}.mkfs(t)
	dir, unmount := fsedittest.Mount(t, image, "")
	fragment(t, dir, 100)
	share(t, dir)
	tangle(t, dir)
	testtool.Run(t, "sync", "-f", dir)
	testtool.Run(t, "xfs_io", "-c", "cowextsize 1m", "-c", "pwrite -q 300000 8000", "-c", "fsync",
		"-c", "pwrite -q 1300000 5000", filepath.Join(dir, "shared2"))
	want = sums(t, dir)
	delete(want, "/shared2") // not all of it has been written
	testtool.Run(t, "xfs_io", "-x", "-c", "shutdown -f", dir)
	unmount()
	return image, want
}

// TestUnfinishedCopy: blocks that a copy on write had taken when the machine stopped
// are given back.
func TestUnfinishedCopy(t *testing.T) {
	t.Parallel()
	image, want := copying(t)
	m := newMover(t, image)
	if left, err := m.v.unfinishedCopies(); !left || err != nil {
		t.Error("copies are not seen: ", err)
	}
	if m.base.unended == nil {
		t.Error("the log was ended, so that no kernel will see to them")
	}
	if err := m.stage.Do(m.space.dropCopies); err != nil {
		t.Error(err)
	}
	m.cutAll()
	m.finish()
	m.write(image)
	if left, err := open(t, m.dev).unfinishedCopies(); left || err != nil {
		t.Error("copies are left: ", err)
	}
	checkRepair(t, image)
	dir, unmount := fsedittest.Mount(t, image, "")
	got := sums(t, dir)
	for name, sum := range want {
		if got[name] != sum {
			t.Errorf("%s changed", name)
		}
	}
	unmount()
	checkRepair(t, image)
}

// TestEditOfUnfinishedCopy: an editor does it when it begins.
func TestEditOfUnfinishedCopy(t *testing.T) {
	t.Parallel()
	image, _ := copying(t)
	dev := fsedittest.OpenWritable(t, image)
	e, err := open(t, dev).Edit(filesys.EditOptions{Now: time.Unix(1e9, 0)})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Remove(e.Root(), "cut0"); err != nil {
		t.Error(err)
	}
	if err := e.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	fsedittest.Save(t, dev, image)
	checkRepair(t, image)
}
