package squashfs

import (
	"encoding/binary"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// layer names this package in errors, and the filesystem.
const layer = "squashfs"

const (
	magic     = 0x73717368 // "hsqs"
	superSize = 96
	metaSize  = 8192 // bytes that a metadata block unpacks to, but for the last
	noTable   = 1<<64 - 1
	noIndex   = 1<<32 - 1 // no fragment, no xattrs

	minBlock = 4 << 10
	maxBlock = 1 << 20

	plainMeta = 1 << 15 // in the length of a metadata block: not compressed
	plainData = 1 << 24 // in the length of a data block: not compressed

	maxTarget = 4096 // of a symbolic link: PATH_MAX
	maxName   = 256
)

var le = binary.LittleEndian

// super is the superblock.
type super struct {
	Magic       uint32 // 0
	Inodes      uint32 // 4
	Mtime       uint32 // 8
	BlockSize   uint32 // 12
	Fragments   uint32 // 16
	Compression uint16 // 20
	BlockLog    uint16 // 22
	Flags       uint16 // 24
	IDs         uint16 // 26
	Major       uint16 // 28
	Minor       uint16 // 30
	Root        uint64 // 32
	Used        uint64 // 40
	IDTable     uint64 // 48
	XattrTable  uint64 // 56
	InodeTable  uint64 // 64
	DirTable    uint64 // 72
	FragTable   uint64 // 80
	ExportTable uint64 // 88
}

// kinds of inodes; from kindLarge on they have xattrs.
const (
	kindDir = 1 + iota
	kindFile
	kindSymlink
	kindBlockDev
	kindCharDev
	kindFifo
	kindSocket
	kindLarge = 7 // added to the kinds above
)

// head is what all inodes begin with.
type head struct {
	Kind   uint16 // 0
	Perm   uint16 // 2
	UID    uint16 // 4, an index of the id table
	GID    uint16 // 6
	Mtime  uint32 // 8
	Number uint32 // 12
}

const headSize = 16

// fragment is an entry of the fragment table.
type fragment struct {
	Start uint64 // 0
	Size  uint32 // 8
	_     uint32 // 12
}

const fragmentSize = 16

// xattrID is an entry of the table of xattr ids.
type xattrID struct {
	Ref   uint64 // 0
	Count uint32 // 8
	Size  uint32 // 12
}

const xattrIDSize = 16

// xattrHead is what the xattr table begins with.
type xattrHead struct {
	Start uint64 // 0, of the metadata with names and values
	Count uint32 // 8
	_     uint32 // 12
}

const xattrHeadSize = 16

// dirHead begins a run of entries.
type dirHead struct {
	Count uint32 // 0, less one
	Start uint32 // 4, metadata block of their inodes
	Base  uint32 // 8, number that the entries' are relative to
}

const dirHeadSize = 12

// dirEntry is followed by its name.
type dirEntry struct {
	Offset uint16 // 0, of the inode in its metadata block
	Delta  int16  // 2
	Kind   uint16 // 4, of the small kinds
	Size   uint16 // 6, of the name, less one
}

const dirEntrySize = 8

func decodeHead(p []byte) head {
	_ = p[headSize-1]
	return head{le.Uint16(p), le.Uint16(p[2:]), le.Uint16(p[4:]), le.Uint16(p[6:]), le.Uint32(p[8:]), le.Uint32(p[12:])}
}

func decodeDirHead(p []byte) dirHead {
	_ = p[dirHeadSize-1]
	return dirHead{le.Uint32(p), le.Uint32(p[4:]), le.Uint32(p[8:])}
}

func decodeDirEntry(p []byte) dirEntry {
	_ = p[dirEntrySize-1]
	return dirEntry{le.Uint16(p), int16(le.Uint16(p[2:])), le.Uint16(p[4:]), le.Uint16(p[6:])}
}

func superAt() ondisk.Place { return ondisk.At(layer, "superblock", 0) }
