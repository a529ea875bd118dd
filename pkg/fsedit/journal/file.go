package journal

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"sort"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// ID is a random number of 128 bits: of a boot, a machine, a writer.
type ID [16]byte

func (id ID) String() string { return hex.EncodeToString(id[:]) }

// File is an open journal file. It is for one goroutine.
type File struct {
	dev    *pages
	limits ondisk.Limits
	header header
	arrays []array
	n      int      // entries in arrays
	index  []uint64 // offsets of entries, when the arrays are broken
	broken error    // why they are
	fields map[uint64]Field
}

// array is a run of the offsets of entries.
type array struct {
	first int   // index of its first entry
	off   int64 // of its items
	count int
}

// Open opens a journal file: ondisk.ErrFormat when dev holds none, ErrUnsupported
// when it needs what this package does not know.
func Open(dev blockdev.Device, limits ondisk.Limits) (*File, error) {
	f := &File{dev: newPages(dev), limits: limits.OrDefault(), fields: map[uint64]Field{}}
	at := ondisk.At(layer, "header", 0)
	if dev.Size() < headerMin {
		return nil, at.Format("no journal: %d bytes", dev.Size())
	}
	var err error
	if f.header, err = ondisk.Read[header](dev, 0, binary.LittleEndian); err != nil {
		return nil, at.Wrap(err)
	}
	h := &f.header
	switch {
	case string(h.Signature[:]) != signature:
		return nil, at.Format("no journal")
	case h.Incompatible&^flagsKnown != 0:
		return nil, at.In("incompatible flags").Unsupported("%#x", h.Incompatible&^flagsKnown)
	case h.HeaderSize < headerMin || h.HeaderSize%objectAlign != 0 || h.HeaderSize > uint64(dev.Size()):
		return nil, at.In("header size").Corrupt("%d", h.HeaderSize)
	}
	err = f.loadArrays()
	if errors.Is(err, ondisk.ErrCorrupt) {
		f.broken = err
		err = f.scan()
	}
	return f, err
}

func (f *File) compact() bool { return f.header.Incompatible&flagCompact != 0 }

// Writer is the id of who numbers the entries.
func (f *File) Writer() ID { return f.header.SeqnumID }

// Broken is why entries had to be looked for one by one, or nil.
func (f *File) Broken() error { return f.broken }

// Len is the number of entries; some of them may be torn.
func (f *File) Len() int {
	if f.index != nil {
		return len(f.index)
	}
	return f.n
}

// loadArrays follows the chain of entry arrays. Each lies behind the one before,
// since a journal only grows: that ends every chain.
func (f *File) loadArrays() error {
	last := uint64(0)
	for off := f.header.EntryArray; off != 0; {
		at := ondisk.At(layer, "entry array", int64(off))
		if off <= last {
			return at.Corrupt("it lies before the one that names it")
		}
		last = off
		h, err := f.object(off, typeEntryArray)
		if err != nil {
			return err
		}
		a := array{first: f.n, off: int64(off) + arraySize, count: int((h.Size - arraySize) / uint64(f.offsetSize()))}
		var raw [8]byte
		if err := f.dev.read(raw[:], int64(off)+objectHeadSize); err != nil {
			return at.Wrap(err)
		}
		if off = binary.LittleEndian.Uint64(raw[:]); off == 0 {
			a.count, err = f.used(a)
			if err != nil {
				return err
			}
		}
		f.arrays = append(f.arrays, a)
		f.n += a.count
	}
	return nil
}

func (f *File) offsetSize() int64 {
	if f.compact() {
		return 4
	}
	return 8
}

// used finds how many items of the last array are filled.
func (f *File) used(a array) (int, error) {
	var failed error
	n := sort.Search(a.count, func(i int) bool {
		off, err := f.item(a, i)
		if err != nil {
			failed = err
		}
		return off == 0
	})
	return n, failed
}

func (f *File) item(a array, i int) (uint64, error) {
	return f.offset(a.off + int64(i)*f.offsetSize())
}

// offset reads an offset of the file's own size.
func (f *File) offset(at int64) (uint64, error) {
	var raw [8]byte
	err := f.dev.read(raw[:f.offsetSize()], at)
	return binary.LittleEndian.Uint64(raw[:]), err
}

// entryOffset is where entry i lies.
func (f *File) entryOffset(i int) (uint64, error) {
	if f.index != nil {
		return f.index[i], nil
	}
	k := sort.Search(len(f.arrays), func(k int) bool { return f.arrays[k].first+f.arrays[k].count > i })
	return f.item(f.arrays[k], i-f.arrays[k].first)
}

// minSize is the least that an object of a type has.
func (f *File) minSize(kind uint8) uint64 {
	switch kind {
	case typeEntry:
		return entrySize
	case typeEntryArray:
		return arraySize
	case typeData:
		return uint64(f.payloadOffset())
	}
	return objectHeadSize
}

func (f *File) payloadOffset() int64 {
	if f.compact() {
		return dataSizeCompact
	}
	return dataSize
}

// object reads the head of an object of one type and checks that it lies in the
// file; kind 0 takes any type.
func (f *File) object(off uint64, kind uint8) (objectHead, error) {
	at := ondisk.At(layer, "object", int64(off))
	size := uint64(f.dev.size)
	if off < f.header.HeaderSize || off%objectAlign != 0 || off > size || size-off < objectHeadSize {
		return objectHead{}, at.Corrupt("no object can be there")
	}
	var raw [objectHeadSize]byte
	if err := f.dev.read(raw[:], int64(off)); err != nil {
		return objectHead{}, at.Wrap(err)
	}
	h := objectHead{Type: raw[0], Flags: raw[1], Size: binary.LittleEndian.Uint64(raw[8:])}
	switch {
	case kind != 0 && h.Type != kind || h.Type == 0 || h.Type > typeLast:
		return h, at.Corrupt("type %d, where %d is wanted", h.Type, kind)
	case h.Size < f.minSize(h.Type) || h.Size > size-off:
		return h, at.Corrupt("%d bytes", h.Size)
	}
	return h, nil
}
