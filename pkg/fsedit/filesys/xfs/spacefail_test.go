//go:build linux

package xfs

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// usedImage is a filesystem with everything that space looks at.
func usedImage(t testing.TB, args string) string {
	t.Helper()
	image := mkfsRow{args: args}.mkfs(t)
	dir, unmount := fsedittest.Mount(t, image, "")
	fragment(t, dir, 300)
	share(t, dir)
	tangle(t, dir)
	unmount()
	return image
}

// TestUndo compares a transaction with the same one among operations that failed:
// what is staged in the end is the same, byte by byte.
func TestUndo(t *testing.T) {
	t.Parallel()
	image := usedImage(t, "-m rmapbt=1")
	run := func(fails func() bool) *mover {
		m := newMover(t, image)
		r := rand.New(rand.NewPCG(3, 4))
		if done := m.shuffle(r, 100, fails); done < 20 {
			t.Errorf("only %d operations", done)
		}
		m.burstUndone(fails != nil)
		m.finish()
		return m
	}
	r := rand.New(rand.NewPCG(5, 6))
	a, b := run(nil), run(func() bool { return r.IntN(2) == 0 })
	if !slices.Equal(a.stage.Blocks(), b.stage.Blocks()) {
		t.Fatalf("blocks %d\nafter failures %d", a.stage.Blocks(), b.stage.Blocks())
	}
	for _, nr := range a.stage.Blocks() {
		if !bytes.Equal(a.stage.Block(nr), b.stage.Block(nr)) {
			t.Errorf("block %d differs", nr)
		}
	}
	if !slices.Equal(a.copies, b.copies) {
		t.Error("the files lie elsewhere")
	}
}

// burstUndone makes new chunks in operations that fail.
func (m *mover) burstUndone(failing bool) {
	if !failing {
		return
	}
	for i := range 3 {
		m.stage.Do(func() error {
			if err := m.burst(m.v.super.RootIno, 100*i+50); err != nil {
				m.t.Error(err)
			}
			m.cut(lookup(m.t, &tree{m.v}, "cut1").num)
			return errSkip
		})
	}
}

// TestNothingChanged: a transaction in which nothing happened writes nothing, and one
// in which an inode was taken from a chunk only what says so.
func TestNothingChanged(t *testing.T) {
	t.Parallel()
	image := usedImage(t, "-m rmapbt=1")
	m := newMover(t, image)
	m.finish()
	if m.stage.Len() != 0 {
		t.Error("blocks ", m.stage.Blocks())
	}
	m = newMover(t, image)
	num, err := m.space.newInode(m.v.super.RootIno)
	if err != nil {
		t.Fatal(err)
	}
	m.finish()
	ag, _ := m.v.agino(num)
	g := m.space.groups[ag]
	may := map[uint64]bool{0: true, m.space.stageBlock(ag, 0): true}
	for _, e := range g.runsOf(inobt, finobt) {
		for i := range e.count {
			may[m.space.stageBlock(ag, e.start+i)] = true
		}
	}
	for _, nr := range m.stage.Blocks() {
		if !may[nr] {
			t.Errorf("block %d was written", nr)
		}
	}
}

// TestTwice: what is free or was never a file's cannot be given back.
func TestTwice(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"-m rmapbt=1", "-m reflink=0"} {
		image := mkfsRow{args: args}.mkfs(t)
		dir, unmount := fsedittest.Mount(t, image, "")
		fragment(t, dir, 60)
		unmount()
		m := newMover(t, image)
		in := lookup(t, &tree{m.v}, "big")
		mp, err := m.v.mapOf(m.v.dataFork(in))
		if err != nil {
			t.Fatal(err)
		}
		r := mp.(*extentList).at(0)
		ag, agbno := m.v.split(r.phys)
		first := m.v.fsblock(uint32(ag), 0)
		refused := func(what string, o owner, r run) {
			t.Helper()
			err := m.stage.Do(func() error { return m.space.release(o, r) })
			if !errors.Is(err, ondisk.ErrCorrupt) {
				t.Errorf("%s: %v", what, err)
			}
		}
		own := owner{ino: in.num}
		if strings.Contains(args, "rmapbt=1") {
			refused("of another", owner{ino: in.num + 1}, r)
			refused("of the attributes", owner{ino: in.num, attr: true}, r)
			refused("at another place", own, run{logical: r.logical + 1, phys: r.phys, count: 1})
		}
		if err := m.stage.Do(func() error { return m.space.release(own, r) }); err != nil {
			t.Fatal(err)
		}
		refused("twice", own, r)
		refused("its last block twice", own, run{logical: r.end() - 1, phys: r.phys + r.count - 1, count: 1})
		refused("headers", own, run{phys: first, count: 1})
		refused("a tree", own, run{phys: first + uint64(m.space.groups[uint32(ag)].agf.Roots[0]), count: 1})
		refused("free blocks", own, run{phys: m.v.fsblock(uint32(ag), m.space.groups[uint32(ag)].avail[0].start), count: 1})
		refused("inodes", own, run{phys: m.v.super.RootIno >> m.v.inopBits, count: 1})
		refused("beyond the group", own, run{phys: r.phys, count: uint64(m.v.agSize(uint32(ag)) - agbno + 1)})
		refused("the log", own, run{phys: m.v.super.LogStart, count: 5})
		if err := m.space.freeInode(m.v.super.RootIno + 60); !errors.Is(err, ondisk.ErrCorrupt) {
			t.Errorf("a free inode: %v", err)
		}
		if err := m.space.freeInode(m.v.super.RootIno + 1<<20); !errors.Is(err, ondisk.ErrCorrupt) {
			t.Errorf("no inode: %v", err)
		}
	}
}

// TestFull fills a filesystem to the last block that is given out: it can be
// written, and so it can when all is taken away again.
func TestFull(t *testing.T) {
	t.Parallel()
	for _, row := range []mkfsRow{
		{name: "rmapbt", args: "-m rmapbt=1"}, {name: "1k", args: "-b size=1024"}, {name: "kernel", args: "-m rmapbt=1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			image := row.mkfs(t)
			dir, unmount := fsedittest.Mount(t, image, "")
			fragment(t, dir, 400)
			share(t, dir)
			tangle(t, dir)
			if row.name == "kernel" {
				fillUp(t, dir)
			}
			unmount()
			m := newMover(t, image)
			ino := lookup(t, &tree{m.v}, "cut0").num
			var all []run
			for n, at := uint64(4096), uint64(1<<30); n > 0; n /= 2 {
				for {
					var runs []run
					err := m.stage.Do(func() (err error) {
						runs, err = m.space.allocate(owner{ino: ino}, at, n)
						return err
					})
					if errors.Is(err, ondisk.ErrNoSpace) {
						break
					} else if err != nil {
						t.Fatal(err)
					}
					all, at = append(all, runs...), at+n
				}
			}
			if err := m.stage.Do(func() error { return m.burst(ino, 5000) }); !errors.Is(err, ondisk.ErrNoSpace) {
				t.Errorf("5000 inodes: %v", err)
			}
			for _, r := range all {
				if err := m.stage.Do(func() error { return m.space.release(owner{ino: ino}, r) }); err != nil {
					t.Fatal(err)
				}
			}
			m.shuffle(rand.New(rand.NewPCG(1, 2)), 100, nil)
			m.cutAll()
			m.finish()
			m.write(image)
			checkRepair(t, image)
			checkFree(t, image)
		})
	}
}

// fillUp takes all space that the kernel gives, and a little back.
func fillUp(t testing.TB, dir string) {
	for _, size := range []int{1 << 20, 64 << 10, 4 << 10} {
		for i := 0; ; i++ {
			name := filepath.Join(dir, fmt.Sprintf("fill%d-%d", size, i))
			if err := os.WriteFile(name, make([]byte, size), 0o644); err != nil {
				os.Remove(name)
				break
			}
		}
	}
	testtool.Run(t, "sync", "-f", dir)
}

// TestDamagedGroups changes what the trees of an AG say, with right checksums: the
// contradiction is found, and nothing is staged.
func TestDamagedGroups(t *testing.T) {
	t.Parallel()
	image := usedImage(t, "-m rmapbt=1 -d agcount=2")
	v := open(t, fsedittest.OpenImage(t, image))
	good, err := newMover(t, image).space.group(0)
	if err != nil {
		t.Fatal(err)
	}
	leaf := func(k *treeKind) int64 {
		return v.byteOff(uint64(good.trees[k].places[0][0])) + shortHeader5
	}
	agf, agi, agfl := v.agSector(0, agfSector), v.agSector(0, agiSector), v.agSector(0, agflSector)
	for _, x := range []struct {
		name string
		off  int64
		size int64 // of what the checksum is over
		xor  uint32
	}{
		{"free blocks", agf + agfFreeBlks, v.sectorSize, 1},
		{"longest", agf + agfLongest, v.sectorSize, 1},
		{"tree blocks", agf + agfBtreeBlks, v.sectorSize, 1},
		{"reverse map blocks", agf + agfRmapBlocks, v.sectorSize, 1},
		{"refcount blocks", agf + agfRefcountBlocks, v.sectorSize, 1},
		{"levels", agf + agfLevels, v.sectorSize, 1},
		{"list count", agf + agfFLCount, v.sectorSize, 1},
		{"inodes", agi + agiCount, v.sectorSize, 64},
		{"free inodes", agi + agiFreeCount, v.sectorSize, 1},
		{"inode blocks", agi + agiIBlocks, v.sectorSize, 1},
		{"list", agfl + agflHeader5 + int64(good.agf.FLFirst)*4, v.sectorSize, 64},
		{"bnobt start", leaf(bnobt), v.blockSize, 1},
		{"bnobt count", leaf(bnobt) + 4, v.blockSize, 1},
		{"cntbt", leaf(cntbt), v.blockSize, 1},
		{"cntbt count", leaf(cntbt) + 4, v.blockSize, 1},
		{"inobt start", leaf(inobt), v.blockSize, 64},
		{"inobt count", leaf(inobt) + 4, v.blockSize, 1},
		{"inobt hole", leaf(inobt) + 4, v.blockSize, 1 << 16},
		{"inobt mask", leaf(inobt) + 8, v.blockSize, 1 << 31},
		{"finobt mask", leaf(finobt) + 8, v.blockSize, 1 << 31},
		{"finobt start", leaf(finobt), v.blockSize, 64},
		{"rmapbt start", leaf(rmapbt) + 24, v.blockSize, 1},
		{"rmapbt count", leaf(rmapbt) + 24 + 4, v.blockSize, 1},
		{"rmapbt owner", leaf(rmapbt) + 24 + 12, v.blockSize, 1},
		{"refcount", leaf(refcountbt) + 8, v.blockSize, 0x7FFFFFFF},
		{"refcount start", leaf(refcountbt), v.blockSize, 1 << 30},
	} {
		o := fsedittest.OpenWritable(t, image)
		start := x.off - x.off%x.size
		raw, err := ondisk.Bytes(o, start, x.size)
		if err != nil {
			t.Fatal(err)
		}
		at := raw[x.off-start:]
		be.PutUint32(at, be.Uint32(at)^x.xor)
		st, ok := stampOf(raw)
		if !ok {
			t.Fatal(x.name)
		}
		st.seal(raw)
		o.WriteAt(raw, start)
		m := moverOn(t, o)
		if _, err := m.space.group(0); !errors.Is(err, ondisk.ErrCorrupt) {
			t.Errorf("%s: %v", x.name, err)
		}
	}
}

// FuzzSpace uses the space of filesystems that lie.
func FuzzSpace(f *testing.F) {
	images := loadSeeds(f)
	for i := range images {
		f.Add(uint8(i), uint64(i), []byte{})
		f.Add(uint8(i), uint64(i), []byte("\x01\x00\x34\x00\x02\xff\xff"))
	}
	f.Fuzz(func(t *testing.T, which uint8, seed uint64, edits []byte) {
		s := images[int(which)%len(images)]
		within(t, func() { exerciseSpace(t, s.mutated(s.sectors, edits), seed) })
	})
}

// exerciseSpace returns whether a transaction came to its end.
func exerciseSpace(t testing.TB, dev *blockdev.Overlay, seed uint64) bool {
	v, err := newVolume(dev, fuzzLimits)
	if err != nil || v.withPolicy(read) != nil {
		return false
	}
	m := moverOf(t, dev, v)
	if m == nil {
		return false
	}
	r := rand.New(rand.NewPCG(seed, 7))
	list, err := (&tree{m.v}).ReadDir((&tree{m.v}).Root())
	if err != nil || len(list) == 0 {
		return false
	}
	for range 20 {
		d := list[r.IntN(len(list))]
		m.stage.Do(func() error { return m.operation(d, r) })
		m.stage.Do(func() error { return m.cut(uint64(d.Node)) })
		m.stage.Do(func() error { return m.burst(uint64(d.Node), r.IntN(150)) })
	}
	if err := m.space.finish(); err != nil {
		if errors.Is(err, ondisk.ErrNoSpace) {
			t.Error(err)
		}
		return false
	}
	after := moverOf(t, dev, m.v)
	after.v = m.v // as staged
	after.space.v = m.v
	for ag, g := range m.space.groups {
		if _, err := after.space.group(ag); err != nil && g.changed() {
			t.Error("after the transaction: ", err)
		}
	}
	return true
}

// TestSpaceOfSeeds: the fuzz target does something.
func TestSpaceOfSeeds(t *testing.T) {
	t.Parallel()
	for _, s := range loadSeeds(t) {
		if s.name != "dirty.img.gz" && !exerciseSpace(t, s.mutated(nil, nil), 1) {
			t.Error(s.name)
		}
	}
}
