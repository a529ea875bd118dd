//go:build linux

package xfs

import (
	"bytes"
	"crypto/md5"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys/stage"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// mover changes where things lie in a filesystem and nothing else, which is all
// that can be done with space alone: files move to other blocks, or to other inodes.
type mover struct {
	t      testing.TB
	dev    *blockdev.Overlay
	base   *volume
	v      *volume // as staged
	stage  *stage.Stage
	space  *space
	copies []dataCopy
}

type dataCopy struct {
	from, to int64
	n        int64
}

func newMover(t testing.TB, image string) *mover {
	t.Helper()
	m := &mover{t: t, dev: fsedittest.OpenWritable(t, image)}
	m.base = open(t, m.dev)
	m.stage = stage.New(m.dev, m.base.blockBits, nil)
	var err error
	if m.v, err = newVolume(m.stage, m.base.limits); err != nil {
		t.Fatal(err)
	}
	m.stage.OnChange(func(nr uint64) { m.v.blocks.Drop(cacheKey(int64(nr)<<m.v.blockBits, 1)) })
	if m.space, err = newSpace(m.v, m.stage); err != nil {
		t.Fatal(err)
	}
	return m
}

// write brings everything to the image.
func (m *mover) write(image string) {
	m.t.Helper()
	for _, c := range m.copies {
		p := make([]byte, c.n)
		if err := ondisk.Full(m.dev, p, c.from); err != nil {
			m.t.Fatal(err)
		}
		if _, err := m.dev.WriteAt(p, c.to); err != nil {
			m.t.Fatal(err)
		}
	}
	for _, nr := range m.stage.Blocks() {
		if _, err := m.dev.WriteAt(m.stage.Block(nr), int64(nr)<<m.v.blockBits); err != nil {
			m.t.Fatal(err)
		}
	}
	fsedittest.Save(m.t, m.dev, image)
}

func (m *mover) putInode(in *inode) error {
	if m.v.v5() {
		inodeStamp.seal(in.raw)
	}
	return m.stage.Patch(in.off, in.raw)
}

func packExtent(r run) []byte {
	a, b := r.logical<<9|r.phys>>43, r.phys<<21|r.count
	if r.kind == runUnwritten {
		a |= 1 << 63
	}
	return be.AppendUint64(be.AppendUint64(nil, a), b)
}

// errSkip is of an operation that this helper cannot do; what it did so far is
// taken back.
var errSkip = errors.New("not done")

// moveData gives a file new blocks, for inode num.
func (m *mover) moveData(in *inode, num uint64) error {
	f := m.v.dataFork(in)
	if a, has := m.v.attrFork(in); f.format != formatExtent || has && a.format != formatLocal && a.count > 0 {
		return errSkip
	}
	mp, err := m.v.mapOf(f)
	if err != nil {
		return err
	}
	old := mp.(*extentList)
	var packed []byte
	var copies []dataCopy
	for i := range old.len() {
		r := old.at(i)
		if r.kind != runData {
			return errSkip
		}
		if err := m.space.release(owner{ino: in.num}, r); err != nil {
			return err
		}
		fresh, err := m.space.allocate(owner{ino: num}, r.logical, r.count)
		if err != nil {
			return err
		}
		for _, n := range fresh {
			packed = append(packed, packExtent(n)...)
			from := m.v.byteOff(r.phys + n.logical - r.logical)
			copies = append(copies, dataCopy{m.origin(from), m.v.byteOff(n.phys), int64(n.count) << m.v.blockBits})
		}
	}
	if len(packed) > len(f.raw) {
		return errSkip
	}
	clear(f.raw)
	copy(f.raw, packed)
	m.setExtents(in, len(packed)/bmbtRecSize)
	m.copies = append(m.copies, copies...)
	m.stage.Later(func() { m.copies = m.copies[:len(m.copies)-len(copies)] })
	return nil
}

// origin is where bytes that were moved before come from.
func (m *mover) origin(off int64) int64 {
	for i := len(m.copies) - 1; i >= 0; i-- {
		if c := m.copies[i]; off >= c.to && off < c.to+c.n {
			return c.from + off - c.to
		}
	}
	return off
}

func (m *mover) setExtents(in *inode, n int) {
	if in.has2(di2NRExt64) {
		be.PutUint64(in.raw[24:], uint64(n))
	} else {
		be.PutUint32(in.raw[76:], uint32(n))
	}
}

// private is an inode whose bytes can be changed.
func (m *mover) private(num uint64) (*inode, error) {
	in, err := m.v.inode(num)
	if err != nil {
		return nil, err
	}
	in.raw = slices.Clone(in.raw)
	return in, nil
}

func (m *mover) move(num uint64) error {
	in, err := m.private(num)
	if err != nil {
		return err
	}
	if err := m.moveData(in, num); err != nil {
		return err
	}
	return m.putInode(in)
}

// renumber gives entry i of a directory in its inode another inode.
func (m *mover) renumber(dir uint64, i int) error {
	d, err := m.private(dir)
	if err != nil || d.Format != formatLocal || m.v.dataFork(d).raw[1] != 0 {
		return errSkip
	}
	raw := m.v.dataFork(d).raw
	if int(raw[0]) <= i {
		return errSkip
	}
	at := 6
	for {
		name := int(raw[at])
		at += 3 + name
		if m.v.fileTypes() {
			at++
		}
		if i == 0 {
			break
		}
		at += 4
		i--
	}
	old := uint64(be.Uint32(raw[at:]))
	in, err := m.private(old)
	if err != nil || !in.mode().IsRegular() || in.links() != 1 {
		return errSkip
	}
	num, err := m.space.newInode(dir)
	if err != nil {
		return err
	}
	if num >= 1<<32 {
		return errSkip
	}
	if err := m.moveData(in, num); err != nil {
		return err
	}
	gone := *in
	in.num, in.off = num, m.v.byteOff(num>>m.v.inopBits)+int64(num&(1<<m.v.inopBits-1))<<m.v.inodeBits
	fresh := slices.Clone(in.raw)
	if m.v.v5() {
		be.PutUint64(in.raw[inIno:], num)
	}
	if err := m.putInode(in); err != nil {
		return err
	}
	clear(fresh)
	m.v.freshInode(fresh, old, gone.Gen+1)
	gone.raw = fresh
	if err := m.putInode(&gone); err != nil {
		return err
	}
	if err := m.space.freeInode(old); err != nil {
		return err
	}
	be.PutUint32(raw[at:], uint32(num))
	return m.putInode(d)
}

// spaceRows are filesystems of which the kernel fills most.
var spaceRows = []mkfsRow{
	{name: "default"},
	{name: "rmapbt", args: "-m rmapbt=1"},
}

// fragment fills a mounted filesystem with small files, and removes every second.
func fragment(t testing.TB, dir string, n int) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		sub := filepath.Join(dir, fmt.Sprintf("d%d", i/6))
		if i%6 == 0 {
			must(os.Mkdir(sub, 0o755))
		}
		p := bytes.Repeat([]byte{byte(i), byte(i >> 8), 'x'}, 200+i%13*900)
		must(os.WriteFile(filepath.Join(sub, fmt.Sprint(i)), p, 0o644))
	}
	testtool.Run(t, "sync")
	for i := 0; i < n; i += 2 {
		must(os.Remove(filepath.Join(dir, fmt.Sprintf("d%d/%d", i/6, i))))
	}
	big := filepath.Join(dir, "big")
	must(os.WriteFile(big, bytes.Repeat([]byte("0123456789abcdef"), 1<<17), 0o644))
}

// share makes reflinks, of whole files and of parts.
func share(t testing.TB, dir string) {
	t.Helper()
	for i := range 3 {
		testtool.Run(t, "cp", "--reflink=always", filepath.Join(dir, "big"), filepath.Join(dir, fmt.Sprintf("shared%d", i)))
	}
	for i := range 8 {
		testtool.Run(t, "xfs_io", "-c", fmt.Sprintf("pwrite -q %d 20000", i*150000), filepath.Join(dir, fmt.Sprintf("shared%d", i%2)))
	}
}

// sums lists the content of all files under a folder.
func sums(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(p)
		out[strings.TrimPrefix(p, dir)] = fmt.Sprintf("%x", md5.Sum(raw))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestMoving moves files and inodes about: xfs_repair(8) finds nothing, and the
// kernel the same files, and it can go on with the filesystem.
func TestMoving(t *testing.T) {
	for i, row := range spaceRows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			image := row.mkfs(t)
			dir, unmount := fsedittest.Mount(t, image, row.mount)
			fragment(t, dir, 900)
			if !strings.Contains(row.args, "reflink=0") && !strings.Contains(row.args, "crc=0") {
				share(t, dir)
			}
			want := sums(t, dir)
			unmount()
			r := rand.New(rand.NewPCG(uint64(i), 5))
			for range 3 {
				m := newMover(t, image)
				m.shuffle(r, 120)
				m.write(image)
				checkRepair(t, image)
				checkFree(t, image)
			}
			useOn(t, image, row.mount, want)
		})
	}
}

// shuffle does random operations.
func (m *mover) shuffle(r *rand.Rand, n int) {
	m.t.Helper()
	tree := &tree{m.v}
	list, err := tree.ReadDir(tree.Root())
	if err != nil {
		m.t.Fatal(err)
	}
	done := 0
	for range n {
		d := list[r.IntN(len(list))]
		err := m.stage.Do(func() error {
			in, err := m.v.inode(uint64(d.Node))
			switch {
			case err != nil:
				return err
			case in.mode().IsDir():
				return m.renumber(in.num, r.IntN(4))
			case in.mode().IsRegular():
				return m.move(in.num)
			}
			return errSkip
		})
		if err == nil {
			done++
		} else if err != errSkip {
			m.t.Fatal(err)
		}
	}
	if done < n/10 {
		m.t.Errorf("only %d of %d operations", done, n)
	}
	if err := m.space.finish(); err != nil {
		m.t.Fatal(err)
	}
}

// useOn mounts an image, compares its files, and makes and removes many.
func useOn(t testing.TB, image, options string, want map[string]string) {
	t.Helper()
	dir, unmount := fsedittest.Mount(t, image, options)
	got := sums(t, dir)
	for name, sum := range want {
		if got[name] != sum {
			t.Errorf("%s changed", name)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d files, want %d", len(got), len(want))
	}
	sub := filepath.Join(dir, "more")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprint(i)), make([]byte, i%9*1000), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	testtool.Run(t, "sync")
	for i := 0; i < 1000; i += 3 {
		if err := os.Remove(filepath.Join(sub, fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	unmount()
	checkRepair(t, image)
}
