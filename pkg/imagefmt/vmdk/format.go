package vmdk

// Format is VMware's virtual disk, in all its files. It has no state.
type Format struct{}

// Name is "vmdk", as for qemu-img.
func (Format) Name() string { return layer }
