package fat

import (
	"cmp"
	"context"
	"encoding/binary"
	"io"
	"slices"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// sealInfo brings the hints of FAT32 up to date.
func (e *editor) sealInfo() error {
	v := e.v
	if v.infoOff == 0 {
		return nil
	}
	raw := make([]byte, infoSize)
	if err := e.read(raw, v.infoOff); err != nil {
		return err
	}
	var i infoSector
	if _, err := binary.Decode(raw, le, &i); err != nil {
		return err
	}
	if i.Lead != infoLead || i.Struct != infoStruct || i.Trail != infoTrail {
		return nil // nobody reads it
	}
	return e.stage.Patch(v.infoOff+infoFree, le.AppendUint32(nil, e.alloc.free))
}

// check audits the filesystem as staged: what was lost before may still be, and
// nothing more. It is what finds the mistakes that would cost a guest its files.
func (e *editor) check(ctx context.Context) (*audit, error) {
	a, err := e.v.newAudit(ctx)
	if err != nil {
		return nil, err
	}
	at := ondisk.At(layer, "", ondisk.NoOffset)
	if a.problem != nil {
		return nil, a.problem
	}
	lost := e.v.clusters - e.atStart.free - e.atStart.owned
	if a.free != e.alloc.free || e.v.clusters-a.free-a.owned != lost {
		return nil, at.Corrupt("%d clusters are free and %d owned, after %d and %d", a.free, a.owned, e.atStart.free, e.atStart.owned)
	}
	for p := range e.touched {
		if err := e.checkNames(p); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// checkNames demands that each name that was made is there, and its short name
// once only.
func (e *editor) checkNames(p dirPlace) error {
	d, err := e.v.readDir(p)
	if err != nil {
		return err
	}
	short := map[[11]byte]int{}
	for en := range d.entries() {
		short[en.Name]++
	}
	for en := range d.entries() {
		want, made := e.written[en.off]
		if made && (en.name() != want || short[en.Name] > 1) {
			return slotAt(en.off).Corrupt("%q became %q, one of %d", want, en.name(), short[en.Name])
		}
	}
	return nil
}

// write brings the session to the device. Once sectors are being written it
// cannot be cancelled: half of it would be no filesystem.
func (e *editor) write(ctx context.Context) error {
	if err := e.writeData(ctx); err != nil {
		return err
	}
	if err := e.dev.Sync(); err != nil {
		return err
	}
	for _, fresh := range []bool{true, false} {
		if err := e.writeSectors(fresh); err != nil {
			return err
		}
	}
	return nil
}

// writeSectors writes the staged sectors, neighbours together.
func (e *editor) writeSectors(fresh bool) error {
	var p []byte
	var start int64
	flush := func() error {
		_, err := e.dev.WriteAt(p, start)
		p = p[:0]
		return err
	}
	for _, nr := range e.stage.Blocks() {
		if e.isFresh(nr) != fresh {
			continue
		}
		off := int64(nr) << e.v.sectorBits
		if len(p) > 0 && (off != start+int64(len(p)) || len(p) >= scanStep) {
			if err := flush(); err != nil {
				return err
			}
		}
		if len(p) == 0 {
			start = off
		}
		p = append(p, e.stage.Block(nr)...)
	}
	if err := flush(); err != nil {
		return err
	}
	return e.dev.Sync()
}

// writeData copies the content of files to their clusters, by place on the device.
func (e *editor) writeData(ctx context.Context) error {
	type piece struct {
		run
		content blockdev.Device
	}
	var all []piece
	for _, p := range e.pending {
		for _, r := range p.runs {
			all = append(all, piece{r, p.content})
		}
	}
	slices.SortFunc(all, func(a, b piece) int { return cmp.Compare(a.first, b.first) })
	buf := make([]byte, scanStep)
	for _, p := range all {
		if err := e.writeRun(ctx, p.content, p.run, buf); err != nil {
			return err
		}
	}
	return nil
}

// writeRun copies one run. What the last cluster holds beyond the end is zero.
func (e *editor) writeRun(ctx context.Context, content blockdev.Device, r run, buf []byte) error {
	from, to := r.at, e.v.clusterOff(r.first)
	for from < r.end(e.v) {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := buf[:min(r.end(e.v)-from, int64(len(buf)))]
		n := min(int64(len(p)), max(0, content.Size()-from))
		if got, err := content.ReadAt(p[:n], from); int64(got) < n {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		clear(p[n:])
		if _, err := e.dev.WriteAt(p, to); err != nil {
			return err
		}
		from, to = from+int64(len(p)), to+int64(len(p))
	}
	return nil
}
