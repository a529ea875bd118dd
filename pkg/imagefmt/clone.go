package imagefmt

import "github.com/vmconv/vmconv/pkg/imagefmt/blockdev"

// CloneUnit is what ranges that are shared are aligned to, in bytes: the block
// size of nearly all file systems. A writer's own blocks may be larger.
const CloneUnit = 4096

// CloneSink is a sink whose file can share the blocks of another file.
type CloneSink interface {
	// CanClone tries whether the blocks at from can be shared.
	CanClone(from blockdev.HostPos) bool
	// CloneAt makes the n bytes at off those at from, which share their blocks
	// from then on until one of them is written. Everything is a multiple of
	// [CloneUnit]. Where the file system refuses, the bytes are copied.
	CloneAt(from blockdev.HostPos, off, n int64) error
}

// Cloner is a writer that stores data so that its file can share it. Both
// methods are like those of [CloneSink]; off is in the disk, and off and n are
// multiples of the writer's blocks too. CloneAt is in order with WriteAt.
type Cloner interface {
	Writer
	CanClone(from blockdev.HostPos) bool
	CloneAt(from blockdev.HostPos, off, n int64) error
}

// CanClone reports whether a sink can share the blocks at from.
func CanClone(s Sink, from blockdev.HostPos) bool {
	c, ok := s.(CloneSink)
	return ok && from.Off%CloneUnit == 0 && c.CanClone(from)
}
