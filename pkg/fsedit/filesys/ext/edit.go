package ext

import (
	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Edit is not there yet.
func (v *volume) Edit(opts filesys.EditOptions) (filesys.Editor, error) {
	return nil, ondisk.At(layer, "", ondisk.NoOffset).Unsupported("editing")
}
