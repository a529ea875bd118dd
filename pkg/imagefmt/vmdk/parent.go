package vmdk

import (
	"context"
	"path"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// hasParent reports whether the disk is a delta: what it does not store is the
// parent's.
func (d *descriptor) hasParent() bool { return d.parentCID != noParent }

// datastoreRoot is where ESXi has its disks; it means nothing on another host.
const datastoreRoot = "/vmfs/volumes/"

// parentName is the file that the parent is looked for in. A path of an ESXi host
// stands for its last element, in the delta's own folder.
func (d *descriptor) parentName() string {
	if strings.HasPrefix(d.parentHint, datastoreRoot) {
		return path.Base(d.parentHint)
	}
	return d.parentHint
}

// openParent opens the disk below a delta, or returns nil for one that has none.
// The parent must be as it was when the delta began; its CID tells.
func openParent(ctx context.Context, src imagefmt.Source, h *head, opts imagefmt.OpenOptions) (imagefmt.Image, error) {
	if !h.desc.hasParent() {
		return nil, nil
	}
	name := h.desc.parentName()
	at := ondisk.At(layer, "parent", ondisk.NoOffset).In("%q", name)
	if name == "" {
		return nil, at.Corrupt("the disk is a delta and does not name its parent")
	}
	if opts.Backing == nil {
		return nil, at.Blocked("the disk is a delta to it")
	}
	below, err := src.Sibling(name)
	if err != nil {
		return nil, at.Wrap(err)
	}
	img, err := openBelow(ctx, below, h, opts, at)
	if err != nil {
		below.Close()
		return nil, err
	}
	return img, nil
}

func openBelow(ctx context.Context, below imagefmt.Source, h *head, opts imagefmt.OpenOptions, at ondisk.Place) (imagefmt.Image, error) {
	parent, err := readHead(below, opts.Limits.OrDefault())
	if err != nil {
		return nil, at.Wrap(err)
	}
	if parent.desc.cid != h.desc.parentCID {
		return nil, at.Corrupt("it was changed after the delta was made: its CID is %08x, the delta wants %08x", parent.desc.cid, h.desc.parentCID)
	}
	img, err := opts.Backing(ctx, below, layer)
	return img, at.Wrap(err)
}
