package xfs

// eachShort reads a directory in its inode: count, count of inode numbers of 8
// bytes, the parent; then entries without "." and "..".
func (v *volume) eachShort(in *inode, f func(dirent) bool) error {
	p := v.dataFork(in).raw
	at := in.at()
	if in.Size > uint64(len(p)) || in.Size < 6 {
		return at.Corrupt("a directory of %d bytes in %d", in.Size, len(p))
	}
	p = p[:in.Size]
	count, wide := int(p[0]), 4
	if p[1] != 0 {
		wide = 8
	}
	if len(p) < 2+wide {
		return at.Corrupt("a directory of %d bytes", len(p))
	}
	p = p[2+wide:]
	for i := range count {
		var d dirent
		n := 3 // of the name's length and its place in a block
		if len(p) > 0 {
			n += int(p[0])
		}
		kindAt := n
		if v.fileTypes() {
			n++
		}
		inoAt := n
		if n += wide; len(p) < n {
			return at.Corrupt("entry %d of %d is cut off", i, count)
		}
		d.name = p[3:kindAt]
		if v.fileTypes() {
			d.kind = p[kindAt]
		}
		d.ino = uint64(be.Uint32(p[inoAt:]))
		if wide == 8 {
			d.ino = be.Uint64(p[inoAt:])
		}
		p = p[n:]
		if err := v.checkName(d, at); err != nil {
			return err
		}
		if !f(d) {
			return nil
		}
	}
	return nil
}
