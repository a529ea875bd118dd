package vhd

// chs is the geometry of cylinders, heads and sectors that the BIOS of the guest
// shows for a disk. Specification, "Appendix: CHS Calculation".
func chs(sectors int64) (cylinders uint16, heads, perTrack uint8) {
	const (
		maxCylinders = 65535
		maxHeads     = 16
	)
	sectors = min(sectors, maxCylinders*maxHeads*255)
	s, h := int64(17), int64(4)
	tracks := sectors / s
	if sectors >= maxCylinders*maxHeads*63 {
		s, h = 255, maxHeads
		tracks = sectors / s
	} else {
		h = max(h, (tracks+1023)/1024)
		if tracks >= h*1024 || h > maxHeads {
			s, h = 31, maxHeads
			tracks = sectors / s
		}
		if tracks >= h*1024 {
			s, h = 63, maxHeads
			tracks = sectors / s
		}
	}
	return uint16(tracks / h), uint8(h), uint8(s)
}

// chsBytes is how large a disk a footer's geometry describes.
func (f *diskFooter) chsBytes() int64 {
	return int64(f.Cylinders) * int64(f.Heads) * int64(f.Sectors) * sectorSize
}
