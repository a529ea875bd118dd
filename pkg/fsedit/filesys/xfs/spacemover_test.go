//go:build linux

package xfs

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys/stage"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
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
	return moverOn(t, fsedittest.OpenWritable(t, image))
}

func moverOn(t testing.TB, dev *blockdev.Overlay) *mover {
	t.Helper()
	m := moverOf(t, dev, open(t, dev))
	if m == nil {
		t.Fatal("no volume")
	}
	return m
}

func moverOf(t testing.TB, dev *blockdev.Overlay, base *volume) *mover {
	m := &mover{t: t, dev: dev, base: base, stage: stage.New(dev, base.blockBits, nil)}
	var err error
	if m.v, err = newVolume(m.stage, base.limits); err != nil {
		return nil
	}
	m.stage.OnChange(func(nr uint64) { m.v.blocks.Drop(cacheKey(int64(nr)<<m.v.blockBits, 1)) })
	if m.space, err = newSpace(m.v, m.stage); err != nil {
		return nil
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
	if s := m.base.unended; s != nil {
		if err := m.base.log().clear(m.dev, s); err != nil {
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
			packed = appendExtent(packed, n)
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

// cut makes a file empty and takes its attributes away, whatever form they have.
func (m *mover) cut(num uint64) error {
	in, err := m.private(num)
	if err != nil {
		return err
	}
	if err := m.releaseFork(in, m.v.dataFork(in), false); err != nil {
		return err
	}
	if f, ok := m.v.attrFork(in); ok {
		if err := m.releaseFork(in, f, true); err != nil {
			return err
		}
	}
	clear(in.raw[in.core:])
	in.raw[5], in.raw[82], in.raw[83] = formatExtent, 0, formatExtent
	m.setExtents(in, 0)
	if in.has2(di2NRExt64) {
		be.PutUint32(in.raw[76:], 0)
	} else {
		be.PutUint16(in.raw[80:], 0)
	}
	be.PutUint64(in.raw[56:], 0)
	be.PutUint64(in.raw[64:], 0)
	return m.putInode(in)
}

// cutAll cuts the files that are made for it.
func (m *mover) cutAll() {
	m.t.Helper()
	f := &tree{m.v}
	for _, name := range []string{"cut0", "cut1"} {
		in := lookup(m.t, f, name)
		if err := m.stage.Do(func() error { return m.cut(in.num) }); err != nil {
			m.t.Errorf("%s, of formats %d and %d: %v", name, in.Format, in.AFormat, err)
		}
	}
}

func (m *mover) releaseFork(in *inode, f fork, attr bool) error {
	switch f.format {
	case formatExtent:
		mp, err := m.v.mapOf(f)
		if err != nil {
			return err
		}
		return m.releaseList(in, mp.(*extentList), attr)
	case formatBtree:
		tree := &bmapTree{v: m.v, fork: f}
		n, err := tree.root()
		if err != nil {
			return err
		}
		return m.releaseNode(in, tree, n, attr)
	}
	return nil
}

func (m *mover) releaseNode(in *inode, tree *bmapTree, n *bmapNode, attr bool) error {
	for i := range n.len() {
		below, leaf, err := tree.child(n, i)
		if err != nil {
			return err
		}
		if leaf != nil {
			err = m.releaseList(in, leaf, attr)
		} else {
			err = m.releaseNode(in, tree, below, attr)
		}
		if err != nil {
			return err
		}
		if err := m.space.release(owner{in.num, attr, true}, run{phys: n.ptr(i), count: 1}); err != nil {
			return err
		}
	}
	return nil
}

func (m *mover) releaseList(in *inode, l *extentList, attr bool) error {
	for i := range l.len() {
		if err := m.space.release(owner{ino: in.num, attr: attr}, l.at(i)); err != nil {
			return err
		}
	}
	return nil
}

// burst takes many inodes, and gives them back.
func (m *mover) burst(near uint64, n int) error {
	var list []uint64
	for range n {
		num, err := m.space.newInode(near)
		if err != nil {
			return err
		}
		list = append(list, num)
	}
	for _, num := range list {
		if err := m.space.freeInode(num); err != nil {
			return err
		}
	}
	return nil
}

// shuffle does random operations on what is in the root directory; those of fails
// are undone. It returns how many worked.
func (m *mover) shuffle(r *rand.Rand, n int, fails func() bool) int {
	m.t.Helper()
	tree := &tree{m.v}
	list, err := tree.ReadDir(tree.Root())
	if err != nil {
		m.t.Fatal(err)
	}
	done := 0
	for range n {
		d, seed := list[r.IntN(len(list))], r.Uint64()
		for other := seed; fails != nil && fails(); other++ {
			m.stage.Do(func() error {
				m.operation(list[other%uint64(len(list))], rand.New(rand.NewPCG(other, 1)))
				return errSkip
			})
		}
		err := m.stage.Do(func() error { return m.operation(d, rand.New(rand.NewPCG(seed, 2))) })
		if err == nil {
			done++
		} else if err != errSkip && !errors.Is(err, ondisk.ErrNoSpace) {
			m.t.Fatal(d.Name, err)
		}
	}
	return done
}

func (m *mover) operation(d filesys.Dirent, r *rand.Rand) error {
	in, err := m.v.inode(uint64(d.Node))
	switch {
	case err != nil:
		return err
	case in.mode().IsDir():
		return m.renumber(in.num, r.IntN(4))
	case in.mode().IsRegular() && d.Name[0] == 'c':
		return m.cut(in.num)
	case in.mode().IsRegular():
		return m.move(in.num)
	}
	return errSkip
}

// finish is the end of the transaction.
func (m *mover) finish() {
	m.t.Helper()
	if err := m.space.finish(); err != nil {
		m.t.Fatal(err)
	}
}
