package guest

import (
	"sync"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
)

// Mounted is a filesystem at its place in a guest's tree. Open is called when a
// path first leads into it, and once only.
type Mounted struct {
	Path   string // absolute: "/", "/boot"
	Volume string // volume ID: "sda1"
	// Private mount points are found by their path and listed nowhere: those that
	// no system has.
	Private bool
	// Open opens the filesystem. Edits go through the Volume.
	Open func() (filesys.Volume, filesys.FS, error)
}

// mount is one Mounted in use.
type mount struct {
	Mounted
	once   sync.Once
	volume filesys.Volume
	fs     filesys.FS
	err    error
}

func newMount(m Mounted) *mount {
	open := m.Open
	p := &mount{Mounted: m}
	p.Open = func() (filesys.Volume, filesys.FS, error) {
		p.once.Do(func() { p.volume, p.fs, p.err = open() })
		return p.volume, p.fs, p.err
	}
	return p
}
