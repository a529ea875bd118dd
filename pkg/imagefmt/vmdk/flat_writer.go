package vmdk

import "github.com/vmconv/vmconv/pkg/imagefmt"

// flatExtent writes a flat extent: the bytes of the disk where they belong.
type flatExtent struct {
	disk imagefmt.Flat
	size int64
}

func newFlatExtent(sink imagefmt.Sink, size int64, preallocation string) (*flatExtent, error) {
	e := &flatExtent{disk: imagefmt.Flat{Sink: sink, Sparse: preallocation != "full" && sink.Zeroed()}, size: size}
	if err := sink.Truncate(size); err != nil {
		return nil, err
	}
	if preallocation == "falloc" {
		return e, imagefmt.Allocate(sink, 0, size, false)
	}
	return e, nil
}

func (e *flatExtent) put(p []byte, off int64) error { return e.disk.Put(p, off) }

func (e *flatExtent) finish() error {
	if err := e.disk.Fill(e.size); err != nil {
		return err
	}
	return e.disk.Sink.Sync()
}
