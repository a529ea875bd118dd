package blockdev

import "io"

// Device is random access to Size bytes. ReadAt is safe for concurrent use and
// follows io.ReaderAt strictly: a full read or an error, io.EOF only where the
// device ends. Whoever opened a device closes it; closing is not part of it.
type Device interface {
	io.ReaderAt
	Size() int64 // bytes, constant for the life of the device
}

// Writable is a device whose bytes can be changed. WriteAt is safe for
// concurrent use with ReadAt; a write that would end beyond Size fails whole.
type Writable interface {
	Device
	io.WriterAt
	Sync() error
}

// Geometry is implemented by devices that know their sector sizes.
type Geometry interface {
	// SectorSize is in bytes; powers of two from 512.
	SectorSize() (logical, physical int)
}

// SectorSize asks d for its sector sizes; 512 and 512 when it does not know.
func SectorSize(d Device) (logical, physical int) {
	if g, ok := d.(Geometry); ok {
		return g.SectorSize()
	}
	return 512, 512
}
