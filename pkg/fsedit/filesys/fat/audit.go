package fat

import (
	"bytes"
	"context"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// FAT has neither checksums nor owners in its table, and two chains may meet
// without anybody noticing until one of them is freed. So nothing is edited and
// nothing called free before all tables and directories were read once.

// audit is what that found.
type audit struct {
	problem error // the first contradiction; the rest is not known then
	same    bool  // the tables are
	used    bitmap
	free    uint32
	owned   uint32            // clusters that belong to something
	parents map[uint32]uint32 // of directories, by first cluster; 0 is the root
}

// bitmap has a bit for each cluster, by its number.
type bitmap []uint64

func newBitmap(n uint32) bitmap     { return make(bitmap, n/64+1) }
func (b bitmap) has(n uint32) bool  { return b[n/64]>>(n%64)&1 != 0 }
func (b bitmap) set(n uint32)       { b[n/64] |= 1 << (n % 64) }
func (b bitmap) clear(n uint32)     { b[n/64] &^= 1 << (n % 64) }
func (b bitmap) full(n uint32) bool { return b[n/64] == ^uint64(0) }

// audit reads the filesystem once and remembers. An error means that it could
// not be read.
func (v *volume) audit(ctx context.Context) (*audit, error) {
	v.auditing.Lock()
	defer v.auditing.Unlock()
	if v.audited != nil {
		return v.audited, nil
	}
	a, err := v.newAudit(ctx)
	if err == nil {
		v.audited = a
	}
	return a, err
}

func (v *volume) newAudit(ctx context.Context) (*audit, error) {
	if bytes := int64(v.clusters) / 4; bytes > v.limits.Table {
		return nil, ondisk.At(layer, "FAT", v.fatOff).TooBig("%d clusters", v.clusters)
	}
	a := &audit{used: newBitmap(v.clusters + 2), parents: map[uint32]uint32{}}
	var err error
	if a.same, err = v.compareTables(ctx); err != nil {
		return nil, err
	}
	if !a.same {
		a.problem = ondisk.At(layer, "FAT", v.fatOff).Corrupt("the tables differ")
	}
	if err := v.countFree(ctx, a); err != nil {
		return nil, err
	}
	w := auditWalk{v: v, audit: a, seen: newBitmap(v.clusters + 2), cursor: cursor{v: v}}
	switch err := w.walk(ctx); {
	case err == nil:
	case isProblem(err):
		if a.problem == nil {
			a.problem = err
		}
	default:
		return nil, err
	}
	return a, nil
}

// freeClusters is what the active table calls free, without an audit when there was
// none.
func (v *volume) freeClusters(ctx context.Context) (uint32, error) {
	v.auditing.Lock()
	defer v.auditing.Unlock()
	a := v.audited
	if a != nil {
		return a.free, nil
	}
	if bytes := int64(v.clusters) / 8; bytes > v.limits.Table {
		return 0, ondisk.At(layer, "FAT", v.fatOff).TooBig("%d clusters", v.clusters)
	}
	a = &audit{used: newBitmap(v.clusters + 2)}
	err := v.countFree(ctx, a)
	return a.free, err
}

const scanStep = 1 << 20

// compareTables reports whether the entries of all tables are the same, where
// they are meant to be.
func (v *volume) compareTables(ctx context.Context) (bool, error) {
	size := v.tableBytes()
	one, other := make([]byte, min(scanStep, size)), make([]byte, min(scanStep, size))
	for table := 1; table < v.fats && v.mirrored; table++ {
		for off := int64(0); off < size; off += scanStep {
			if err := ctx.Err(); err != nil {
				return false, err
			}
			n := min(scanStep, size-off)
			if err := ondisk.Full(v.dev, one[:n], v.fatOff+off); err != nil {
				return false, err
			}
			if err := ondisk.Full(v.dev, other[:n], v.tableOff(table)+off); err != nil {
				return false, err
			}
			if !bytes.Equal(one[:n], other[:n]) {
				return false, nil
			}
		}
	}
	return true, nil
}

// countFree marks what the active table has in use.
func (v *volume) countFree(ctx context.Context, a *audit) error {
	const step = 3 << 18 // bytes: whole entries of every kind, in pairs
	buf := make([]byte, min(step, v.tableBytes())+1)
	perStep := uint32(step * 8 / int64(v.bits))
	for first := uint32(0); first < v.clusters+2; first += perStep {
		if err := ctx.Err(); err != nil {
			return err
		}
		base, _ := v.entryPlace(first)
		n := min(int64(len(buf)), v.tableBytes()-base)
		if err := ondisk.Full(v.dev, buf[:n], v.tableOff(v.active)+base); err != nil {
			return err
		}
		for c := max(first, 2); c < min(first+perStep, v.clusters+2); c++ {
			if v.entryIn(buf, base, c) == entryFree {
				a.free++
			} else {
				a.used.set(c)
			}
		}
	}
	return nil
}

// entryIn reads entry n from a piece of a table that begins at byte base.
func (g *geometry) entryIn(p []byte, base int64, n uint32) uint32 {
	off, width := g.entryPlace(n)
	p = p[off-base:]
	if width == 4 {
		return g.wideEntry(n, le.Uint32(p))
	}
	return g.wideEntry(n, uint32(le.Uint16(p)))
}
