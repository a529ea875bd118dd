package assembly

import "errors"

// set is pieces that are written together; nil for one that is missing.
type set []Piece

func (s set) sync() error {
	var errs []error
	for _, p := range s {
		if p != nil {
			errs = append(errs, p.sync())
		}
	}
	return errors.Join(errs...)
}

func (s set) writable() bool {
	for _, p := range s {
		if p != nil && !p.writable() {
			return false
		}
	}
	return true
}

// sectorSize is that of the coarsest piece.
func (s set) sectorSize() (logical, physical int) {
	logical, physical = 512, 512
	for _, p := range s {
		if p != nil {
			l, ph := p.sectorSize()
			logical, physical = max(logical, l), max(physical, ph)
		}
	}
	return logical, physical
}
