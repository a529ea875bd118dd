package luks

import (
	"sync"

	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// device is what an encrypted segment holds. What is zero on the disk below is no
// zero here, so it knows nothing about its extents: all of it is data.
type device struct {
	inner   blockdev.Device
	data    segment
	cipher  *sectors
	buffers sync.Pool // of *[]byte of bufferLen

	// A reader never sees a sector of which half was written.
	mu sync.RWMutex
}

var (
	_ blockdev.Geometry = (*device)(nil)
	_ blockdev.Writable = (*writableDevice)(nil)
)

// bufferLen holds whole sectors of any size.
const bufferLen = 256 << 10

func newDevice(inner blockdev.Device, data segment, cipher *sectors) *device {
	d := &device{inner: inner, data: data, cipher: cipher}
	d.buffers.New = func() any { p := make([]byte, bufferLen); return &p }
	return d
}

// able is d, Writable when inner is.
func (d *device) able() blockdev.Device {
	if w, ok := d.inner.(blockdev.Writable); ok {
		return &writableDevice{device: d, writer: w}
	}
	return d
}

func (d *device) Size() int64 { return d.data.size }

func (d *device) SectorSize() (logical, physical int) {
	logical, physical = blockdev.SectorSize(d.inner)
	return max(logical, d.data.sector), max(physical, d.data.sector)
}

// ReadAt reads whole sectors at once into p; what of it is part of a sector goes
// through a buffer.
func (d *device) ReadAt(p []byte, off int64) (int, error) {
	return blockdev.ReadPieces(p, off, d.data.size, func(p []byte, off int64) (int, error) {
		size := int64(d.data.sector)
		in := off % size
		if whole := ondisk.AlignDown(int64(len(p)), size); in == 0 && whole > 0 {
			return int(whole), d.readSectors(p[:whole], off)
		}
		buf := d.buffers.Get().(*[]byte)
		defer d.buffers.Put(buf)
		// A short read is one read; of a long one only what comes before whole sectors.
		n := min(ondisk.AlignUp(in+int64(len(p)), size), bufferLen)
		if in+int64(len(p)) > bufferLen {
			n = size
		}
		if err := d.readSectors((*buf)[:n], off-in); err != nil {
			return 0, err
		}
		return copy(p, (*buf)[in:n]), nil
	})
}

// readSectors fills p, whole sectors, from off.
func (d *device) readSectors(p []byte, off int64) error {
	d.mu.RLock()
	err := ondisk.Full(d.inner, p, d.data.off+off)
	d.mu.RUnlock()
	if err != nil {
		return err
	}
	d.cipher.decrypt(p, d.unit(off))
	return nil
}

// unit is the number of the sector at an offset, as the cipher counts them.
func (d *device) unit(off int64) uint64 { return uint64(off/sector) + d.data.tweak }

// spans is where a range lies on member i. Only whole sectors have a place of
// their own: a part of one cannot be given up without the rest of it.
func (d *device) spans(i int) func(off, n int64) []volume.Span {
	return func(off, n int64) []volume.Span {
		if n <= 0 || !ondisk.InRange(off, n, d.data.size) {
			return nil
		}
		from := ondisk.AlignUp(off, int64(d.data.sector))
		to := ondisk.AlignDown(off+n, int64(d.data.sector))
		if from >= to {
			return nil
		}
		return []volume.Span{{Member: i, Off: d.data.off + from, Len: to - from}}
	}
}

// writableDevice adds writing where the disk below can be written.
type writableDevice struct {
	*device
	writer blockdev.Writable
}

func (d *writableDevice) Sync() error { return d.writer.Sync() }

// WriteAt encrypts in a buffer, as much at a time as fits.
func (d *writableDevice) WriteAt(p []byte, off int64) (int, error) {
	if !ondisk.InRange(off, int64(len(p)), d.data.size) {
		return 0, ondisk.Because(ondisk.ErrNoSpace, "write %d+%d outside a volume of %d bytes", off, len(p), d.data.size)
	}
	buf := d.buffers.Get().(*[]byte)
	defer d.buffers.Put(buf)
	size := int64(d.data.sector)
	for done := 0; done < len(p); {
		at := off + int64(done)
		in := at % size
		n := min(ondisk.AlignUp(in+int64(len(p)-done), size), bufferLen)
		part := p[done:min(len(p), done+int(n-in))]
		if err := d.writeSectors((*buf)[:n], part, at-in, in); err != nil {
			return done, err
		}
		done += len(part)
	}
	return len(p), nil
}

// writeSectors writes the sectors from off, with part from in on and all else as it
// is there now.
func (d *writableDevice) writeSectors(buf, part []byte, off, in int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	size, n := d.data.sector, len(buf)
	if err := d.keep(buf, off, 0, in > 0); err != nil {
		return err
	}
	last := n - size
	if err := d.keep(buf, off, last, (last > 0 || in == 0) && int(in)+len(part) < n); err != nil {
		return err
	}
	copy(buf[in:], part)
	d.cipher.encrypt(buf, d.unit(off))
	_, err := d.writer.WriteAt(buf, d.data.off+off)
	return err
}

// keep reads the sector at a place of buf, which is not wholly overwritten.
func (d *writableDevice) keep(buf []byte, off int64, at int, partly bool) error {
	if !partly {
		return nil
	}
	p := buf[at : at+d.data.sector]
	if err := ondisk.Full(d.inner, p, d.data.off+off+int64(at)); err != nil {
		return err
	}
	d.cipher.decrypt(p, d.unit(off+int64(at)))
	return nil
}
