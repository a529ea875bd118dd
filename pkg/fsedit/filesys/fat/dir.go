package fat

import (
	"iter"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// dirPlace is where the slots of a directory lie: in the chain of a cluster,
// or, where that is 0, in the fixed root.
type dirPlace struct{ start uint32 }

func (v *volume) rootDir() dirPlace { return dirPlace{v.rootCluster} }

// directory is a directory as read.
type directory struct {
	v        *volume
	start    uint32
	clusters []uint32 // empty for the fixed root
	raw      []byte   // of all clusters that were read
}

func (v *volume) dirAt(off int64) ondisk.Place { return ondisk.At(layer, "directory", off) }

// readDir reads a directory up to the slot that ends it.
func (v *volume) readDir(p dirPlace) (*directory, error) { return v.loadDir(p, false) }

// loadDir reads a directory, with what lies behind its end where all is set. A
// chain without end stops at the most that a directory may have.
func (v *volume) loadDir(p dirPlace, all bool) (*directory, error) {
	d := &directory{v: v, start: p.start}
	if p.start == 0 {
		raw, err := v.cached(nil, v.rootOff, int64(v.rootSlots)*slotSize)
		d.raw = raw
		return d, err
	}
	c := cursor{v: v}
	for n := p.start; n != 0; {
		if !v.inVolume(n) {
			return nil, v.dirAt(ondisk.NoOffset).Corrupt("it begins with cluster %d of %d", n, v.clusters)
		}
		if len(d.raw) >= maxDirSlots*slotSize {
			return nil, v.dirAt(v.clusterOff(p.start)).Corrupt("more than %d slots", maxDirSlots)
		}
		old := len(d.raw)
		var err error
		if d.raw, err = v.cached(d.raw, v.clusterOff(n), v.clusterSize); err != nil {
			return nil, err
		}
		d.clusters = append(d.clusters, n)
		if !all && endsIn(d.raw[old:]) {
			break
		}
		if n, err = c.next(n); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func endsIn(raw []byte) bool {
	for i := 0; i < len(raw); i += slotSize {
		if raw[i] == slotEnd {
			return true
		}
	}
	return false
}

// count is how many slots were read; more than may be used of an oversized
// last cluster.
func (d *directory) count() int { return min(len(d.raw)/slotSize, maxDirSlots) }

// slot is the bytes of slot i.
func (d *directory) slot(i int) []byte { return d.raw[i*slotSize:][:slotSize:slotSize] }

// end is the index of the slot that ends the directory; count when it is full.
func (d *directory) end() int {
	for i := range d.count() {
		if d.raw[i*slotSize] == slotEnd {
			return i
		}
	}
	return d.count()
}

// off is the byte of the device where slot i lies.
func (d *directory) off(i int) int64 {
	at := int64(i) * slotSize
	if len(d.clusters) == 0 {
		return d.v.rootOff + at
	}
	return d.v.clusterOff(d.clusters[at>>d.v.clusterBits]) + at&(d.v.clusterSize-1)
}

// slots are all that are in use, pieces of long names too.
func (d *directory) slots() iter.Seq[slot] {
	return func(yield func(slot) bool) {
		for i := range d.end() {
			if p := d.slot(i); p[0] != slotDeleted && !yield(decodeSlot(p)) {
				return
			}
		}
	}
}

// entry is a file or directory with all its slots.
type entry struct {
	slot
	first, last int   // slots; last has the short name
	off         int64 // of the last, on the device
	long        string
}

func (e *entry) isDir() bool { return e.Attr&attrDir != 0 }

// name is what the kernel shows: the long name, else the short one.
func (e *entry) name() string {
	if e.long != "" {
		return e.long
	}
	return shownShort(e.slot)
}

// start is the first cluster of an entry; 0 for none.
func (v *volume) start(s slot) uint32 {
	n := uint32(s.ClusterLo)
	if v.bits == 32 {
		n |= uint32(s.ClusterHi) << 16 & entryMask
	}
	return n
}

// entries are the files and directories, without labels, "." and "..". Pieces
// of a long name that do not belong to the slot after them count for nothing.
func (d *directory) entries() iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		var name longName
		for i := range d.end() {
			p := d.slot(i)
			attr := p[slAttr] & attrMask
			switch {
			case p[0] == slotDeleted:
				name.reset()
			case attr == attrLong:
				name.add(p, i)
			case attr&attrVolume != 0, isDots(p):
				name.reset()
			default:
				e := &entry{slot: decodeSlot(p), first: i, last: i, off: d.off(i)}
				if text, ok := name.of(e.Name); ok {
					e.first, e.long = name.first, text
				}
				name.reset()
				if !yield(e) {
					return
				}
			}
		}
	}
}

func isDots(p []byte) bool {
	return string(p[:11]) == dotName || string(p[:11]) == dotDotName
}

const (
	dotName    = ".          "
	dotDotName = "..         "
)

// find is the first entry that a name means, by its long or its short name;
// nil when there is none.
func (d *directory) find(name string) *entry {
	name = trimDots(name)
	for e := range d.entries() {
		if sameName(e.name(), name) || e.long != "" && sameName(shownShort(e.slot), name) {
			return e
		}
	}
	return nil
}
