package xfs

import (
	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/filesys/stage"
)

// directory is a directory whose names change: a list in memory until it is built.
// Blocks that it will need and does not have are set aside, so that what fails for
// want of room is the operation, not the Commit.
type directory struct {
	num    uint64
	parent uint64
	names  []dirName // in the order of the disk; those that are gone have no inode
	index  map[string]int
	live   int
	bytes  int // of entries, as they are in blocks
	has    dirNeed
	held   []run
	dirty  bool
}

// dirName is one name.
type dirName struct {
	name string
	ino  uint64
	kind uint8
}

func (d *directory) find(name string) (dirName, bool) {
	i, ok := d.index[name]
	if !ok {
		return dirName{}, false
	}
	return d.names[i], true
}

// each goes through the names that are there.
func (d *directory) each(yield func(dirName) bool) {
	for _, x := range d.names {
		if x.ino != 0 && !yield(x) {
			return
		}
	}
}

// entrySize is what a name takes in a block.
func (g *geometry) entrySize(nameLen int) int {
	n := 8 + 1 + nameLen + 2
	if g.fileTypes() {
		n++
	}
	return (n + 7) &^ 7
}

// directory gives a directory for a change.
func (e *editor) directory(num uint64) (*directory, error) {
	if d := e.dirs[num]; d != nil {
		return d, nil
	}
	in, err := e.v.dirNode(filesys.Node(num))
	if err != nil {
		return nil, err
	}
	d := &directory{num: num, index: map[string]int{}}
	full, twice := false, ""
	err = e.v.eachDirent(in, func(x dirent) bool {
		switch name := string(x.name); {
		case name == ".":
		case name == "..":
			d.parent = x.ino
		case d.live >= e.v.limits.Entries:
			full = true
		default:
			if _, ok := d.index[name]; ok {
				twice = name
			}
			d.append(e, dirName{name, x.ino, x.kind})
		}
		return !full && twice == ""
	})
	if err == nil && full {
		err = in.at().TooBig("a directory of more than %d entries", e.v.limits.Entries)
	}
	if err == nil && twice != "" {
		err = in.at().Corrupt("two entries with the name %q", twice)
	}
	if err == nil && in.Format == formatLocal {
		d.parent = e.v.shortParent(in)
	}
	if err != nil {
		return nil, err
	}
	if !e.v.inodeOK(d.parent) {
		return nil, in.at().Corrupt("its parent is inode %d", d.parent)
	}
	h, err := e.v.holding(e.v.dataFork(in))
	if err != nil {
		return nil, err
	}
	d.has = e.v.dirHas(h)
	stage.Set(e.stage, e.dirs, num, d)
	return d, nil
}

// append adds a name without a way back.
func (d *directory) append(e *editor, x dirName) {
	d.index[x.name] = len(d.names)
	d.names = append(d.names, x)
	d.live++
	d.bytes += e.v.entrySize(len(x.name))
}

// insert adds a name that is not there.
func (d *directory) insert(e *editor, x dirName) error {
	d.append(e, x)
	e.stage.Later(func() {
		d.names = d.names[:len(d.names)-1]
		delete(d.index, x.name)
		d.live--
		d.bytes -= e.v.entrySize(len(x.name))
	})
	return e.touchDir(d)
}

// remove takes a name away that is there.
func (d *directory) remove(e *editor, name string) error {
	i, size := d.index[name], e.v.entrySize(len(name))
	old := d.names[i]
	d.names[i].ino = 0
	delete(d.index, name)
	d.live--
	d.bytes -= size
	e.stage.Later(func() {
		d.names[i] = old
		d.index[name] = i
		d.live++
		d.bytes += size
	})
	return e.touchDir(d)
}

// retarget makes a name stand for another inode.
func (d *directory) retarget(e *editor, x dirName) error {
	assign(e.stage, &d.names[d.index[x.name]], x)
	return e.touchDir(d)
}

// moveTo makes ".." name another directory.
func (d *directory) moveTo(e *editor, parent uint64) error {
	assign(e.stage, &d.parent, parent)
	return e.touchDir(d)
}

// touchDir notes that a directory is to be built, and sets aside what that takes.
func (e *editor) touchDir(d *directory) error {
	assign(e.stage, &d.dirty, true)
	in, err := e.v.inode(d.num)
	if err != nil {
		return err
	}
	need := e.v.dirNeeds(d, len(e.v.dataFork(in).raw)).beyond(d.has)
	if have := blocksOf(d.held); need > have {
		more, err := e.space.allocate(forkOwner(in, false, true), 0, need-have+need/8)
		if err != nil {
			more, err = e.space.allocate(forkOwner(in, false, true), 0, need-have)
		}
		if err != nil {
			return err
		}
		assign(e.stage, &d.held, append(d.held[:len(d.held):len(d.held)], more...))
	}
	return nil
}

// dropHeld gives back what was set aside.
func (e *editor) dropHeld(d *directory) error {
	for _, r := range d.held {
		if err := e.space.release(owner{ino: d.num, bmbt: true}, run{phys: r.phys, count: r.count}); err != nil {
			return err
		}
	}
	assign(e.stage, &d.held, nil)
	return nil
}

// dirNeed is a number of blocks for each part of a directory: entries, index, room,
// and their map.
type dirNeed struct{ data, index, free, tree uint64 }

// beyond is what is missing where there is has.
func (n dirNeed) beyond(has dirNeed) uint64 {
	return n.data - min(n.data, has.data) + n.index - min(n.index, has.index) +
		n.free - min(n.free, has.free) + n.tree - min(n.tree, has.tree)
}

// Where the parts of a directory begin, in blocks.
func (g *geometry) dirIndexStart() uint64 { return dirLeafOffset >> g.blockBits }
func (g *geometry) dirFreeStart() uint64  { return 2 * dirLeafOffset >> g.blockBits }

// dirHas counts what can be used again: up to the first hole of each part.
func (g *geometry) dirHas(h *holding) dirNeed {
	n := dirNeed{tree: uint64(len(h.tree))}
	for _, r := range h.runs {
		part, start := &n.data, uint64(0)
		switch {
		case r.logical >= g.dirFreeStart():
			part, start = &n.free, g.dirFreeStart()
		case r.logical >= g.dirIndexStart():
			part, start = &n.index, g.dirIndexStart()
		}
		if r.logical == start+*part {
			*part += r.count
		}
	}
	return n
}

// dirNeeds is the most that a directory can need, with room bytes in its inode.
func (g *geometry) dirNeeds(d *directory, room int) dirNeed {
	size := g.dirBlockSize()
	dots := 2 * g.entrySize(2)
	if g.shortSize(d) <= room {
		return dirNeed{}
	}
	per := uint64(1) << g.dirBits
	if g.dataHeader()+d.bytes+dots+(d.live+2)*dirLeafEntry+dirBlockTail <= size {
		return dirNeed{data: per}
	}
	longest := g.entrySize(255)
	data := (d.bytes+dots)/(size-g.dataHeader()-longest) + 1
	each := (size - g.daHeader()) / dirLeafEntry
	leafs := 2*(d.live+2)/each + 1
	nodes := 0
	for n := leafs; n > 1; {
		n = (n + each - 1) / each
		nodes += n
	}
	need := dirNeed{data: uint64(data) * per, index: uint64(leafs+nodes) * per, free: uint64(data/g.freeRoom()+1) * per}
	total := need.data + need.index + need.free
	records := uint64(g.blockSize-longHeader5) / bmbtRecSize
	if total > 3 {
		need.tree = total/(records/2) + 2
	}
	return need
}

func (g *geometry) dataHeader() int {
	if g.v5() {
		return dirDataHeader5
	}
	return dirDataHeader4
}

func (g *geometry) daHeader() int {
	if g.v5() {
		return daHeader5
	}
	return daHeader4
}

// freeRoom is how many blocks of entries one block of the third part tells of.
func (g *geometry) freeRoom() int { return (g.dirBlockSize() - g.daHeader()) / 2 }
