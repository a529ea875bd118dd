package guest

import "github.com/vmconv/vmconv/pkg/fsedit/filesys"

// Place is where a path of the tree lies: the filesystem mounted there, and the
// path inside it.
type Place struct {
	Mount  string         // where the filesystem is mounted: "/boot"
	Volume filesys.Volume // the same value for all paths of one filesystem
	Path   string         // inside the filesystem, from its root: "/grub/grub.cfg"
}
