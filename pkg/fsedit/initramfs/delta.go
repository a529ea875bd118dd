package initramfs

import (
	"bytes"
	"maps"
	"slices"

	"github.com/vmconv/vmconv/pkg/fsedit/cpio"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// DeltaOptions shape a segment. The zero value is good for kernels from 5.9.
type DeltaOptions struct {
	// LZ4 compresses the segment as a legacy lz4 frame. Kernels before 5.9 take
	// whatever follows an lz4 frame for another block, so that only more of the
	// same can be appended to it.
	LZ4 bool
}

// Delta builds a segment that changes and adds files when it is appended. What
// the kernel would answer by destroying something of the base is refused.
type Delta struct {
	base  *Image
	opts  DeltaOptions
	mtime uint32 // the base's own: the same base gives the same bytes
	files map[string]added
}

type added struct {
	mode  uint32
	data  []byte
	apart bool // from the other names of the base's file
}

// NewDelta starts a segment for m, which must be read whole, without error, and
// hold no segment of ours: see [ReadBase].
func (m *Image) NewDelta(opts DeltaOptions) (*Delta, error) {
	at := ondisk.At("initramfs", "file", ondisk.NoOffset)
	if _, ok := m.OwnSegment(); ok {
		return nil, at.Unsupported("holds a segment of ours already; replace it instead of adding another")
	}
	if len(m.segments) == 0 {
		return nil, at.Format("no segment to append to")
	}
	return &Delta{base: m, opts: opts, mtime: m.segments[0].mtime, files: map[string]added{}}, nil
}

// Base is how many bytes of the file stay; the segment follows them.
func (d *Delta) Base() int64 { return d.base.size }

// Add adds or replaces a regular file. Links of the base are followed, the last
// component's included; directories that the base lacks are made. Of a file with
// several names only this one changes. mode holds permissions. content is not
// copied.
func (d *Delta) Add(path string, mode uint32, content []byte) error {
	at := ondisk.At("initramfs", "new segment", ondisk.NoOffset).In("%s", path)
	canon, ok := d.base.Canonical(path)
	if !ok || canon == "" {
		return at.Unsupported("no path to a file in this image")
	}
	if e := d.base.tree.entries[canon]; e != nil {
		if !e.IsRegular() {
			return at.Unsupported("is not a regular file in the base")
		}
	} else if implied(canon) {
		return at.Unsupported("is a directory of the kernel")
	}
	if old, ok := d.files[canon]; ok && old.mode&cpio.TypeMask != cpio.TypeRegular {
		return at.Unsupported("is a directory already")
	}
	if err := d.parents(at, canon); err != nil {
		return err
	}
	old := d.base.tree.entries[canon]
	d.files[canon] = added{cpio.TypeRegular | mode&0o7777, content, old != nil && old.Links() > 1}
	return nil
}

// parents adds the directories above path that the base lacks.
func (d *Delta) parents(at ondisk.Place, path string) error {
	for dir := parent(path); dir != ""; dir = parent(dir) {
		if d.base.tree.isDir(dir) {
			return nil
		}
		if d.base.tree.entries[dir] != nil {
			return at.Unsupported("%s is no directory in the base", dir)
		}
		if old, ok := d.files[dir]; ok && old.mode&cpio.TypeMask != cpio.TypeDir {
			return at.Unsupported("%s is a file already", dir)
		}
		d.files[dir] = added{mode: cpio.TypeDir | 0o755}
	}
	return nil
}

// Bytes is what to append to the first [Delta.Base] bytes of the file: padding
// and the segment. It reads the base once more, for its digest.
func (d *Delta) Bytes() ([]byte, error) {
	archive, err := d.archive()
	if err != nil {
		return nil, err
	}
	last := d.base.segments[len(d.base.segments)-1]
	if d.opts.LZ4 {
		// In one stream with a base of the same kind, the archive must stand at
		// a multiple of 4 as well.
		if last.Method == LZ4 {
			archive = append(make([]byte, -last.Plain&3), archive...)
		}
		return packLZ4(archive)
	}
	pad := -d.base.size & 3
	if last.Method == LZ4 {
		pad += 8 // a block of length zero, wherever the reader stands
	}
	return append(make([]byte, pad), archive...), nil
}

// apart is the target of a link that stands for a moment in the place of a file
// with several names: an object of another type takes the name away from the file,
// where writing to the file would change it under all its names.
const apart = "."

func (d *Delta) archive() ([]byte, error) {
	marker, err := d.base.manifest()
	if err != nil {
		return nil, err
	}
	if err := d.Add(markerPath, 0o644, marker); err != nil {
		return nil, err
	}
	canon, _ := d.base.Canonical(markerPath)
	first := []string{canon}
	for dir := parent(canon); dir != ""; dir = parent(dir) {
		first = slices.Insert(first, 0, dir)
	}
	var buf bytes.Buffer
	w := cpio.NewWriter(&buf)
	done := map[string]bool{}
	for _, path := range append(first, slices.Sorted(maps.Keys(d.files))...) {
		f, ok := d.files[path]
		if !ok || done[path] {
			continue
		}
		done[path] = true
		if f.apart {
			if err := w.Add(cpio.Header{Name: path, Mode: cpio.TypeSymlink | 0o777, Mtime: d.mtime}, []byte(apart)); err != nil {
				return nil, err
			}
		}
		if err := w.Add(cpio.Header{Name: path, Mode: f.mode, Mtime: d.mtime}, f.data); err != nil {
			return nil, err
		}
	}
	err = w.Close()
	return buf.Bytes(), err
}
