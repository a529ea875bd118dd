package vmdk

import (
	"fmt"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// extentSet writes a disk whose data lies in files beside its descriptor.
type extentSet struct {
	disk
	files   []extentFile
	current body
	at      int // index of current
}

// extentFile is one file of a set.
type extentFile struct {
	name    string
	sink    imagefmt.Sink
	sectors int64
}

// newExtentSet makes all files at once, so that a name that is taken is known
// before the first byte.
func (d *disk) newExtentSet() (*extentSet, error) {
	s := &extentSet{disk: *d}
	step := s.extentSectors()
	for done := int64(0); done == 0 || done < d.sectors; done += step {
		f := extentFile{name: s.extentName(len(s.files) + 1), sectors: min(step, d.sectors-done)}
		var err error
		if f.sink, err = d.sink.Sibling(f.name); err != nil {
			return nil, err
		}
		s.files = append(s.files, f)
	}
	return s, s.open(0)
}

// extentSectors is how much of the disk a file holds.
func (s *extentSet) extentSectors() int64 {
	if s.split() {
		return splitSectors
	}
	return max(1, s.sectors)
}

// extentName is how VMware names the files, counted from 1.
func (s *extentSet) extentName(i int) string {
	switch s.subformat {
	case typeSplitSparse:
		return fmt.Sprintf("%s-s%03d.vmdk", s.names.stem, i)
	case typeSplitFlat:
		return fmt.Sprintf("%s-f%03d.vmdk", s.names.stem, i)
	}
	return s.names.stem + "-flat.vmdk"
}

// extentType is the word for them in the descriptor.
func (s *extentSet) extentType() string {
	switch s.subformat {
	case typeSplitSparse:
		return extentSparse
	case typeVMFS:
		return extentVMFS
	}
	return extentFlat
}

func (s *extentSet) open(i int) (err error) {
	s.at = i
	f := s.files[i]
	if s.flat() {
		s.current, err = newFlatExtent(f.sink, f.sectors*sectorSize, s.preallocation)
	} else {
		s.current, err = newSparseExtent(f.sink, f.sectors, nil)
	}
	return err
}

// put hands bytes to the extents that they belong to; one ends before the next
// begins.
func (s *extentSet) put(p []byte, off int64) error {
	step := s.extentSectors() * sectorSize
	for len(p) > 0 {
		if err := s.advance(int(off / step)); err != nil {
			return err
		}
		n := min(int64(len(p)), step-off%step)
		if err := s.current.put(p[:n], off%step); err != nil {
			return err
		}
		p, off = p[n:], off+n
	}
	return nil
}

// advance finishes all extents before the given one.
func (s *extentSet) advance(i int) error {
	for s.at < i {
		if err := s.current.finish(); err != nil {
			return err
		}
		if err := s.open(s.at + 1); err != nil {
			return err
		}
	}
	return nil
}

// finish finishes the extents that are left, and writes the descriptor.
func (s *extentSet) finish() error {
	if err := s.advance(len(s.files) - 1); err != nil {
		return err
	}
	if err := s.current.finish(); err != nil {
		return err
	}
	lines := make([]extentLine, len(s.files))
	for i, f := range s.files {
		lines[i] = extentLine{access: accessRW, sectors: f.sectors, kind: s.extentType(), name: f.name}
	}
	text := s.descriptorText(s.identity, s.sectors, lines)
	if len(text) > maxDescriptor {
		return ondisk.At(layer, "descriptor", 0).TooBig("%d bytes", len(text))
	}
	if _, err := s.sink.WriteAt(text, 0); err != nil {
		return err
	}
	return s.sink.Sync()
}
