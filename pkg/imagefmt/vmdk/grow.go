package vmdk

import (
	"encoding/binary"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// grower changes a sparse extent: it writes to grains and adds new ones.
type grower struct {
	m      *mapping
	file   imagefmt.File
	gd     int64  // byte of the grain directory
	rgd    int64  // byte of the redundant one
	backup []byte // the redundant directory; nil without one
	fixed  claims // of header, descriptor, directories and tables
}

func newGrower(x *extent, limits ondisk.Limits) (*grower, error) {
	h := x.hosted
	at := ondisk.At(layer, "sparse header", 0)
	switch {
	case h == nil:
		return nil, at.Unsupported("extents of snapshots are not changed in place; use convert")
	case h.packed():
		return nil, at.Unsupported("compressed extents are not changed in place; use convert")
	case h.UncleanShutdown != 0:
		return nil, at.Unsupported("the disk was not closed cleanly or is in use; it is not changed in place; use convert")
	}
	file, err := writable(x.file)
	if err != nil {
		return nil, err
	}
	g := &grower{m: x.m, file: file, gd: int64(h.GDOffset) * sectorSize}
	if 2*x.m.tables()*16 > limits.Table {
		return nil, at.TooBig("%d grain tables", x.m.tables())
	}
	if h.redundant() && len(x.m.dir) > 0 {
		if g.backup, err = readBackup(x.m, h); err != nil {
			return nil, err
		}
		g.rgd = int64(h.RGDOffset) * sectorSize
	}
	if g.fixed, err = x.m.hostedClaims(h, g.backup); err == nil {
		err = g.fixed.check()
	}
	return g, at.Wrap(err)
}

// readBackup reads the redundant directory.
func readBackup(m *mapping, h *sparseHeader) ([]byte, error) {
	const name = "redundant grain directory"
	if h.RGDOffset > uint64(m.file.Size())/sectorSize {
		return nil, ondisk.At(layer, name, ondisk.NoOffset).Corrupt("sector %#x is beyond the end of the file", h.RGDOffset)
	}
	off := int64(h.RGDOffset) * sectorSize
	p, err := ondisk.Bytes(m.file, off, int64(len(m.dir)))
	return p, ondisk.At(layer, name, off).Wrap(err)
}

// write puts p at off of the extent.
func (g *grower) write(p []byte, off int64) error {
	for len(p) > 0 {
		// A run may go over tables where nothing is stored; a table is filled at
		// a time.
		room := g.m.span() - off%g.m.span()
		r, err := g.m.next(off, min(int64(len(p)), room))
		if err != nil {
			return err
		}
		part := p[:r.n]
		if r.kind == plain {
			err = g.overwrite(part, r.host)
		} else {
			err = g.fill(part, off)
		}
		if err != nil {
			return err
		}
		p, off = p[r.n:], off+r.n
	}
	return nil
}

func (g *grower) overwrite(p []byte, host int64) error {
	if g.fixed.touches(host, int64(len(p))) {
		return ondisk.At(layer, "grain", host).Corrupt("it lies in the extent's own tables")
	}
	_, err := g.file.WriteAt(p, host)
	return err
}

// fill stores p where no grains are. Grains that get only zeros stay away; those
// that follow each other are written at once. All lie in one table.
func (g *grower) fill(p []byte, off int64) error {
	for len(p) > 0 {
		first := g.piece(p, off)
		if ondisk.IsZero(p[:first]) {
			p, off = p[first:], off+first
			continue
		}
		n := first
		for n < int64(len(p)) {
			more := g.piece(p[n:], off+n)
			if ondisk.IsZero(p[n : n+more]) {
				break
			}
			n += more
		}
		if err := g.add(p[:n], off); err != nil {
			return err
		}
		p, off = p[n:], off+n
	}
	return nil
}

// piece is how much of p, at off, lies in its first grain.
func (g *grower) piece(p []byte, off int64) int64 {
	return min(int64(len(p)), g.m.grain-off%g.m.grain)
}

// add stores p in new grains, one after the other at the end of the file.
func (g *grower) add(p []byte, off int64) error {
	m := g.m
	in := off % m.grain
	count := ondisk.DivUp(in+int64(len(p)), m.grain)
	table, backup, err := g.tables(off / m.span())
	if err != nil {
		return err
	}
	host, err := g.extend(count*m.grain, m.grain)
	if err != nil {
		return err
	}
	if _, err := g.file.WriteAt(p, host+in); err != nil {
		return err
	}
	entries := make([]byte, 0, count*tableEntrySize)
	for k := range count {
		entries = binary.LittleEndian.AppendUint32(entries, uint32((host+k*m.grain)/sectorSize))
	}
	at := off % m.span() / m.grain * tableEntrySize
	for _, t := range []int64{table, backup} {
		if t != 0 {
			if _, err := g.file.WriteAt(entries, t+at); err != nil {
				return err
			}
		}
	}
	m.cache.Drop(m.start + ondisk.AlignDown(off, m.span()))
	return nil
}

// tables is where grain table i and its copy lie; they are made when they are
// not there. 0: there is no copy.
func (g *grower) tables(i int64) (table, backup int64, err error) {
	if table, err = g.ensure(g.m.dir, g.gd, i); err != nil || g.backup == nil {
		return table, 0, err
	}
	missing := tableAt(g.backup, i) == 0
	if backup, err = g.ensure(g.backup, g.rgd, i); err != nil || !missing {
		return table, backup, err
	}
	content, err := ondisk.Bytes(g.file, table, g.m.tableBytes())
	if err == nil {
		_, err = g.file.WriteAt(content, backup)
	}
	return table, backup, err
}

// ensure finds or makes table i of the directory that lies at off.
func (g *grower) ensure(dir []byte, off, i int64) (int64, error) {
	if t := tableAt(dir, i); t != 0 {
		return t, nil
	}
	t, err := g.extend(g.m.tableBytes(), sectorSize)
	if err != nil {
		return 0, err
	}
	entry := dir[i*tableEntrySize:][:tableEntrySize]
	binary.LittleEndian.PutUint32(entry, uint32(t/sectorSize))
	_, err = g.file.WriteAt(entry, off+i*tableEntrySize)
	g.fixed = append(g.fixed, claim{t, g.m.tableBytes()}) // it is the last one
	return t, err
}

// extend gives out n bytes of zeros at the end of the file.
func (g *grower) extend(n, align int64) (int64, error) {
	host := ondisk.AlignUp(g.file.Size(), align)
	if host+n > 1<<32*sectorSize {
		return 0, ondisk.At(layer, "sparse extent", ondisk.NoOffset).NoSpace("its file would be larger than 2 TiB; use convert")
	}
	return host, g.file.Truncate(host + n)
}
