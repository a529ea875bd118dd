// Package formats is the one place that knows every image format. A format is
// added by one line here; the conformance suite then tests it.
package formats

import (
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/qcow2"
	"github.com/vmconv/vmconv/pkg/imagefmt/raw"
	"github.com/vmconv/vmconv/pkg/imagefmt/vdi"
	"github.com/vmconv/vmconv/pkg/imagefmt/vhd"
	"github.com/vmconv/vmconv/pkg/imagefmt/vhdx"
	"github.com/vmconv/vmconv/pkg/imagefmt/vmdk"
	"github.com/vmconv/vmconv/pkg/imagefmt/xva"
)

// Default holds the formats of this program. Raw is the last, since everything
// can be raw.
func Default() *imagefmt.Registry {
	return imagefmt.NewRegistry(
		qcow2.Format{},
		vmdk.Format{},
		vhd.Format{},
		vdi.Format{},
		vhdx.Format{},
		xva.Format{},
		raw.Format{},
	)
}
