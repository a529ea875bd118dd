package ext

// Inline data: a small file or directory lies in i_block, and what does not
// fit there in the value of the extended attribute "system.data" in the inode.

// inlineData is all the room of an inode with inline data.
func (v *volume) inlineData(in *inode) (block, rest []byte, err error) {
	block = in.raw[inBlock:][:inodeBlockLen]
	xs, err := v.inodeXattrs(in)
	if err != nil {
		return nil, nil, err
	}
	for _, x := range xs {
		if x.index == xaSystem && x.name == "data" {
			return block, x.value, nil
		}
	}
	return block, nil, nil
}

// inlineContent is the content of a file or symbolic link with inline data.
func (v *volume) inlineContent(in *inode) ([]byte, error) {
	block, rest, err := v.inlineData(in)
	if err != nil {
		return nil, err
	}
	p := append(append([]byte(nil), block...), rest...)
	size := in.size(v)
	if size > int64(len(p)) {
		return nil, in.at().In("inline data").Corrupt("%d bytes, the file has %d", len(p), size)
	}
	return p[:size], nil
}
