package fat

import (
	"context"
	"errors"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// auditWalk follows every chain from the root.
type auditWalk struct {
	v       *volume
	audit   *audit
	seen    bitmap
	cursor  cursor
	entries int
}

// isProblem reports whether err is about the filesystem, not about reading it.
func isProblem(err error) bool {
	return errors.Is(err, ondisk.ErrCorrupt) || errors.Is(err, ondisk.ErrTooBig)
}

// walk visits all directories. Each is read after its chain was found to be its
// own, so that no ring is entered twice.
func (w *auditWalk) walk(ctx context.Context) error {
	v := w.v
	if v.rootCluster != 0 {
		if _, err := w.own(v.rootCluster, v.fatOff); err != nil {
			return err
		}
	}
	for todo := []dirPlace{v.rootDir()}; len(todo) > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		d, err := v.readDir(p)
		if err != nil {
			return err
		}
		for e := range d.entries() {
			sub, err := w.entry(e, p)
			if err != nil {
				return err
			}
			if sub != (dirPlace{}) {
				todo = append(todo, sub)
			}
		}
	}
	return nil
}

// entry takes the chain of one entry; sub is the directory that it is.
func (w *auditWalk) entry(e *entry, parent dirPlace) (sub dirPlace, err error) {
	if w.entries++; w.entries > w.v.limits.Entries {
		return sub, slotAt(e.off).TooBig("more than %d files", w.v.limits.Entries)
	}
	if e.isDir() {
		if sub, err = w.v.slotDir(e.slot, e.off); err != nil {
			return sub, err
		}
		_, err = w.own(sub.start, e.off)
		w.audit.parents[sub.start] = parent.start
		if parent == w.v.rootDir() {
			w.audit.parents[sub.start] = 0
		}
		return sub, err
	}
	start := w.v.start(e.slot)
	if start == 0 && e.Size == 0 {
		return sub, nil
	}
	n, err := w.own(start, e.off)
	if err == nil && int64(n)<<w.v.clusterBits < int64(e.Size) {
		err = slotAt(e.off).Corrupt("a file of %d bytes has %d clusters", e.Size, n)
	}
	return sub, err
}

// own marks a chain, and fails where it meets one that is marked.
func (w *auditWalk) own(start uint32, off int64) (count uint32, err error) {
	if !w.v.inVolume(start) {
		return 0, slotAt(off).Corrupt("it begins with cluster %d of %d", start, w.v.clusters)
	}
	for n := start; n != 0; count++ {
		if w.seen.has(n) {
			return 0, slotAt(off).Corrupt("its chain meets another, or itself, at cluster %d", n)
		}
		w.seen.set(n)
		w.audit.owned++
		if n, err = w.cursor.next(n); err != nil {
			return 0, slotAt(off).Wrap(err)
		}
	}
	return count, nil
}
